/* The table of names against a plain model of it, and transfers that mostly say what is known. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "dns/table.h"

#define IDS   3000u
#define NAMES 2000u /* several services behind one, several names of one */

struct model {
	bool there, ready;
	unsigned count, names[4];
	uint8_t address;
};

static size_t wire(uint8_t *out, unsigned name)
{
	char label[16];
	int size = snprintf(label, sizeof label, "s%u", name);
	uint8_t *p = out;

	*p++ = (uint8_t)size;
	memcpy(p, label, (size_t)size);
	p += size;
	if (name % 3 == 0) {
		memcpy(p, "\003sub", 4);
		p += 4;
	}
	memcpy(p, "\007example\003org", 13);
	return (size_t)(p + 13 - out);
}

static struct msg_service message(uint32_t id, const struct model *m, uint8_t *names,
				  uint8_t *addresses)
{
	uint8_t *p = names;

	for (unsigned i = 0; i < m->count; i++)
		p += wire(p, m->names[i]);
	memcpy(addresses, (uint8_t[]){ 4, 10, 0, 0, m->address }, 5);
	return (struct msg_service){ .id = id,
				     .ttl = 60,
				     .wait_limit = 700,
				     .ready = m->ready,
				     .names = { names, (uint32_t)(p - names) },
				     .addresses = { addresses, 5 } };
}

static void put(struct table *table, uint32_t id, const struct model *m)
{
	uint8_t names[1024], addresses[8];
	struct msg_service msg = message(id, m, names, addresses);
	struct table_service *service, *old;
	struct error err;

	assert_int_equal(table_put(table, &msg, &service, &old, &err), 0);
	if (old)
		table_drop(table, old);
}

static struct model random_model(void)
{
	struct model m = { .there = true, .ready = random() & 1, .address = (uint8_t)random() };

	m.count = 1 + (unsigned)random() % 4;
	/* Each once: with the same name twice it is never taken for the same service. */
	for (unsigned i = 0; i < m.count; i++)
		m.names[i] = ((unsigned)random() % (NAMES / 4)) * 4 + i;
	return m;
}

static bool has(const struct model *m, unsigned name)
{
	for (unsigned i = 0; m->there && i < m->count; i++)
		if (m->names[i] == name)
			return true;
	return false;
}

static void compare(const struct table *table, const struct model *models)
{
	static unsigned behind[NAMES];
	size_t count = 0;

	memset(behind, 0, sizeof behind);
	for (uint32_t id = 0; id < IDS; id++) {
		const struct table_service *service = table_get(table, id);

		assert_int_equal(service != NULL, models[id].there);
		if (!service)
			continue;
		count++;
		assert_int_equal(service->id, id);
		assert_int_equal(service->ready, models[id].ready);
		assert_int_equal(table_v4(service)[3], models[id].address);
		for (unsigned name = 0; name < NAMES; name++)
			if (has(&models[id], name))
				behind[name]++;
	}
	assert_int_equal(table_count(table), count);
	for (unsigned name = 0; name < NAMES; name++) {
		uint8_t data[64];
		struct table_name *found = table_find(table, data, wire(data, name));

		assert_int_equal(found ? found->service_count : 0, behind[name]);
		for (uint32_t i = 0; i < behind[name]; i++)
			assert_true(has(&models[table_nth(table, found, i)->id], name));
	}
}

static void test_model(void **state)
{
	struct table *table = table_new();
	static struct model models[IDS];

	(void)state;
	memset(models, 0, sizeof models);
	for (unsigned step = 0; step < 60000; step++) {
		uint32_t id = (uint32_t)random() % IDS;
		struct table_service *old;

		/* It grows, shrinks to little, and grows again. */
		if (random() % 10 < (step / 20000 == 1 ? 2 : 7)) {
			models[id] = random_model();
			put(table, id, &models[id]);
		} else {
			models[id].there = false;
			old = table_take(table, id);
			if (old)
				table_drop(table, old);
		}
		if (step % 2000 == 0)
			compare(table, models);
	}
	compare(table, models);
	for (uint32_t id = 0; id < IDS; id++)
		if (table_take(table, id))
			models[id].there = false;
	compare(table, models);
	assert_int_equal(table->names.used, 0);
	table_free(table);
}

/* One name, very many services: its list outgrows what chunks are shared for. */
static void test_many_behind_one(void **state)
{
	struct table *table = table_new();
	struct model m = { .there = true, .count = 1 };
	uint8_t data[64];
	size_t size = wire(data, 0);

	(void)state;
	for (uint32_t id = 0; id < 20000; id++)
		put(table, id, &m);
	for (uint32_t id = 0; id < 20000; id++) {
		struct table_name *name = table_find(table, data, size);

		assert_int_equal(name->service_count, 20000 - id);
		assert_int_equal(table_nth(table, name, 0)->id, id);
		assert_int_equal(table_nth(table, name, 19999 - id)->id, 19999);
		table_drop(table, table_take(table, id));
	}
	assert_null(table_find(table, data, size));
	table_free(table);
}

static void test_transfer(void **state)
{
	static struct model models[IDS], next[IDS];
	struct table *table = table_new();

	(void)state;
	memset(models, 0, sizeof models);
	for (uint32_t id = 0; id < IDS; id++) {
		models[id] = random_model();
		put(table, id, &models[id]);
	}
	for (unsigned round = 0; round < 600; round++) {
		struct table *other = table_new();
		size_t count, before = table_count(table);

		table_begin(table);
		memcpy(next, models, sizeof next);
		for (uint32_t id = 0; id < IDS; id++) {
			uint8_t names[1024], addresses[8];
			struct table_service *kept;
			struct msg_service msg;

			switch (round < 500 ? 9 : random() % 10) {
			case 0:
				next[id] = random_model();
				break;
			case 1:
				next[id].there = false;
				break;
			case 2:
				next[id].ready = !next[id].ready;
				break;
			}
			if (!next[id].there)
				continue;
			msg = message(id, &next[id], names, addresses);
			if (!table_keep(table, &msg))
				put(other, id, &next[id]);
			/* Then it is removed again. */
			if (round >= 500 && random() % 50 == 0) {
				next[id].there = false;
				if ((kept = table_kept(table, id)))
					table_unkeep(kept);
				else
					table_drop(other, table_take(other, id));
			}
		}
		assert_int_equal(table_count(table), before);
		if (round >= 500 && round % 7 == 0) { /* cut short: it goes on with the next */
			table_free(other);
			continue;
		}
		if (round < 500)
			assert_int_equal(table_count(other), 0);
		if (round % 50 == 0)
			compare(table, models);
		assert_null(table_end(table, other, &count));
		memcpy(models, next, sizeof models);
		if (round % 50 == 1 || round > 590)
			compare(table, models);
	}
	table_free(table);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_many_behind_one),
		cmocka_unit_test(test_transfer),
	};

	srandom(4);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
