/*
 * The smallest guest: it blocks at once and for ever. What its start takes is what the toolstack takes.
 * One image, two entries: 64-bit for PV, 32-bit for PVH.
 */

#define BASE            0x100000        /* where it lies in memory, and a PV guest's addresses */
#define SCHED_OP        29              /* xen/include/public/xen.h */
#define SCHEDOP_POLL    3               /* xen/include/public/sched.h */

#define NOTE_ENTRY          1           /* xen/include/public/elfnote.h */
#define NOTE_HYPERCALL_PAGE 2
#define NOTE_VIRT_BASE      3
#define NOTE_PADDR_OFFSET   4
#define NOTE_XEN_VERSION    5
#define NOTE_GUEST_OS       6
#define NOTE_GUEST_VERSION  7
#define NOTE_LOADER         8
#define NOTE_PAE_MODE       9
#define NOTE_FEATURES       10
#define NOTE_PHYS32_ENTRY   18

.macro note type, contents:vararg
        .balign 4
        .long   4, 2f - 1f, \type
        .asciz  "Xen"
1:      \contents
2:      .balign 4
.endm

        .section .note.Xen, "a", @note
        note    NOTE_GUEST_OS, .asciz "jitsu-tiny"
        note    NOTE_GUEST_VERSION, .asciz "1"
        note    NOTE_XEN_VERSION, .asciz "xen-3.0"
        note    NOTE_LOADER, .asciz "generic"
        note    NOTE_PAE_MODE, .asciz "yes"
        note    NOTE_FEATURES, .asciz ""
        note    NOTE_VIRT_BASE, .quad 0
        note    NOTE_PADDR_OFFSET, .quad 0
        note    NOTE_ENTRY, .quad pv_entry
        note    NOTE_HYPERCALL_PAGE, .quad hypercall_page
        note    NOTE_PHYS32_ENTRY, .long pvh_entry

        .text
hypercall_page:                         /* Xen fills it in */
        .balign 4096
        .skip   4096

/* Events are masked at a PV guest's start and stay so: a poll of no port and without end never returns. */
        .code64
        .globl  pv_entry
pv_entry:
        lea     nothing(%rip), %rsi
        mov     $SCHEDOP_POLL, %edi
        call    hypercall_page + 32 * SCHED_OP
        jmp     pv_entry

/* No timer and no event is set up, so nothing ends the halt. With interrupts off it would mean "shut down". */
        .code32
        .globl  pvh_entry
pvh_entry:
        sti
        hlt
        jmp     pvh_entry

        .balign 16
nothing:                                /* struct sched_poll: no ports, no timeout */
        .quad   0, 0, 0

        .section .note.GNU-stack, "", @progbits
