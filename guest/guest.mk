# The guests that are built here, into $(O)/guest. Also usable alone: make -f guest/guest.mk guest
O ?= build
CC ?= cc

.PHONY: guest
guest: $(O)/guest/tiny.elf

$(O)/guest/tiny.elf: guest/tiny/tiny.S guest/tiny/tiny.ld
	@mkdir -p $(@D)
	$(CC) -nostdlib -static -no-pie -Wl,-z,noseparate-code,-z,max-page-size=4096,--build-id=none,--no-warn-rwx-segments \
		-T guest/tiny/tiny.ld -o $@ guest/tiny/tiny.S
	strip $@
