/* engine/registry and engine/index: who has what, and that it is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "engine/service.h"
#include "proto/spec.h"
#include "proto/usage.h"

static struct service *make(uint32_t id, const char *name, const char *ip, unsigned uuid)
{
	struct service *service = calloc(1, sizeof *service);
	struct error err = { 0 };
	char text[512];

	snprintf(text, sizeof text,
		 "{\"name\":\"%s\",\"dns\":[\"shared.example\"],\"ip\":[%s],"
		 "\"uuid\":\"00000000-0000-4000-8000-%012x\"}",
		 name, ip, uuid);
	service->id = id;
	service->spec = spec_from_text(text, true, &err);
	if (!service->spec)
		fail_msg("%s", err.text);
	return service;
}

static void drop(struct service *service)
{
	spec_free(service->spec);
	free(service);
}

static void conflicts(struct registry *registry, struct service *service,
		      const struct service *self, enum error_kind kind, const char *field,
		      const char *words)
{
	struct error err = { 0 };

	assert_int_equal(registry_check(registry, service->spec, self, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_string_equal(err.field, field);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" lacks \"%s\"", err.text, words);
}

static void test_conflicts(void **state)
{
	struct registry *registry = registry_new();
	struct service *a = make(0, "a", "\"10.0.0.1\",\"fd00::1\"", 1);
	struct service *same_name = make(1, "a", "\"10.0.0.2\"", 2);
	struct service *same_ip = make(1, "c", "\"10.0.0.2\",\"fd00:0::1\"", 2);
	struct service *same_uuid = make(1, "b", "\"10.0.0.2\"", 1);
	struct service *other = make(1, "b", "\"10.0.0.2\"", 2);

	(void)state;
	registry_put(registry, a);
	conflicts(registry, same_name, NULL, ERROR_CONFLICT, "name", "a service of this name");
	conflicts(registry, same_ip, NULL, ERROR_CONFLICT, "ip",
		  "ip: \"fd00::1\": service \"a\" has it");
	conflicts(registry, same_uuid, NULL, ERROR_CONFLICT, "uuid", "service \"a\" has it");
	assert_int_equal(registry_check(registry, a->spec, a, NULL), 0);
	assert_int_equal(registry_check(registry, other->spec, NULL, NULL), 0);
	registry_put(registry, other);
	a->state = LIFECYCLE_REMOVING;
	conflicts(registry, same_name, NULL, ERROR_BUSY, "name", "just being removed");
	conflicts(registry, same_ip, NULL, ERROR_CONFLICT, "ip", "service \"b\" has it");
	registry_remove(registry, a);
	assert_int_equal(registry_check(registry, same_ip->spec, other, NULL), 0);
	assert_null(registry_by_name(registry, "a"));
	assert_ptr_equal(registry_by_name(registry, "b"), other);
	registry_remove(registry, other);
	registry_free(registry);
	drop(a);
	drop(same_name);
	drop(same_ip);
	drop(same_uuid);
	drop(other);
}

static void test_look_up(void **state)
{
	struct registry *registry = registry_new();
	struct service *a = make(0, "a", "\"10.0.0.1\"", 1), *b = make(1, "b", "\"10.0.0.2\"", 2);
	struct service *changed = make(0, "a", "\"10.0.0.9\"", 1);
	struct spec *old;

	(void)state;
	assert_null(registry_by_id(registry, 0));
	registry_put(registry, a);
	registry_put(registry, b);
	assert_ptr_equal(registry_by_id(registry, 1), b);
	assert_null(registry_by_id(registry, 2));
	assert_null(registry_by_id(registry, UINT32_MAX));
	assert_ptr_equal(registry_by_uuid(registry, b->spec->uuid), b);
	assert_null(registry_by_domid(registry, 7));
	registry_set_domid(registry, a, 7);
	assert_ptr_equal(registry_by_domid(registry, 7), a);
	registry_set_domid(registry, a, 8);
	assert_null(registry_by_domid(registry, 7));
	/* Xen gave the number to another one. */
	registry_set_domid(registry, b, 8);
	assert_ptr_equal(registry_by_domid(registry, 8), b);
	assert_false(a->entry.has_domain);
	registry_clear_domid(registry, b);
	registry_clear_domid(registry, b);
	assert_null(registry_by_domid(registry, 8));
	old = registry_replace_spec(registry, a, changed->spec);
	assert_int_equal(registry_check(registry, old, a, NULL), 0);
	changed->spec = old;
	registry_remove(registry, a);
	assert_int_equal(registry_end(registry), 2);
	registry_remove(registry, b);
	assert_int_equal(registry_end(registry), 0);
	registry_free(registry);
	drop(a);
	drop(b);
	drop(changed);
}

static void test_lowest_free_id(void **state)
{
	enum { N = 5000 };
	struct registry *registry = registry_new();
	struct service **services = calloc(N, sizeof *services);
	char name[32], ip[32];

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		snprintf(name, sizeof name, "s%u", i);
		snprintf(ip, sizeof ip, "\"10.1.%u.%u\"", i / 256, i % 256);
		assert_int_equal(registry_free_id(registry), i);
		services[i] = make(i, name, ip, i + 1);
		registry_put(registry, services[i]);
	}
	assert_int_equal(registry_free_id(registry), N);
	registry_remove(registry, services[4999]);
	registry_remove(registry, services[4097]);
	registry_remove(registry, services[64]);
	assert_int_equal(registry_free_id(registry), 64);
	registry_put(registry, services[64]);
	assert_int_equal(registry_free_id(registry), 4097);
	registry_put(registry, services[4097]);
	assert_int_equal(registry_free_id(registry), 4999);
	assert_int_equal(registry_end(registry), 4999);
	for (uint32_t i = 0; i < N; i++) {
		snprintf(name, sizeof name, "s%u", i);
		assert_ptr_equal(registry_by_name(registry, name), i == 4999 ? NULL : services[i]);
		if (i != 4999)
			registry_remove(registry, services[i]);
		drop(services[i]);
	}
	assert_int_equal(registry_free_id(registry), 0);
	free(services);
	registry_free(registry);
}

/* All ids at once: the tree of free ones knows its end. */
static void test_all_ids(void **state)
{
	struct registry *registry = registry_new();
	struct service *services = calloc(USAGE_SLOTS, sizeof *services);
	struct spec *specs = calloc(USAGE_SLOTS, sizeof *specs);
	char(*names)[8] = calloc(USAGE_SLOTS, sizeof *names);

	(void)state;
	for (uint32_t i = 0; i < USAGE_SLOTS; i++) {
		uint32_t id = registry_free_id(registry);

		if (id != i)
			fail_msg("id %u, expected %u", id, i);
		snprintf(names[i], sizeof names[i], "%x", i);
		specs[i].name = names[i];
		memcpy(specs[i].uuid, &i, sizeof i);
		services[i].spec = &specs[i];
		services[i].id = i;
		registry_put(registry, &services[i]);
	}
	assert_int_equal(registry_free_id(registry), REGISTRY_NO_ID);
	registry_remove(registry, &services[USAGE_SLOTS - 1]);
	assert_int_equal(registry_free_id(registry), USAGE_SLOTS - 1);
	for (uint32_t i = 0; i < USAGE_SLOTS - 1; i++)
		registry_remove(registry, &services[i]);
	assert_int_equal(registry_free_id(registry), 0);
	registry_free(registry);
	free(services);
	free(specs);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_look_up),
		cmocka_unit_test(test_lowest_free_id),
		cmocka_unit_test(test_all_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
