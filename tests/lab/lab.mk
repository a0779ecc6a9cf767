# The lab's part of the top Makefile. What runs there is the tree as `make install` lays it out.
.PHONY: lab lab-image check-lab

# A root shell in dom0.
lab:
	tests/lab/run

# dom0's image, if it is not there yet: the long part of the first run.
lab-image:
	tests/lab/image

# Every test in tests/lab/t, or those of T="NAME...". The counts go to COUNTS, or into $(O).
check-lab:
	@mkdir -p $(O)
	tests/lab/check --counts $(or $(COUNTS),$(O)/check-lab.counts) $(T)
