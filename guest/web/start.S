/* Where Xen enters a PV guest, its notes for the domain builder, and the way into Xen. */
#include "../note.h"
#include "layout.h"

	.section .note.Xen, "a", @note
	note	XEN_ELFNOTE_GUEST_OS, .asciz "jitsu-web"
	note	XEN_ELFNOTE_GUEST_VERSION, .asciz "1"
	note	XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0"
	note	XEN_ELFNOTE_LOADER, .asciz "generic"
	note	XEN_ELFNOTE_PAE_MODE, .asciz "yes"
	note	XEN_ELFNOTE_FEATURES, .asciz ""
	note	XEN_ELFNOTE_VIRT_BASE, .quad LAYOUT_BASE
	note	XEN_ELFNOTE_PADDR_OFFSET, .quad LAYOUT_BASE
	note	XEN_ELFNOTE_ENTRY, .quad pv_entry
	note	XEN_ELFNOTE_HYPERCALL_PAGE, .quad hypercall_page

	.text
	.balign	4096
hypercall_page:				/* Xen fills it in: 32 bytes for each call */
	.skip	4096

	.globl	pv_entry
pv_entry:				/* rsi: the start info; events are masked and stay so */
	cld
	lea	stack_end(%rip), %rsp
	xor	%ebp, %ebp
	mov	%rsi, %rdi
	call	main_start
	ud2

/* long hypercall(unsigned long number, a, b, c, d): from C's argument registers to Xen's */
	.globl	hypercall
hypercall:
	mov	%edi, %eax
	shl	$5, %eax
	add	$hypercall_page, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	jmp	*%rax

	.bss
	.balign	16
	.skip	16384
stack_end:

	.section .note.GNU-stack, "", @progbits
