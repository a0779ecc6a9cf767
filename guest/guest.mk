# The guests that are built here, into $(O)/guest. Also usable alone: make -f guest/guest.mk guest
O ?= build
CC ?= cc

GUEST_LDFLAGS := -nostdlib -static -no-pie \
	-Wl,-z,noseparate-code,-z,max-page-size=4096,--build-id=none,--no-warn-rwx-segments

# No library, no vector registers; of Xen's interface the version that its headers call the latest.
GUEST_CFLAGS := -std=gnu11 -O2 -ffreestanding -fno-strict-aliasing -mno-red-zone -mgeneral-regs-only -fno-pic \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-D__XEN_INTERFACE_VERSION__=0x00040e00 \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wundef
WEB_SRC := guest/web/start.S $(wildcard guest/web/*.c)

.PHONY: guest
guest: $(O)/guest/tiny.elf $(O)/guest/web.elf $(O)/guest/boot.bin

$(O)/guest/tiny.elf: guest/tiny/tiny.S guest/tiny/tiny.ld guest/note.h
	@mkdir -p $(@D)
	$(CC) $(GUEST_LDFLAGS) -T guest/tiny/tiny.ld -o $@ guest/tiny/tiny.S
	strip $@

$(O)/guest/web.elf: $(WEB_SRC) $(wildcard guest/web/*.h) guest/note.h guest/web/web.ld guest/guest.mk
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) $(GUEST_LDFLAGS) -T guest/web/web.ld -o $@ $(WEB_SRC)
	strip $@

$(O)/guest/boot.bin: guest/boot/boot.S
	@mkdir -p $(@D)
	$(CC) -m32 -nostdlib -static -no-pie -Wl,-Ttext=0x7c00,--build-id=none,--oformat=binary -o $@ guest/boot/boot.S
