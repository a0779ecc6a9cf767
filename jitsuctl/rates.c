#include "jitsuctl/rates.h"

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of two measurements, so much lies between at least: s. */
#define MEASURE_GAP 0.05
/* A measurement that old says nothing about now: s. */
#define MEASURE_AGE 30

static double number_at(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_double(value) : NAN;
}

static void put(struct json_object *object, const char *key, double value)
{
	if (!isnan(value))
		json_object_object_add(object, key, json_object_new_double(value));
}

/* A counter that fell is another domain's, or another daemon's. */
static double rate_of(double now, double before, double seconds)
{
	return seconds > 0 && now >= before ? (now - before) / seconds : NAN;
}

/* Fills in the row, and gives what is to be kept for the next time. */
static struct json_object *take_one(struct rate *row, struct json_object *before, double seconds,
				    double now)
{
	struct json_object *kept = json_object_new_object();
	double queries = number_at(row->service, "queries"), rx = number_at(row->service, "rx"),
	       tx = number_at(row->service, "tx"),
	       measured = now - number_at(row->service, "measured");
	double gap = measured - number_at(before, "measured");

	row->queries = rate_of(queries, number_at(before, "queries"), seconds);
	if (gap > MEASURE_GAP) {
		row->rx = rate_of(rx, number_at(before, "rx"), gap);
		row->tx = rate_of(tx, number_at(before, "tx"), gap);
	} else if (now - measured < MEASURE_AGE) {
		/* Nothing new: what was known holds on. */
		row->rx = number_at(before, "rx_rate");
		row->tx = number_at(before, "tx_rate");
		measured = number_at(before, "measured");
		rx = number_at(before, "rx");
		tx = number_at(before, "tx");
		if (isnan(measured)) {
			measured = now - number_at(row->service, "measured");
			rx = number_at(row->service, "rx");
			tx = number_at(row->service, "tx");
		}
	}
	put(kept, "queries", queries);
	put(kept, "measured", measured);
	put(kept, "rx", rx);
	put(kept, "tx", tx);
	put(kept, "rx_rate", row->rx);
	put(kept, "tx_rate", row->tx);
	return kept;
}

static double use_of(const struct rate *row)
{
	return (isnan(row->rx) ? 0 : row->rx) + (isnan(row->tx) ? 0 : row->tx) +
	       (isnan(row->queries) ? 0 : row->queries * QUERY_BYTES);
}

static const char *name_of(const struct rate *row)
{
	struct json_object *name;

	return json_object_object_get_ex(row->service, "name", &name) ? json_object_get_string(name)
								      : "";
}

static int by_use(const void *a, const void *b)
{
	const struct rate *left = a, *right = b;
	double l = use_of(left), r = use_of(right), asked_l, asked_r;

	if (l != r)
		return l < r ? 1 : -1;
	asked_l = number_at(left->service, "asked");
	asked_r = number_at(right->service, "asked");
	if (isnan(asked_l) != isnan(asked_r))
		return isnan(asked_l) ? 1 : -1;
	if (asked_l < asked_r || asked_l > asked_r)
		return asked_l > asked_r ? 1 : -1;
	return strcmp(name_of(left), name_of(right));
}

size_t rates_take(struct rates *rates, struct json_object *services, double now, struct rate **rows)
{
	size_t n = json_object_array_length(services);
	struct json_object *kept = json_object_new_object();

	*rows = calloc(n + 1, sizeof **rows);
	if (!*rows || !kept)
		abort();
	for (size_t i = 0; i < n; i++) {
		struct rate *row = &(*rows)[i];
		struct json_object *before = NULL;

		*row = (struct rate){ json_object_array_get_idx(services, i), NAN, NAN, NAN };
		json_object_object_get_ex(rates->last, name_of(row), &before);
		json_object_object_add(kept, name_of(row),
				       take_one(row, before, now - rates->at, now));
	}
	json_object_put(rates->last);
	rates->last = kept;
	rates->at = now;
	qsort(*rows, n, sizeof **rows, by_use);
	return n;
}

void rates_free(struct rates *rates)
{
	json_object_put(rates->last);
	*rates = (struct rates){ .last = NULL };
}
