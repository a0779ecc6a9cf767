# Jitsu in C. `make help` lists the targets.
#
#   O=DIR          build into DIR (default build, or build/sanitize with SANITIZE)
#   SANITIZE=LIST  e.g. address,undefined
#   WERROR=1       warnings are errors
#   CC=clang       works as well as gcc
#   V=1            show the commands

VERSION := 0.1.0

SANITIZE ?=
WERROR ?=
O ?= build$(if $(SANITIZE),/sanitize)
PREFIX ?= /usr/local
DESTDIR ?=
# Where jitsud looks, whatever PREFIX is.
sysconfdir ?= /etc

PKGS := libevent json-c libknot sqlite3 libmnl libcap-ng libseccomp xenlight xencontrol xlutil xenstore xentoollog xencall xenvchan
HOST_PACKAGES := gcc libc6-dev make pkg-config git ca-certificates \
	libevent-dev libjson-c-dev libknot-dev libsqlite3-dev libmnl-dev libcap-ng-dev libseccomp-dev \
	libxen-dev libcmocka-dev libasan8 libubsan1 valgrind python3 iproute2 \
	bind9-dnsutils knot-dnsutils ldnsutils iputils-ping

# A line for each thing made; the commands with V=1.
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)  $(if $(2),$(2),$@)')

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
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)) -lm)$(PKG_LIBS)

BASE_SRC := $(wildcard daemon/base/*.c)
PROTO_SRC := $(wildcard proto/*.c)
ROOM_SRC := $(wildcard daemon/dns/*.c daemon/engine/*.c daemon/toolstack/*.c daemon/toolstack/*/*.c)
PARENT_SRC := $(filter-out daemon/main.c,$(wildcard daemon/*.c))
MAIN_SRC := daemon/main.c
CTL_SRC := $(wildcard jitsuctl/*.c)
SYNJITSU_SRC := $(filter-out synjitsu/main.c,$(wildcard synjitsu/*.c))
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
SCENARIO_SRC := $(wildcard tests/scenario/*.c)

# Apart from what they make: jitsuctl is a folder and a program.
obj = $(patsubst %.c,$(O)/obj/%.o,$(1))
ALL_SRC := $(BASE_SRC) $(PROTO_SRC) $(ROOM_SRC) $(PARENT_SRC) $(MAIN_SRC) $(CTL_SRC) \
	$(SYNJITSU_SRC) synjitsu/main.c $(FUZZ_SRC) $(UNIT_SRC) $(SCENARIO_SRC)
LIB := $(O)/libjitsu.a
UNIT_BIN := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))

all: $(O)/jitsud $(O)/jitsuctl $(O)/synjitsu

help:
	@echo 'all       build jitsud, jitsuctl and synjitsu into $(O)/ (the default)'
	@echo 'demo      the main job, shown on a real Xen, from a bare Debian 12'
	@echo 'check     all tests, those on a real Xen included'
	@echo 'check-fast      those that need no Xen'
	@echo 'check-sanitize  the same with ASan and UBSan'
	@echo 'bench     the benchmarks, in the lab'
	@echo 'bench-dns the one of DNS servers side by side'
	@echo 'bench-attacks  the one of jitsud under attack'
	@echo 'fuzz      the fuzzers, TIME seconds each (60)'
	@echo 'lab       a shell in the dom0 of the lab'
	@echo 'deps      install the packages needed to build and test (asks apt)'
	@echo 'install   to DESTDIR and PREFIX (default /usr/local); settings to /etc'
	@echo 'uninstall what install has put there, but for the settings'
	@echo 'clean     remove $(O)/'

$(O)/jitsud: $(call obj,$(MAIN_SRC)) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The client talks to a socket: it needs none of the daemon's libraries, but libxlutil, so that
# add --xl-cfg reads a guest's configuration as xl does.
$(O)/jitsuctl: $(call obj,$(CTL_SRC)) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs libevent json-c xlutil) -lm

$(O)/synjitsu: $(call obj,synjitsu/main.c) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ \
		$(shell pkg-config --libs libevent libmnl libcap-ng libseccomp xenvchan xenstore)

$(LIB): $(call obj,$(BASE_SRC) $(PROTO_SRC) $(ROOM_SRC) $(PARENT_SRC) $(SYNJITSU_SRC))
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(O)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/tests/unit/%: $(O)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(WRAPS) -o $@ $^ -lcmocka $(PKG_LIBS)

$(O)/tests/unit/test_pairs: WRAPS := -Wl,--wrap=lifecycle_step

$(O)/tests/scenario/scenario: $(call obj,$(SCENARIO_SRC)) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The harnesses without a fuzzer: they take files.
FUZZ_BIN := $(patsubst tests/fuzz/fuzz_%.c,$(O)/tests/fuzz/%,$(filter tests/fuzz/fuzz_%,$(FUZZ_SRC)))

$(call obj,$(FUZZ_SRC)): ALL_CFLAGS += -Itests/unit

$(O)/tests/fuzz/answer: WRAPS := -Wl,--wrap=listen_reply,--wrap=listen_skip

$(O)/tests/fuzz/%: $(O)/obj/tests/fuzz/fuzz_%.o $(O)/obj/tests/fuzz/replay.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(WRAPS) -o $@ $^ \
		-lcmocka $(PKG_LIBS)

-include $(patsubst %.c,$(O)/obj/%.d,$(ALL_SRC))
-include tests/lab/lab.mk guest/guest.mk

.PHONY: all help
.SECONDARY:
.DEFAULT_GOAL := all

# --- what is installed -----------------------------------------------------------------------
INSTALL ?= install

install: all
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/doc/jitsu $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(sysconfdir)/jitsu/services.d
	$(INSTALL) -m 755 $(O)/jitsud $(DESTDIR)$(PREFIX)/sbin/jitsud
	$(INSTALL) -m 755 $(O)/jitsuctl $(DESTDIR)$(PREFIX)/bin/jitsuctl
	$(INSTALL) -m 755 $(O)/synjitsu $(DESTDIR)$(PREFIX)/sbin/synjitsu
	$(INSTALL) -m 644 daemon/jitsud.8 synjitsu/synjitsu.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	$(INSTALL) -m 644 jitsuctl/jitsuctl.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	$(INSTALL) -m 644 jitsuctl/jitsuctl.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/jitsuctl
	$(INSTALL) -m 644 proto/PROTOCOL.md proto/openrpc.json README.md CHANGES LICENSE \
		$(DESTDIR)$(PREFIX)/share/doc/jitsu/
	sed 's|@PREFIX@|$(PREFIX)|g' xen-config/jitsud.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/jitsud.service
	sed 's|@PREFIX@|$(PREFIX)|g' xen-config/synjitsu.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/synjitsu.service
	$(INSTALL) -m 644 xen-config/jitsu.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/jitsu.conf
	test -e $(DESTDIR)$(sysconfdir)/jitsu/jitsud.conf || \
		$(INSTALL) -m 644 xen-config/jitsud.conf $(DESTDIR)$(sysconfdir)/jitsu/jitsud.conf

uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,sbin/jitsud bin/jitsuctl sbin/synjitsu \
		share/man/man8/jitsud.8 share/man/man8/synjitsu.8 share/man/man1/jitsuctl.1 \
		share/bash-completion/completions/jitsuctl lib/sysusers.d/jitsu.conf \
		lib/systemd/system/jitsud.service lib/systemd/system/synjitsu.service)
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/jitsu

# --- packages --------------------------------------------------------------------------------
LAB_PACKAGES = $(shell sed 's/\#.*//' tests/lab/packages.host 2>/dev/null)

# Other servers and clients that tests run; unpacked into build/servers, not installed.
NET_PACKAGES := knot unbound dnsmasq-base systemd-resolved bind9-dnsutils knot-dnsutils ldnsutils \
	dnsperf

# Says nothing and needs no root where all is there.
deps: deps-installed
	@tests/net/unpack $(NET_PACKAGES) >/dev/null || echo "deps: the tests in tests/net will be skipped"

deps-installed:
	@missing=; for p in $(HOST_PACKAGES) $(LAB_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || \
			missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	echo "deps: installing$$missing"; \
	as=; [ "$$(id -u)" = 0 ] || as=sudo; \
	if [ -n "$$as" ] && ! command -v sudo >/dev/null; then \
		echo "deps: run this as root, or install sudo, or install the packages named above" >&2; \
		exit 1; \
	fi; \
	{ $$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as env \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } \
		>deps.log 2>&1 || { tail -n 20 deps.log >&2; echo "deps: failed, see deps.log" >&2; exit 1; }; \
	rm -f deps.log

# --- tests -----------------------------------------------------------------------------------
# Each of these starts by installing what is missing, so the real work is a second make.
SANITIZERS := address,undefined

check: deps
	@$(MAKE) --no-print-directory check-all

check-all:
	@tests/check

units: $(UNIT_BIN) $(FUZZ_BIN) $(O)/tests/scenario/scenario $(O)/jitsud $(O)/jitsuctl $(O)/synjitsu

check-fast: units
	@O=$(O) tests/run $(if $(COUNTS),--counts $(COUNTS)) $(UNIT_BIN)

check-sanitize:
	@$(MAKE) --no-print-directory SANITIZE=$(SANITIZERS) WERROR=$(WERROR) check-fast

demo: deps
	@$(MAKE) --no-print-directory -j$$(nproc) demo-run

demo-run: all
	@tests/lab/demo

bench: deps
	@$(MAKE) --no-print-directory -j$$(nproc) bench-run

bench-run: all
	@tests/bench/run

# One of them, on this machine alone: DNS servers side by side.
bench-dns: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/bench/run dns

# jitsud alone on this machine, while it is attacked.
bench-attacks: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/bench/run attacks

# TIME seconds each, or of those named in H.
fuzz: deps
	@command -v clang >/dev/null && ls /usr/lib/llvm-*/lib/clang/*/lib/linux/*fuzzer* >/dev/null 2>&1 || \
		{ [ "$$(id -u)" = 0 ] && apt-get install -y -qq clang libclang-rt-14-dev >/dev/null; }
	@$(MAKE) --no-print-directory -j$$(nproc) -f tests/fuzz/fuzz.mk O=$(O)
	@O=$(O) TIME=$(or $(TIME),60) tests/fuzz/run $(H)

clean:
	rm -rf build

.PHONY: install uninstall fuzz deps deps-installed check check-all units check-fast check-sanitize demo demo-run bench bench-run bench-dns bench-attacks clean
