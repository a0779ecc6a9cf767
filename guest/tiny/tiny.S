/*
 * The smallest guest: it blocks at once and for ever. What its start takes is what the toolstack takes.
 * One image, two entries: 64-bit for PV, 32-bit for PVH.
 */

#include "../note.h"

#define BASE            0x100000        /* where it lies in memory, and a PV guest's addresses */
#define SCHED_OP        29              /* xen/include/public/xen.h */
#define SCHEDOP_POLL    3               /* xen/include/public/sched.h */

        .section .note.Xen, "a", @note
        note    XEN_ELFNOTE_GUEST_OS, .asciz "jitsu-tiny"
        note    XEN_ELFNOTE_GUEST_VERSION, .asciz "1"
        note    XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0"
        note    XEN_ELFNOTE_LOADER, .asciz "generic"
        note    XEN_ELFNOTE_PAE_MODE, .asciz "yes"
        note    XEN_ELFNOTE_FEATURES, .asciz ""
        note    XEN_ELFNOTE_VIRT_BASE, .quad 0
        note    XEN_ELFNOTE_PADDR_OFFSET, .quad 0
        note    XEN_ELFNOTE_ENTRY, .quad pv_entry
        note    XEN_ELFNOTE_HYPERCALL_PAGE, .quad hypercall_page
        note    XEN_ELFNOTE_PHYS32_ENTRY, .long pvh_entry

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
