#include "base/tide.h"

#include <malloc.h>

void tide_set(struct tide *tide, size_t held)
{
	if (held > tide->most) {
		tide->most = held;
	} else if (tide->most - held >= TIDE_MIN && held <= tide->most / 4) {
		malloc_trim(0);
		tide->most = held;
	}
}
