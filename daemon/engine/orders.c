/* The verbs that put a service into another state. */
#include <stddef.h>

#include "base/error.h"
#include "engine/verbs.h"

#define TO_COME(verb)                                                                          \
	void verb(struct engine *engine, struct json_object *params, verb_done *done, void *arg) \
	{                                                                                      \
		struct error err = { 0 };                                                      \
                                                                                               \
		(void)engine;                                                                  \
		(void)params;                                                                  \
		error_set(&err, ERROR_BUSY, "this daemon cannot do that yet");                 \
		done(arg, NULL, &err);                                                         \
	}

TO_COME(verb_service_set)
TO_COME(verb_service_start)
TO_COME(verb_service_stop)
TO_COME(verb_service_pause)
TO_COME(verb_service_restart)
TO_COME(verb_service_pin)
TO_COME(verb_service_unpin)
