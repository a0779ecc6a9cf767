/* One of the three processes, from its first line to its last. */
#ifndef JITSU_ROOM_H
#define JITSU_ROOM_H

#include "base/log.h"
#include "base/privilege.h"
#include "dns/dns.h"
#include "engine/engine.h"
#include "proto/message.h"
#include "toolstack/toolstack.h"

/* What the parent has opened for all of them; each closes what is not its own. */
struct room_resources {
	struct dns_config dns;
	struct engine_config engine;
	struct toolstack_config toolstack;
	int usage_fd, lock_fd;
	struct privilege_user user;
	enum log_level log_level;
	bool sandbox;
};

/* Runs until the parent says quit or is gone. Returns the exit status (see supervise.h). */
int room_run(enum room room, int parent_fd, const struct room_resources *resources);

#endif
