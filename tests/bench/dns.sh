#!/bin/bash
# What an answer costs a DNS server here: jitsud (backend sim), an echo as the floor, Knot DNS.
# Runs on the host itself. O: where jitsud and the tools are.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${O:-$top/build}
rounds=3 seconds=2 port=${BENCH_PORT:-5390}
work=$(mktemp -d)
started=()
cleanup() {
	trap '' INT TERM
	[ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() {
	echo "failed: $*"
	tail -n 20 "$work"/*.log | sed 's/^/    /'
	exit 1
}

names() { seq -f "s%g.example.org" "$1"; }
names 49 >"$work/49"
names 10000 >"$work/10000"

declare -A pids ports label
order=() # rows of the table
# server KEY PORT NAMES LABEL PID...
server() {
	order+=("$1")
	ports[$1]="$2 $work/$3" label[$1]=$4 pids[$1]="${*:5}"
}

start_echo() { # MODE PORT LABEL
	"$build/bench/echo" "$1" 127.0.0.1 "$2" 2>"$work/echo-$1.log" &
	started+=($!)
	server "echo-$1" "$2" 49 "$3" $!
}

start_jitsud() { # COUNT PORT
	local dir=$work/jitsud-$1 parent i
	mkdir -p "$dir/none"
	awk 'BEGIN { printf "[" }
		{ n = NR - 1
		  printf "%s\n{\"name\":\"s%d\",\"dns\":\"%s\",\"ip\":\"10.%d.%d.%d\",\"ttl\":3600,\"wait_limit\":60000",
			(n > 0 ? "," : ""), NR, $1, int(n / 62500), int(n / 250) % 250, n % 250 + 1
		  printf ",\"sim_boot\":0,\"sim_frame\":0}" }
		END { print "]" }' "$work/$1" >"$dir/services.json"
	"$build/jitsud" --foreground -x sim -b 127.0.0.1 -l "$2" -f 0.0.0.0 -d 0 --persistdb :memory: --boots 64 \
		--control "$dir/control.sock" --services "$dir/services.json" --services-dir "$dir/none" \
		>"$work/jitsud-$1.log" 2>&1 &
	parent=$!
	started+=("$parent")
	for ((i = 0; i < 100; i++)); do
		! "$build/jitsuctl" -s "$dir/control.sock" status >/dev/null 2>&1 || break
		kill -0 $parent 2>/dev/null || fail "jitsud ended"
		sleep 0.1
	done
	# Summons them all; from here on each is ready.
	"$build/bench/flood" -a -s 50 127.0.0.1 "$2" "$work/$1" >/dev/null 2>"$work/flood.log" ||
		fail "jitsud did not answer for $1 names"
	# shellcheck disable=SC2046 # several
	server "jitsud-$1" "$2" "$1" "jitsud, $1 names" $parent $(cat /proc/$parent/task/$parent/children)
}

start_knot() { # COUNT PORT
	local dir=$work/knot-$1 knotd=$2 i
	mkdir -p "$dir/db"
	{
		echo "\$ORIGIN example.org."
		echo "@ 3600 SOA ns hostmaster 1 3600 600 86400 60"
		echo "@ 3600 NS ns"
		echo "ns 3600 A 10.0.0.1"
		awk '{ print $1 ". 3600 A 10.0.0.1" }' "$work/$1"
	} >"$dir/zone"
	cat >"$dir/knot.conf" <<-EOF
		server:
		  rundir: "$dir"
		  listen: 127.0.0.1@$3
		  udp-workers: 1
		  tcp-workers: 1
		  background-workers: 1
		database:
		  storage: "$dir/db"
		zone:
		  - domain: example.org
		    file: "$dir/zone"
	EOF
	"$knotd" -c "$dir/knot.conf" >"$work/knot-$1.log" 2>&1 &
	started+=($!)
	for ((i = 0; i < 100; i++)); do
		! "$build/bench/flood" -a -s 1 127.0.0.1 "$3" "$work/49" >/dev/null 2>&1 || break
		kill -0 "${started[-1]}" 2>/dev/null || fail "knotd ended"
		sleep 0.1
	done
	server "knot-$1" "$3" "$1" "Knot DNS $("$knotd" --version | awk '{ print $NF }'), $1 names" "${started[-1]}"
}

start_echo many "$port" "floor: echo, recvmmsg and sendmmsg"
start_echo single $((port + 1)) "floor: echo, epoll and a datagram a call"
start_jitsud 49 $((port + 2))
start_jitsud 10000 $((port + 3))
knotd=$(PATH=$PATH:/usr/sbin command -v knotd || true)
if [ -n "$knotd" ]; then
	start_knot 49 "$knotd" $((port + 4))
	start_knot 10000 "$knotd" $((port + 5))
fi

for ((round = 0; round < rounds; round++)); do
	for key in "${order[@]}"; do
		echo=""
		[[ $key != echo-* ]] || echo=-e
		# shellcheck disable=SC2086 # several words each
		"$build/bench/flood" $echo -s $seconds 127.0.0.1 ${ports[$key]} ${pids[$key]} >>"$work/$key.result" \
			2>"$work/flood.log" || fail "$key: $(cat "$work/flood.log")"
	done
done

echo "Processor time, user and system, of the server's processes for an answer, loopback, saturated; median of"
echo "$rounds runs of $seconds s, in turn, with $(nproc) processors shared by client and server. Absolute numbers are noise"
echo "of this machine: compare rows of one run only."
echo
printf '%-42s %9s %8s %8s %9s %10s %6s %6s\n' server "µs/answer" min max "x floor" "answers/s" lost bad
for key in "${order[@]}"; do
	sort -k5n "$work/$key.result" | awk -v label="${label[$key]}" -v floor="${floor:-0}" '
		{ cost[NR] = $5; speed += $1 / $2; lost += $3; bad += $4 }
		END {
			middle = cost[int((NR + 1) / 2)]
			printf "%-42s %9.2f %8.2f %8.2f %9.2f %10.0f %6d %6d\n", label, middle, cost[1], cost[NR],
				floor ? middle / floor : 1, speed / NR, lost, bad
		}'
	floor=${floor:-$(sort -k5n "$work/$key.result" | awk '{ v[NR] = $5 } END { print v[int((NR + 1) / 2)] }')}
done
[ -n "$knotd" ] || echo "Knot DNS: skipped, knotd is not installed (package knot)"
for key in "${order[@]}"; do
	awk '$4 > 0 { exit 1 }' "$work/$key.result" || fail "$key: answers that are none"
done
