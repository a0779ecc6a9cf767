/*
 * When queries wait and what the engine is told. Both directions of the link keep their order,
 * but the two cross: each side hears of the other's past. For each service this room knows
 *
 *   ready   answer at once, from the table
 *   wanted  a `want` has been sent that no later word of the engine has settled
 *
 * The rule: a waiting query gets its answer by `ready` or `failed`, or at its limit, whatever the
 * engine does; and while somebody waits, the service is wanted. So:
 *
 *   query, ready          is answered
 *   query, not ready      waits; `want`, unless wanted already
 *   limit passes          is answered, `answered{late=1}`; still wanted: the boot goes on, and the
 *                         next query waits for it without another `want`
 *   ready                 all are answered, then `answered{late=0}`; not wanted
 *   failed                all get SERVFAIL; not ready, not wanted
 *   asleep                not ready, not wanted; if somebody waits, `want`
 *   retire                as asleep, with `retired` before that `want`
 *   service               replaces what was known of that id: who waits is looked up anew, by
 *                         name, and so is answered, refused, forwarded, or waits and is wanted
 *   forget                as service, with nothing in its place
 *   table_end             as service, for everybody: the new table has taken the old one's place.
 *                         Until then the old one answers. What is in both stays where it is,
 * marked, with its new state beside the old; only what differs is held apart
 *
 * and the races, each with what makes it harmless:
 *
 *   want crosses ready    the ready answers the asker; the engine, already ready, may ignore the
 *                         want, or say ready again
 *   want crosses asleep   (or retire) this room cannot tell whether the engine had read the want
 *   or retire             before it spoke, so it wants again; the engine folds the two
 *   want crosses failed   the asker has had SERVFAIL; the want starts a boot that nobody waits for,
 *                         which ends as any service does that nobody asks for
 *   query crosses retire  a query read before the retire was answered, and is in `usage` before
 *                         the `retired` is sent; one read after it waits, and its want follows the
 *                         `retired`. So the engine that has read `retired` knows every query that
 *                         was answered, and gets a want for every one that was not
 *   want crosses forget   the engine may find the id unused, or used anew: a boot too many at worst
 *   engine gone           who waits still waits, up to the limit; what is ready is answered. Wants
 *                         are held back from the loss of the engine until the next table_end, for
 *                         another engine's ids need not mean the same; then each is sent again
 *   the workers (dns_threads)  answer what is ready as this thread does, on sockets of their own,
 *                         under a read lock for each batch. What changes the table or a service's
 *                         readiness holds the write lock: once it is given back no worker answers
 *                         by what was before, and the stamps of what was answered can be read. So
 *                         `retired`, sent after that, means what it means without workers
 *   retire amid a table   `retired` is sent with table_end, when the old table no longer answers
 */
#include "dns/dns.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/link.h"
#include "base/log.h"
#include "base/loop.h"
#include "dns/answer.h"
#include "dns/elsewhere.h"
#include "dns/forward.h"
#include "dns/limit.h"
#include "dns/listen.h"
#include "dns/special.h"
#include "dns/table.h"
#include "dns/wakes.h"
#include "proto/message.h"

static void on_late(void *arg, struct wait_queue *queue, unsigned waiters);

static void on_alone(void *arg)
{
	struct dns *dns = arg;

	log_error("no new connection to the engine: ending, to be started and connected anew");
	loop_quit(dns->loop);
}

/* What the engine says need not wait for very many connections either. */
static void between_connections(void *arg)
{
	struct dns *dns = arg;

	if (dns->link)
		link_poll(dns->link);
}

static void set_upstreams(struct dns *dns, const struct sockaddr_storage *upstreams, size_t count)
{
	forward_set_upstreams(dns->forward, upstreams, count);
	hot_lock(&dns->hot);
	dns->hot.recursion = count ? &dns->allow_recursion : NULL;
	hot_unlock(&dns->hot);
}

struct dns *dns_new(struct loop *loop, const struct dns_config *config, struct error *err)
{
	static const struct wait_callbacks callbacks = { .done = answer_waited, .late = on_late };
	static const struct dns_settings no_settings;
	struct dns *dns = calloc(1, sizeof *dns);

	if (!dns) {
		error_set(err, ERROR_SYSTEM, "out of memory");
		return NULL;
	}
	dns->loop = loop;
	dns->usage = config->usage;
	dns->alone = timer_new(loop, on_alone, dns);
	dns->wire = wire_new();
	dns->settings = config->settings ? config->settings : &no_settings;
	dns->rate = rate_new(&(struct rate_config){ .per_second = dns->settings->rate,
						    .slip = dns->settings->rate_slip,
						    .exempt = &dns->settings->exempt });
	dns->wakes = wakes_new(
		&(struct wakes_config){ .per_second = dns->settings->wakes,
					.network_per_second = dns->settings->wakes_per_network,
					.exempt = &dns->settings->exempt });
	dns->wait = wait_new(loop, &callbacks, dns);
	dns->table = table_new();
	dns->hot = (struct hot){ .table = (struct table *const *)&dns->table,
				 .usage = dns->usage,
				 .rate = dns->rate,
				 .cookies = dns->settings->cookies.enabled ? &dns->settings->cookies
									   : NULL };
	if (config->threads > 1)
		hot_share(&dns->hot);
	dns->listener =
		listen_new(loop, config, config->long_way ? NULL : &dns->hot, answer_query, dns);
	dns->forward = forward_new(loop, elsewhere_forwarded, dns);
	dns->allow_recursion = config->allow_recursion;
	if (!dns->listener || !dns->alone || !dns->wire || !dns->wait || !dns->table ||
	    !dns->rate || !dns->wakes || !dns->forward) {
		error_set(err, ERROR_SYSTEM, "out of memory or descriptors");
		goto fail;
	}
	listen_between(dns->listener, between_connections, dns);
	if (dns->settings->tcp_connections)
		listen_limit(dns->listener, dns->settings->tcp_connections,
			     dns->settings->tcp_per_network, &dns->settings->exempt);
	dns->special = special_new(config->forward_special, config->forward_special_count, err);
	if (!dns->special)
		goto fail;
	set_upstreams(dns, config->forwarders, config->forwarder_count);
	return dns;
fail:
	dns_free(dns);
	return NULL;
}

void dns_free(struct dns *dns)
{
	if (!dns)
		return;
	link_free(dns->link);
	listen_free(dns->listener); /* its threads read what follows */
	timer_free(dns->alone);
	forward_free(dns->forward);
	special_free(dns->special);
	if (dns->own_acl)
		acl_free(&dns->allow_recursion);
	rate_free(dns->rate);
	wakes_free(dns->wakes);
	wait_free(dns->wait);
	table_free(dns->next);
	table_free(dns->table);
	wire_free(dns->wire);
	free(dns->retires);
	free(dns);
}

int dns_check(const struct dns_config *config, struct error *err)
{
	struct special *special =
		special_new(config->forward_special, config->forward_special_count, err);

	special_free(special);
	return special ? 0 : -1;
}

/* Bytes into records of that size, the caller's to free. */
static int copy_records(struct bytes bytes, size_t size, size_t max, void *out, size_t *count,
			const char *field, struct error *err)
{
	void *copy;

	*count = bytes.size / size;
	if (bytes.size % size || *count > max)
		return error_set(err, ERROR_SYSTEM, "malformed at its field '%s'", field);
	copy = calloc(*count + 1, size);
	if (!copy)
		return error_set(err, ERROR_SYSTEM, "out of memory");
	if (bytes.size)
		memcpy(copy, bytes.data, bytes.size);
	*(void **)out = copy;
	return 0;
}

int dns_take_host(struct dns *dns, const struct msg_host *m, struct error *err)
{
	cleanup_free struct sockaddr_storage *upstreams = NULL;
	struct acl acl = { 0 };
	size_t count;

	if (copy_records(m->upstreams, sizeof *upstreams, DNS_ENDPOINTS_MAX, &upstreams, &count,
			 "upstreams", err) < 0 ||
	    copy_records(m->allowed_v4, sizeof *acl.v4, UINT16_MAX, &acl.v4, &acl.v4_count,
			 "allowed_v4", err) < 0 ||
	    copy_records(m->allowed_v6, sizeof *acl.v6, UINT16_MAX, &acl.v6, &acl.v6_count,
			 "allowed_v6", err) < 0) {
		acl_free(&acl);
		return -1;
	}
	set_upstreams(dns, upstreams, count);
	if (dns->own_acl)
		acl_free(&dns->allow_recursion);
	dns->allow_recursion = acl;
	dns->own_acl = true;
	log_info("the host has changed: %zu upstreams", count);
	return 0;
}

static struct bytes address_of(const struct client *client)
{
	if (client->peer.any.sa_family == AF_INET)
		return (struct bytes){ (const uint8_t *)&client->peer.v4.sin_addr, 4 };
	if (IN6_IS_ADDR_V4MAPPED(&client->peer.v6.sin6_addr))
		return (struct bytes){ client->peer.v6.sin6_addr.s6_addr + 12, 4 };
	return (struct bytes){ client->peer.v6.sin6_addr.s6_addr, 16 };
}

void dns_want(struct dns *dns, struct table_service *service, const struct client *client,
	      const struct wire_query *query)
{
	struct msg_want m = { .id = service->id, .at = loop_now(dns->loop) };

	if (service->wanted || !dns->in_step)
		return;
	service->wanted = true;
	if (client)
		m.client = address_of(client);
	if (query)
		m.name = (struct bytes){ query->name, query->name_size };
	message_send_want(dns->link, &m);
}

static void send_answered(struct dns *dns, const struct table_service *service, unsigned waiters,
			  bool late)
{
	if (!dns->in_step || !waiters)
		return;
	message_send_answered(dns->link, &(struct msg_answered){ .id = service->id,
								 .at = loop_now(dns->loop),
								 .waiters = waiters,
								 .late = late });
}

static void on_late(void *arg, struct wait_queue *queue, unsigned waiters)
{
	const struct table_service *service =
		(const struct table_service *)((const char *)queue -
					       offsetof(struct table_service, waiters));

	send_answered(arg, service, waiters, true);
}

/* What the engine's messages are about: while it sends a table, that one. In it nobody waits. */
static struct table *current(struct dns *dns)
{
	return dns->next ? dns->next : dns->table;
}

static void drop_next(struct dns *dns)
{
	table_free(dns->next);
	dns->next = NULL;
	dns->retire_count = 0;
}

static void on_table_begin(void *arg, const struct msg_table_begin *m)
{
	struct dns *dns = arg;

	(void)m;
	drop_next(dns);
	dns->in_step = false;
	table_begin(dns->table);
	dns->next = table_new();
	if (!dns->next)
		abort();
}

static void on_service(void *arg, const struct msg_service *m)
{
	struct dns *dns = arg;
	struct table_service *service, *old;
	struct error err;

	dns->changed = true;
	if (dns->next && table_keep(dns->table, m)) {
		old = table_take(dns->next, m->id);
		if (old)
			table_drop(dns->next, old);
		return;
	}
	hot_lock(&dns->hot);
	if (table_put(current(dns), m, &service, &old, &err) < 0) {
		hot_unlock(&dns->hot);
		log_error("engine: %s", err.text);
		return;
	}
	hot_unlock(&dns->hot);
	if (dns->next && (service = table_kept(dns->table, m->id)))
		table_unkeep(service);
	if (!old)
		return;
	wait_again(dns->wait, &old->waiters);
	table_drop(current(dns), old);
}

static void on_services(void *arg, const struct msg_services *m)
{
	static const struct message_handlers handlers = { .service = on_service };
	struct error err;

	if (message_dispatch_list(m->list, &handlers, arg, &err) < 0)
		log_error("engine: %s", err.text);
}

static void send_retired(struct dns *dns, uint32_t id)
{
	message_send_retired(dns->link, &(struct msg_retired){ .id = id });
}

static void on_table_end(void *arg, const struct msg_table_end *m)
{
	struct dns *dns = arg;
	struct table_service **waited_for = NULL;
	size_t count = 0;

	(void)m;
	if (!dns->next) {
		log_error("engine: table_end without table_begin");
		return;
	}
	hot_lock(&dns->hot);
	if (table_count(dns->table) == 0) {
		table_free(dns->table);
		dns->table = dns->next;
	} else {
		waited_for = table_end(dns->table, dns->next, &count);
	}
	hot_unlock(&dns->hot);
	dns->next = NULL;
	dns->changed = true;
	dns->in_step = true;
	for (size_t i = 0; i < dns->retire_count; i++)
		send_retired(dns, dns->retires[i]);
	dns->retire_count = 0;
	wait_again(dns->wait, NULL);
	for (size_t i = 0; i < count; i++)
		table_drop(dns->table, waited_for[i]);
	free(waited_for);
	log_info("%zu services", table_count(dns->table));
	if (dns->serving)
		return;
	dns->serving = true;
	listen_start(dns->listener);
}

static void on_forget(void *arg, const struct msg_forget *m)
{
	struct dns *dns = arg;
	struct table_service *service;

	hot_lock(&dns->hot);
	service = table_take(current(dns), m->id);
	hot_unlock(&dns->hot);
	dns->changed = true;
	if (!service) {
		if (dns->next && (service = table_kept(dns->table, m->id)))
			table_unkeep(service);
		return;
	}
	wait_again(dns->wait, &service->waiters);
	table_drop(current(dns), service);
}

static void unknown(uint32_t id, const char *message)
{
	log_warning("engine: %s for service %u, which is not known", message, id);
}

static struct table_service *find(struct dns *dns, uint32_t id, const char *message)
{
	struct table_service *service = table_get(dns->table, id);

	if (!service)
		unknown(id, message);
	return service;
}

/* While a table is received the engine's word is about that one, in which nobody waits. */
static bool set_next(struct dns *dns, uint32_t id, bool ready, const char *message)
{
	struct table_service *service;

	if (!dns->next)
		return false;
	if ((service = table_get(dns->next, id)))
		service->ready = table_counts_as_ready(service, ready);
	else if ((service = table_kept(dns->table, id)))
		service->next_ready = table_counts_as_ready(service, ready);
	else
		unknown(id, message);
	return true;
}

static void set_ready(struct dns *dns, struct table_service *service, bool ready)
{
	hot_lock(&dns->hot);
	service->ready = table_counts_as_ready(service, ready);
	hot_unlock(&dns->hot);
}

static void on_ready(void *arg, const struct msg_ready *m)
{
	struct dns *dns = arg;
	struct table_service *service;

	if (set_next(dns, m->id, true, "ready") || !(service = find(dns, m->id, "ready")))
		return;
	set_ready(dns, service, true);
	service->wanted = false;
	send_answered(dns, service, wait_release(dns->wait, &service->waiters, WAIT_READY), false);
}

static void on_failed(void *arg, const struct msg_failed *m)
{
	struct dns *dns = arg;
	struct table_service *service;

	if (set_next(dns, m->id, false, "failed") || !(service = find(dns, m->id, "failed")))
		return;
	set_ready(dns, service, false);
	service->wanted = false;
	dns->failure_code = m->info_code;
	dns->failure_text = m->text;
	wait_release(dns->wait, &service->waiters, WAIT_FAILED);
	dns->failure_text = NULL;
}

static void put_to_sleep(struct dns *dns, struct table_service *service)
{
	set_ready(dns, service, false);
	service->wanted = false;
	if (!wait_queue_empty(&service->waiters))
		dns_want(dns, service, NULL, NULL);
}

static void on_asleep(void *arg, const struct msg_asleep *m)
{
	struct dns *dns = arg;
	struct table_service *service;

	if (set_next(dns, m->id, false, "asleep") || !(service = find(dns, m->id, "asleep")))
		return;
	put_to_sleep(dns, service);
}

static void defer_retired(struct dns *dns, uint32_t id)
{
	uint32_t *retires = reallocarray(dns->retires, dns->retire_count + 1, sizeof *retires);

	if (!retires)
		abort();
	dns->retires = retires;
	retires[dns->retire_count++] = id;
}

static void on_retire(void *arg, const struct msg_retire *m)
{
	struct dns *dns = arg;
	struct table_service *service;

	if (set_next(dns, m->id, false, "retire")) {
		defer_retired(dns, m->id);
		return;
	}
	service = find(dns, m->id, "retire");
	if (service)
		set_ready(dns, service, false);
	send_retired(dns, m->id);
	if (service)
		put_to_sleep(dns, service);
}

static void hang_up(struct dns *dns)
{
	link_free(dns->link);
	dns->link = NULL;
	dns->in_step = false;
	drop_next(dns);
	timer_set(dns->alone, LINK_ALONE_LIMIT);
}

static void on_message(void *arg, const uint8_t *data, size_t size, int fd)
{
	static const struct message_handlers handlers = {
		.table_begin = on_table_begin,
		.service = on_service,
		.services = on_services,
		.table_end = on_table_end,
		.forget = on_forget,
		.ready = on_ready,
		.retire = on_retire,
		.asleep = on_asleep,
		.failed = on_failed,
	};
	struct dns *dns = arg;
	struct error err;

	if (fd >= 0)
		close(fd);
	if (message_dispatch(data, size, &handlers, dns, &err) < 0) {
		log_error("engine: %s", err.text);
		hang_up(dns);
	}
}

static void on_closed(void *arg)
{
	const struct dns *dns = arg;

	if (dns->in_step)
		log_warning("the engine is gone; answering from what is known");
	hang_up(arg);
}

void dns_connect_engine(struct dns *dns, int fd)
{
	static const struct link_callbacks callbacks = { .message = on_message,
							 .closed = on_closed };

	hang_up(dns);
	timer_cancel(dns->alone);
	dns->link = link_new(dns->loop, fd, &callbacks, dns);
	if (!dns->link)
		log_error("no memory for the link to the engine");
}
