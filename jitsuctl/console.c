/* console: Xen's own, for the service's domain. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "jitsuctl/jitsuctl.h"

/* Only comes back when it could not be run. */
static void run_xl(const char *domid)
{
	char *const arguments[] = { (char *)"xl", (char *)"console", (char *)domid, NULL };

	fflush(stdout);
	execvp("xl", arguments);
	/* The path of somebody who is not root may lack it. */
	if (errno == ENOENT)
		execv("/usr/sbin/xl", arguments);
}

enum status command_console(struct context *context)
{
	const char *name = context->arguments[0];
	struct json_object *answer, *value;
	bool simulated;
	struct error err;
	char domid[24] = "";
	enum status status =
		context_call(context, "service.get", params_of_name(name), NULL, &answer);

	if (status != STATUS_DONE)
		return status;
	simulated = json_object_object_get_ex(answer, "simulated", &value) &&
		    json_object_get_boolean(value);
	if (json_object_object_get_ex(answer, "domid", &value))
		snprintf(domid, sizeof domid, "%lld", (long long)json_object_get_int64(value));
	if (simulated) {
		error_set(&err, ERROR_INPUT, "%.64s: it is simulated: no domain, and no console",
			  name);
	} else if (!*domid) {
		value = json_object_object_get(answer, "state");
		error_set(&err, ERROR_INPUT,
			  "%.64s: it has no domain, it is %.20s; 'jitsuctl start %.64s' starts it",
			  name, value ? json_object_get_string(value) : "off", name);
	} else {
		run_xl(domid);
		error_set(&err, ERROR_SYSTEM,
			  errno == ENOENT ? "xl: %s; Xen's tools are needed for a console, as root"
					  : "xl: %s",
			  strerror(errno));
	}
	json_object_put(answer);
	complain(context, NULL, &err, NULL);
	return STATUS_FAILED;
}
