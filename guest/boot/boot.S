/*
 * A disk's first sector, for hvm guests in the lab: loads Linux and starts it. It reads by the IDE
 * controller's DMA, a command for each part, since the BIOS and qemu's own kernel loader take a
 * trip through qemu for each word: in emulation, minutes.
 *
 * Whoever makes the disk fills in `parts`: the setup code, patched, to 0x80000, and the rest where
 * it says (Linux Documentation/arch/x86/boot.rst). PIIX3 IDE: Intel 82371SB, 2.4 and 2.7.
 */
#define IDE        0x80000900      /* its PCI function 0:1.1 */
#define COMMAND    0x04
#define BAR4       0x20            /* the bus master's ports */
#define PRDT       0x1000          /* list of 64 KiB pieces */

	.code16
	.globl  _start
_start: cli
	cld
	xor     %ax, %ax
	mov     %ax, %ds
	mov     %ax, %es
	mov     %ax, %ss
	mov     $0x7c00, %sp
	mov     $(IDE | COMMAND), %eax
	mov     $0xcf8, %dx
	out     %eax, %dx
	mov     $0xcfc, %dx
	in      %dx, %ax
	or      $5, %ax                 /* I/O space, bus master */
	out     %ax, %dx
	mov     $(IDE | BAR4), %eax
	mov     $0xcf8, %dx
	out     %eax, %dx
	mov     $0xcfc, %dx
	in      %dx, %ax
	and     $0xfff0, %ax
	mov     %ax, %bp
	mov     $parts, %si

next:   lodsl
	mov     %eax, %ebx              /* first sector */
	lodsl
	mov     %eax, %ecx              /* sectors */
	test    %ecx, %ecx
	jz      start
	lodsl                           /* where to */
	push    %cx
	mov     $PRDT, %di
1:      mov     %eax, %edx
	stosl
	xor     %eax, %eax
	sub     $128, %ecx
	ja      2f
	mov     $0x80000000, %eax       /* the last */
2:      stosl
	lea     0x10000(%edx), %eax
	ja      1b
	pop     %cx

	lea     4(%bp), %dx
	mov     $PRDT, %eax
	out     %eax, %dx
	lea     2(%bp), %dx
	mov     $6, %al                 /* no interrupt, no error */
	out     %al, %dx
	mov     %bp, %dx
	mov     $8, %al                 /* to memory */
	out     %al, %dx
	mov     $0x1f6, %dx
	mov     $0xe0, %al              /* master, by sector number */
	out     %al, %dx
	mov     $0x1f2, %dx             /* the upper halves, then the lower */
	mov     %ch, %al
	out     %al, %dx
	xor     %al, %al
	inc     %dx
	out     %al, %dx
	inc     %dx
	out     %al, %dx
	inc     %dx
	out     %al, %dx
	mov     $0x1f2, %dx
	mov     %cl, %al
	out     %al, %dx
	mov     %bl, %al
	inc     %dx
	out     %al, %dx
	mov     %bh, %al
	inc     %dx
	out     %al, %dx
	shr     $16, %ebx
	mov     %bl, %al
	inc     %dx
	out     %al, %dx
	mov     $0x1f7, %dx
	mov     $0x25, %al              /* READ DMA EXT */
	out     %al, %dx
	mov     %bp, %dx
	mov     $9, %al
	out     %al, %dx
	lea     2(%bp), %dx
3:      in      %dx, %al
	test    $4, %al                 /* done? */
	jz      3b
	mov     %bp, %dx
	xor     %al, %al
	out     %al, %dx
	mov     $0x1f7, %dx
	in      %dx, %al
	jmp     next

start:  mov     $0x8000, %ax
	mov     %ax, %ds
	mov     %ax, %es
	mov     %ax, %fs
	mov     %ax, %gs
	mov     %ax, %ss
	mov     $0xfff0, %sp
	ljmp    $0x8020, $0

	.org    0x1b0
parts:                                  /* first sector, sectors, address; none: the end */
	.org    510
	.word   0xaa55
