#include "dns/wakes.h"

#include <stdlib.h>

#include "dns/acl.h"
#include "dns/limit.h"

#define BURST	 10 /* seconds' worth at once: a page of many names, each a service */
#define NETWORKS 16384
#define RESERVE	 128 /* of 256: what forged sources cannot use up */

struct wakes {
	struct limit *networks;
	const struct acl *exempt;
	bool bound;
	struct limit_bucket all;
};

struct wakes *wakes_new(const struct wakes_config *config)
{
	struct wakes *wakes = calloc(1, sizeof *wakes);

	if (!wakes)
		return NULL;
	wakes->exempt = config->exempt;
	wakes->bound = config->per_second;
	if (wakes->bound)
		limit_bucket_init(&wakes->all, config->per_second, config->per_second * BURST);
	if (config->network_per_second) {
		wakes->networks = limit_new(config->network_per_second,
					    config->network_per_second * BURST, NETWORKS);
		if (!wakes->networks) {
			free(wakes);
			return NULL;
		}
	}
	return wakes;
}

void wakes_free(struct wakes *wakes)
{
	if (!wakes)
		return;
	limit_free(wakes->networks);
	free(wakes);
}

enum wakes_verdict wakes_check(struct wakes *wakes, const struct sockaddr *peer, bool proven,
			       uint64_t now)
{
	bool local = (!wakes->bound && !wakes->networks) || acl_has(wakes->exempt, peer);

	if (wakes->networks && !local && !limit_take(wakes->networks, acl_network(peer), now))
		return WAKES_OVER;
	if (!wakes->bound || limit_bucket_take(&wakes->all, proven || local ? 0 : RESERVE, now))
		return WAKES_GO;
	return proven || local ? WAKES_OVER : WAKES_PROVE;
}
