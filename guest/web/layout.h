/* Where the guest's memory begins among its addresses: a null pointer points to nothing. */
#ifndef WEB_LAYOUT_H
#define WEB_LAYOUT_H

#define LAYOUT_BASE 0x400000
#define LAYOUT_PAGE 4096

#endif
