/*
 * A guest's last words: what its console said at its death, from xenconsoled's log, or, where it
 * writes none (it does with --log=guest), from the terminal that it keeps for the guest.
 */
#ifndef JITSU_TOOLSTACK_LIBXL_CONSOLE_H
#define JITSU_TOOLSTACK_LIBXL_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct console;
struct loop;

/* Size of the guest's log before it runs, which is where its own lines begin. */
off_t console_begin(const char *name);

/*
 * Reads until xenconsoled, which takes the guest's output in its own time, has no more; a tenth of
 * a second at most. tty (NULL: none) is read if there is no log. Then fn, from the loop, with at
 * most BACKEND_CONSOLE_MAX bytes of printable ASCII, whole lines if it can be; the console is
 * freed after it. Dies if out of memory.
 */
struct console *console_read(struct loop *loop, const char *name, off_t from, const char *tty,
			     void (*fn)(void *arg, const char *text), void *arg);
/* Without a call of fn. NULL is allowed. */
void console_free(struct console *console);

/* Makes the end of raw output such text. Returns the length. */
size_t console_tidy(const char *raw, size_t size, char *out, size_t room);

#endif
