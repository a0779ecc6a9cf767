#!/bin/sh
# What it takes to create and to destroy a domain: jitsud against xl, in turn, in one run.
# shellcheck source=tests/bench/lib.sh disable=SC2086,SC2119
. /root/bench/lib.sh
cd "$work"

xl_config() { # NAME VIF MEMORY KERNEL [LINE...]
	printf 'name = "%s"\nvif = [ %s ]\nmemory = %s\nkernel = "%s"\n' "$1" "$2" "$3" "$guests/$4"
	shift 4
	[ $# = 0 ] || printf '%s\n' "$@"
}
line="console=hvc0 quiet hostname=guest ip=10.0.0.1/24 gw=10.0.0.254"
xl_config xl-tiny '"bridge=xenbr0"' 16 tiny.elf >tiny.cfg
xl_config xl-bare '' 16 tiny.elf >bare.cfg
xl_config xl-linux '"bridge=xenbr0"' 96 linux.vmlinuz "ramdisk = \"$guests/linux.initrd\"" "cmdline = \"$line\"" >linux.cfg

service() { # NAME ADDRESS KEYS
	printf '{"name":"%s","dns":"%s.test","ip":"%s","type":"pv",%s}' "$1" "$1" "$2" "$3"
}
tiny_keys="\"kernel\":\"$guests/tiny.elf\",\"memory\":\"16M\""
tiny=$(service tiny 10.0.0.2 "$tiny_keys,\"nic\":\"xenbr0\"")
bare=$(service bare 10.0.0.3 "$tiny_keys")
linux=$(service linux 10.0.0.1 "\"kernel\":\"$guests/linux.vmlinuz\",\"ramdisk\":\"$guests/linux.initrd\",
	\"memory\":\"96M\",\"cmdline\":\"$line\",\"nic\":\"xenbr0\"" | tr -d '\n\t')

# started KEY NAME OBJECT MILLISECONDS: adds it, asks for it, and notes when its domain was there; it
# will be before so long.
started() {
	add "$3"
	sleep 0.2
	query "$2" "$4"
	boot "$2" created
	sample "$1" "$booted"
}
removed() { # KEY NAME
	remove "$2"
	sample "$1" "$(cut -d' ' -f1 $work/said)"
}

# One of each that does not count: caches, and files read for the first time.
start_jitsud
xl create -q tiny.cfg && xl destroy xl-tiny
xl create -q linux.cfg && xl destroy xl-linux
started warm tiny "$tiny" 500
remove tiny
started warm linux "$linux" 2000
remove linux

i=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	xl_create xl_create tiny.cfg
	xl_destroy xl_destroy xl-tiny
	started created tiny "$tiny" 500
	removed removed tiny
	started created_again tiny "$tiny" 500
	ms=$(stopwatch jitsuctl -s $control remove tiny 2>$work/said) || fail "jitsuctl remove"
	sample jitsuctl_remove "$ms"

	xl_create xl_create_bare bare.cfg
	xl_destroy xl_destroy_bare xl-bare
	add "$bare"
	sleep 0.2
	ask bare
	sample answered_bare "$waited"
	boot bare created
	sample created_bare "$booted"
	removed removed_bare bare

	xl_create xl_create_linux linux.cfg
	xl_destroy xl_destroy_linux xl-linux
	started created_linux linux "$linux" 2000
	removed removed_linux linux
done
nothing_runs

# Once more, traced, which takes far longer and so is not timed.
follow() { # FILE: the toolstack
	: >strace.log
	strace -f -e trace=$trace -o "$1" -p "$(toolstack)" 2>strace.log &
	strace=$!
	until grep -q attached strace.log; do sleep 0.1; done
}
unfollow() {
	sleep 1
	kill $strace
	wait $strace 2>/dev/null || true
}
strace -f -e trace=$trace -o xl_create.trace xl create -q tiny.cfg & # ends with the domain
strace=$!
until [ "$(xl list xl-tiny 2>/dev/null | awk 'NR == 2 { print $5 }')" = -b---- ]; do sleep 0.5; done
sleep 2
cp xl_create.trace xl_created.trace
strace -f -e trace=$trace -o xl_destroy.trace xl destroy xl-tiny
wait $strace || true
add "$tiny"
follow create.trace
query tiny 3000
boot tiny created
unfollow
follow destroy.trace
remove tiny
unfollow
stop_jitsud
nothing_runs

columns="  xenstore  programs"
echo "Times in ms of virtual time (1 ns an instruction), $(stat created count) rounds, all in one run, in turn."
echo "jitsud's times count from the arrival of the query. Its store is in memory, so no disk is in them."
title "The smallest PV guest (tiny.elf, 16 MB, one nic on xenbr0): create"
head_row "" "$columns"
row "xl create, vif-bridge script, exec to exit" xl_create "$(counts xl_created.trace)"
row "jitsud, query to domain created" created "$(counts create.trace)"
ratio "xl create / jitsud" xl_create created
title "The same: destroy"
head_row "" "$columns"
row "xl destroy, exec to exit" xl_destroy "$(counts xl_destroy.trace)"
row "jitsud, service.remove to its answer" removed "$(counts destroy.trace)"
row "jitsuctl remove, exec to exit" jitsuctl_remove
ratio "xl destroy / jitsud" xl_destroy removed
ratio "xl destroy / jitsuctl remove" xl_destroy jitsuctl_remove
title "The smallest PV guest without a nic"
head_row ""
row "xl create" xl_create_bare
row "jitsud, query to domain created" created_bare
row "jitsud, query sent to answer received" answered_bare
row "xl destroy" xl_destroy_bare
row "jitsud, service.remove to its answer" removed_bare
ratio "create: xl / jitsud" xl_create_bare created_bare
ratio "destroy: xl / jitsud" xl_destroy_bare removed_bare
title "The Linux guest (linux.vmlinuz, a bzImage, and its ramdisk; PV, 96 MB, one nic)"
head_row ""
row "xl create" xl_create_linux
row "jitsud, query to domain created" created_linux
difference "create: xl - jitsud" xl_create_linux created_linux
row "xl destroy" xl_destroy_linux
row "jitsud, service.remove to its answer" removed_linux
difference "destroy: xl - jitsud" xl_destroy_linux removed_linux
