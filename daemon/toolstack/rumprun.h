/*
 * Rumprun configurations: read as the rumprun tool writes them, checked against the service, and
 * made into the text for the guest's `rumprun/cfg` in xenstore, which is written before it is
 * unpaused. Its own reader sees there the same keys in the same order with the same values, those
 * excepted that the service's rumprun_* keys replace.
 *
 * What that reader takes (rumprun, lib/librumprun_base/config.c and lib/libbmk_core/jsmn.c): every
 * value is a string, also numbers and truth values; escapes are let through, never decoded, so
 * strings stay here as they are written, byte for byte, and are checked so; what it does not know
 * ends the guest. So all that would end the guest is refused here, with its place.
 *
 * The backend's check calls rumprun_read; with the service's `ip` missing, what it found goes back
 * to the engine in the message `checked` as rumprun_addition says it. Its start calls it again for
 * the text. Safe to call from any thread.
 */
#ifndef JITSU_TOOLSTACK_RUMPRUN_H
#define JITSU_TOOLSTACK_RUMPRUN_H

#include <stddef.h>

#include "proto/spec.h"

struct error;

/* A write to xenstore is one message of at most 4,096 bytes (xen/include/public/io/xs_wire.h,
 * XENSTORE_PAYLOAD_MAX), with the path and a NUL. */
#define RUMPRUN_TEXT_MAX (4096 - 48)
/* What is worth reading of a file. */
#define RUMPRUN_FILE_MAX (64 * 1024)

struct rumprun {
	char *text;		  /* for xenstore */
	struct spec_addresses ip; /* the static addresses of its interfaces, in order */
};

/*
 * Reads `size` bytes of text, the file's `path` being only named in errors. `spec` is the
 * service's; `devices` are the virtual devices of its disks (`xvda`), as libxlutil gives them.
 * 0 and *out, to be released; or -1 with an error that names the file, line, column, key, value
 * and what was expected, *out untouched.
 *
 * Refused, beside what is not understood: an address that is not one of spec's `ip`; no static
 * address while spec has no `ip`; an etfs path that none of the devices has; a text longer than
 * xenstore takes.
 */
int rumprun_read(const char *text, size_t size, const char *path, const struct spec *spec,
		 const struct spec_texts *devices, struct rumprun *out, struct error *err);

/* `{"ip":["10.0.0.1"]}`, the keys that a specification lacks and this has; the caller frees it.
 * `{}` if it has its own ip. */
char *rumprun_addition(const struct rumprun *rumprun, const struct spec *spec);

void rumprun_release(struct rumprun *rumprun);

#endif
