# Jitsu in C. `make help` lists the targets.
#
#   O=DIR          build into DIR (default build, or build/sanitize with SANITIZE)
#   SANITIZE=LIST  e.g. address,undefined
#   WERROR=1       warnings are errors
#   CC=clang       works as well as gcc

VERSION := 0.1.0

SANITIZE ?=
WERROR ?=
O ?= build$(if $(SANITIZE),/sanitize)
PREFIX ?= /usr/local
DESTDIR ?=
sysconfdir ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)

PKGS := libevent json-c libknot sqlite3 libmnl libcap-ng xenlight xlutil xenstore
HOST_PACKAGES := gcc libc6-dev make pkg-config git ca-certificates \
	libevent-dev libjson-c-dev libknot-dev libsqlite3-dev libmnl-dev libcap-ng-dev \
	libxen-dev libcmocka-dev libasan8 libubsan1 valgrind python3-minimal python3 jq knot-dnsutils

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wformat=2 -Wundef $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2) -fcf-protection
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DJITSU_VERSION='"$(VERSION)"' -I. -Idaemon -I$(O) \
	$(WARN) $(HARDEN) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer) \
	$(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

# Asked once, and only by what compiles: `make deps` runs where pkg-config is not there yet.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

BASE_SRC := $(wildcard daemon/base/*.c)
PROTO_SRC := $(wildcard proto/*.c)
ROOM_SRC := $(wildcard daemon/dns/*.c daemon/engine/*.c daemon/toolstack/*.c daemon/toolstack/*/*.c)
MAIN_SRC := $(wildcard daemon/*.c)
CTL_SRC := $(wildcard jitsuctl/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
SCENARIO_SRC := $(wildcard tests/scenario/*.c)

obj = $(patsubst %.c,$(O)/%.o,$(1))
ALL_SRC := $(BASE_SRC) $(PROTO_SRC) $(ROOM_SRC) $(MAIN_SRC) $(CTL_SRC) $(UNIT_SRC) $(SCENARIO_SRC)
LIB := $(O)/libjitsu.a
UNIT_BIN := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))

all: $(O)/jitsud $(O)/jitsuctl

help:
	@echo 'all       build jitsud and jitsuctl into $(O)/ (the default)'
	@echo 'demo      the main job, shown on a real Xen, from a bare Debian 12'
	@echo 'check     unit, scenario and lab tests'
	@echo 'bench     the benchmarks, in the lab'
	@echo 'lab       a shell in the dom0 of the lab'
	@echo 'deps      install the packages needed to build and test (asks apt)'
	@echo 'install   to DESTDIR and PREFIX (default /usr/local)'
	@echo 'clean     remove $(O)/'

$(O)/jitsud: $(call obj,$(MAIN_SRC)) $(LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The client talks to a socket: it needs none of the daemon's libraries.
$(O)/jitsuctl: $(call obj,$(CTL_SRC)) $(LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs libevent json-c)

$(LIB): $(call obj,$(BASE_SRC) $(PROTO_SRC) $(ROOM_SRC))
	rm -f $@
	$(AR) rcs $@ $^

$(O)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(PKG_LIBS)

$(O)/tests/scenario/scenario: $(call obj,$(SCENARIO_SRC)) $(LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

-include $(patsubst %.c,$(O)/%.d,$(ALL_SRC))
-include tests/lab/lab.mk guest/guest.mk

.PHONY: all help
.DEFAULT_GOAL := all
