# The benchmarks' own programs, into $(O)/bench: make -f tests/bench/bench.mk
O ?= build
CC ?= cc
CFLAGS ?= -O2 -g
TOOLS := stopwatch rpc pinger visitor flood echo storm crowd

bench-tools: $(TOOLS:%=$(O)/bench/%)

$(O)/bench/%: tests/bench/%.c tests/bench/common.h tests/bench/sources.h tests/bench/bench.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes $(CFLAGS) -o $@ $<

.PHONY: bench-tools
.DEFAULT_GOAL := bench-tools
