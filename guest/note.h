/* An ELF note for Xen's domain builder, for assembly: `note XEN_ELFNOTE_ENTRY, .quad start`. */
#include <xen/elfnote.h>

.macro note type, contents:vararg
	.balign 4
	.long	4, 2f - 1f, \type
	.asciz	"Xen"
1:	\contents
2:	.balign 4
.endm
