#include <stddef.h>

#include "engine/verbs.h"
#include "proto/openrpc.h"

void verb_rpc_discover(struct engine *engine, struct json_object *params, verb_done *done,
		       void *arg)
{
	(void)engine;
	(void)params;
	done(arg, openrpc_document(), NULL);
}
