#!/bin/sh
# The lab itself: a real Xen, and guests of each kind on it.
# timeout: 600
# takes: 60
# shellcheck source=tests/lab/lib/lab.sh
. "$LAB_LIB/lab.sh"

same "Xen's version" 4.17 "$(xl info | awk -F': ' '/^xen_major/ { a = $2 } /^xen_minor/ { b = $2 } END { print a "." b }')"
same "the path of Xen's files" "root:root 644" "$(stat -c '%U:%G %a' "$GUESTS/linux.vmlinuz")"

guest pv pv 10.0.0.11
guest pvh pvh 10.0.0.12 listen_delay=1 bigfile=1
for kind in pv pvh; do # PVH needs more: Xen takes part of it for paging
	cat >tiny-$kind.cfg <<EOF
name = "tiny-$kind"
type = "$kind"
memory = 32
kernel = "$GUESTS/tiny.elf"
vif = [ "bridge=xenbr0" ]
EOF
	xl create -q tiny-$kind.cfg
done
blocked() { [ "$(state "$1")" = -b---- ]; }
wait_for 60 blocked tiny-pv
wait_for 60 blocked tiny-pvh

wait_for 300 page 10.0.0.11
wait_for 300 page 10.0.0.12
page 10.0.0.11 | grep -q jitsu-lab-guest || fail "the page lacks its marker"
page 10.0.0.11 | grep -q "hostname pv$" || fail "the page lacks the host's name"
same "size of the large file" 1048576 "$(curl -s http://10.0.0.12/big | wc -c)"
same "state of the tiny guest" -b---- "$(state tiny-pv)"

xl list
for name in pv pvh tiny-pv tiny-pvh; do xl destroy $name; done
same "domains" 1 "$(xl list | tail -n +2 | wc -l)"
