#!/bin/sh
# Queries for a ready service, a thousand a second, while another service is being built.
# shellcheck source=tests/bench/lib.sh disable=SC2086
. /root/bench/lib.sh
cd "$work"

cat >services.json <<EOF
[ { "name": "hot", "dns": "hot.test", "ip": "10.0.0.2", "kernel": "$guests/tiny.elf", "memory": "16M", "ttl": 3600 } ]
EOF
big() { # KERNEL
	printf '{"name":"big","dns":"big.test","ip":"10.0.0.1","kernel":"%s","ramdisk":"%s","memory":"160M",' \
		"$guests/$1" "$guests/linux.initrd"
	printf '"nic":"xenbr0","cmdline":"console=hvc0 quiet ip=10.0.0.1/24 gw=10.0.0.254"}'
}
# waits FROM TO < FILE: waits in ms of the questions due between these times (µs).
waits() { awk -v from="$1" -v to="$2" '$1 >= from && $1 < to { print $3 == "-" ? "lost" : $3 / 1000 }'; }
# account KEY FILE: a round's waits: all of them, their longest, and how many are missing.
account() {
	grep -v lost "$2" >>"$1.samples" || fail "$1: no query was answered"
	sample "$1_longest" "$(grep -v lost "$2" | sort -n | tail -n 1)"
	sample "$1_lost" "$(grep -c lost "$2" || true)"
	sample "$1_asked" "$(wc -l <"$2")"
}
sum() { awk '{ n += $1 } END { print n + 0 }' "$work/$1.samples"; }

# round KEY KERNEL
round() {
	add "$(big "$2")"
	pinger -w 5000 -o pings 127.0.0.1 $port hot.test >pinged &
	pinger=$!
	sleep 0.2
	pinger -c 1 -w 2500 -o woken 127.0.0.1 $port big.test >/dev/null
	kill $pinger
	wait $pinger || fail "pinger"
	boot big created
	[ "$(cut -d' ' -f3 pinged)" = 0 ] || fail "answers that are none: $(cat pinged)"
	remove big
	sample "$1_build" "$booted"
	began=$(cut -d' ' -f1 woken)
	waits "$began" "$(awk -v b="$began" -v t="$booted" 'BEGIN { printf "%d", b + t * 1000 }')" <pings >round
	account "$1" round
}

start_jitsud --services services.json
ask hot
i=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	# Where nothing runs, the emulator's clock follows the real one, and a busy machine shows in it.
	chrt -i 0 sh -c 'while :; do :; done' &
	spinner=$!
	pinger -c 500 -w 5000 -o pings 127.0.0.1 $port hot.test >pinged
	kill $spinner
	wait $spinner 2>/dev/null || true
	waits 0 1e18 <pings >round
	account idle round
	round bzimage linux.vmlinuz
	round elf vmlinux
done
remove hot
stop_jitsud
nothing_runs

size() { awk -v b="$(wc -c <"$guests/$1")" 'BEGIN { printf "%.0f MB", b / 1e6 }'; }
line() { # LABEL KEY BUILD
	measured "$2" "$2_longest"
	awk -v l="$1" -v asked="$(sum "$2_asked")" -v lost="$(sum "$2_lost")" -v median="$(stat "$2" median)" \
		-v p99="$(sort -n "$2.samples" | awk '{ v[NR] = $1 } END { print v[int(NR * 0.99)] }')" \
		-v typical="$(stat "$2_longest" median)" -v longest="$(stat "$2" max)" -v build="$3" 'BEGIN {
		printf "%-44s %6d %5d %8.2f %8.2f %9.2f %8.2f %9s\n", l, asked, lost, median, p99, typical, longest, build }'
}
echo "A client asks for a ready service once a millisecond (of virtual time), $rounds rounds. Waits in ms, each from"
echo "when the question was due to its answer at the client. One processor for Xen, dom0, the client and the guests."
echo
printf '%-44s %6s %5s %8s %8s %9s %8s %9s\n' "meanwhile" asked lost median "99 %" "a round's" longest "build,"
printf '%-44s %6s %5s %8s %8s %9s %8s %9s\n' "" "" "" "" "" longest "of all" "median"
line "nothing" idle -
line "building linux.vmlinuz ($(size linux.vmlinuz) bzImage)" bzimage "$(stat bzimage_build median)"
line "building vmlinux ($(size vmlinux) ELF)" elf "$(stat elf_build median)"
