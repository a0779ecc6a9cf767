# The lab's part of the top Makefile. What runs there is the tree as `make install` lays it out.
.PHONY: lab lab-image check-lab lab-another $(O)/another/jitsud

# A root shell in dom0.
lab:
	tests/lab/run

# dom0's image, if it is not there yet: the long part of the first run.
lab-image:
	tests/lab/image

# Another build of this tree, for a test to upgrade to; tests/lab/check asks for it.
lab-another $(O)/another/jitsud:
	$(Q)$(MAKE) O=$(O)/another VERSION=$(VERSION)-another CFLAGS=-O1 $(O)/another/jitsud

# Every test in tests/lab/t, or those of T="NAME...". The counts go to COUNTS, or into $(O).
check-lab:
	@mkdir -p $(O)
	tests/lab/check --counts $(or $(COUNTS),$(O)/check-lab.counts) $(T)

# What an original Synjitsu is to jitsud, for a test.
$(O)/tests/lab/%: tests/lab/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu11 $(WARN) $(CFLAGS) -o $@ $< $$(pkg-config --libs xenvchan)
