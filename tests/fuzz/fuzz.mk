# The fuzzers, by clang's libFuzzer, into $(O)/fuzz: make -f tests/fuzz/fuzz.mk from the top.
O ?= build
CLANG ?= clang
HARNESSES := answer stream forward frames

SRC := $(wildcard daemon/base/*.c daemon/dns/*.c proto/*.c) \
	$(filter-out synjitsu/main.c,$(wildcard synjitsu/*.c))
FLAGS := -std=gnu11 -D_GNU_SOURCE -I. -Idaemon -Itests/unit -O1 -g -fno-omit-frame-pointer
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
LIBS = $(shell pkg-config --libs libevent json-c libknot libmnl libcap-ng libseccomp xenvchan xenstore) \
	-lcmocka -pthread

fuzzers: $(HARNESSES:%=$(O)/fuzz/%)

$(O)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(CLANG) $(FLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(O)/fuzz/answer: WRAPS := -Wl,--wrap=listen_reply,--wrap=listen_skip

$(O)/fuzz/%: $(O)/fuzz/obj/tests/fuzz/fuzz_%.o $(SRC:%.c=$(O)/fuzz/obj/%.o)
	@echo '  LD  $@'
	@$(CLANG) $(SANITIZE) -fsanitize=fuzzer $(WRAPS) -o $@ $^ $(LIBS)

-include $(SRC:%.c=$(O)/fuzz/obj/%.d) $(HARNESSES:%=$(O)/fuzz/obj/tests/fuzz/fuzz_%.d)
.PHONY: fuzzers
.SECONDARY:
.DEFAULT_GOAL := fuzzers
