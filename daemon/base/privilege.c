#include "base/privilege.h"

#include <cap-ng.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"

int privilege_find(const char *name, struct privilege_user *user, struct error *err)
{
	const struct passwd *entry = getpwnam(name);

	if (!entry)
		return error_field(err, ERROR_INPUT, "user", name,
				   "no such user; `adduser --system --group --no-create-home %s` "
				   "makes it",
				   name);
	*user = (struct privilege_user){ entry->pw_uid, entry->pw_gid };
	return 0;
}

int privilege_drop(const struct privilege_user *user, struct error *err)
{
	if (geteuid() == 0) {
		int r;

		capng_clear(CAPNG_SELECT_BOTH);
		r = capng_change_id((int)user->uid, (int)user->gid,
				    CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
		if (r < 0)
			return error_set(err, ERROR_SYSTEM, "dropping privilege failed (%d)", r);
		if (setuid(0) == 0)
			return error_set(err, ERROR_SYSTEM, "dropping privilege did not hold");
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(err, "no_new_privs");
	return 0;
}
