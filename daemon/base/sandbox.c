#include "base/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

#define DNS	 SANDBOX_DNS
#define ENGINE	 SANDBOX_ENGINE
#define SYNJITSU SANDBOX_SYNJITSU
#define ALL	 (DNS | ENGINE | SYNJITSU)

static const struct {
	int number;
	unsigned who;
} calls[] = {
#define CALL(name, who) { SCMP_SYS(name), (who) },
#include "base/sandbox.tbl.h"
#undef CALL
};

static int load(enum sandbox who)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = context ? seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
		if (calls[i].who & who)
			r = seccomp_rule_add(context, SCMP_ACT_ALLOW, calls[i].number, 0);
	if (r == 0)
		r = seccomp_load(context);
	seccomp_release(context);
	return r;
}

int sandbox_enter(enum sandbox who, struct error *err)
{
	int r;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 0;
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return 0;
#endif
#endif
	if (who == SANDBOX_NONE)
		return 0;
	r = load(who);
	if (r < 0) {
		errno = -r;
		return error_errno(err, "cannot confine the process (seccomp)");
	}
	return 0;
}
