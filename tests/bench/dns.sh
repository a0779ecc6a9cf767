#!/bin/bash
# What an answer costs a DNS server here: jitsud (backend sim), the servers of Debian, and an echo
# as the floor. Runs on the host itself, all servers on one processor, the client on another.
# O: where jitsud and the tools are. BENCH_ROUNDS, BENCH_SECONDS of a round, BENCH_NAMES: how many; BENCH_WITH: a
# command that runs the rounds, such as one that waits for others to end.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${O:-$top/build}" && pwd)
rounds=${BENCH_ROUNDS:-10} seconds=${BENCH_SECONDS:-1} port=${BENCH_PORT:-5390} window=${BENCH_WINDOW:-256}
read -ra counts <<<"${BENCH_NAMES:-49 100000 1000000}"
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
	tail -qn 20 "$work"/*.log | sed 's/^/    /'
	exit 1
}

on_server() { "$@"; }
on_client() { "$@"; }
if [ "$(nproc)" -ge 2 ]; then
	on_server() { exec taskset -c 0 "$@"; }
	on_client() { taskset -c 1 "$@"; }
fi
flood() { on_client "$build/bench/flood" "$@" 2>"$work/flood.log"; }

for count in "${counts[@]}"; do
	seq -f "s%07.0f.example.org" "$count" >"$work/$count" # of one length: see flood.c
	tail -n 1 "$work/$count" >"$work/$count.last"
done

declare -A pids ports label names load memory
order=() # rows of the table
# The process and those under it.
family() {
	local pid
	echo "$1"
	for pid in $(cat /proc/"$1"/task/*/children); do family "$pid"; done
}
# ms of processor time of these processes.
processor() {
	local pid
	for pid; do cat /proc/"$pid"/task/*/schedstat; done | awk '{ n += $1 } END { printf "%.0f\n", n / 1e6 }'
}
resident() { # MB, what they share counted once
	local pid
	for pid; do cat /proc/"$pid"/smaps_rollup; done | awk '$1 == "Pss:" { n += $2 } END { printf "%.0f\n", n / 1024 }'
}

# server KEY COUNT LABEL PID [MORE-OPTIONS]: it has been started; waits until it answers for the last
# name.
server() {
	local key=$1 i
	order+=("$key")
	names[$key]=$2 label[$key]=$3 ports[$key]=$port
	for ((i = 0; i < 1200; i++)); do
		! flood ${5:-} -a -q 10 -w 1 -s 1 127.0.0.1 $port "$work/$2.last" >/dev/null || break
		kill -0 "$4" 2>/dev/null || fail "$3 ended"
		sleep 0.1
	done
	pids[$key]=$(family "$4" | paste -sd" ")
	# shellcheck disable=SC2086 # several
	load[$key]=$(processor ${pids[$key]}) memory[$key]=$(resident ${pids[$key]})
	port=$((port + 1))
}
# start KEY COMMAND...
start() {
	(on_server "${@:2}") >"$work/$1.log" 2>&1 &
	started+=($!)
}

echo_back() {
	start echo "$build/bench/echo" many 127.0.0.1 $port
	server echo "${counts[0]}" "floor: echo, recvmmsg and sendmmsg" "${started[-1]}" -e
}

services() { # FILE OF NAMES, KEYS
	awk -v keys="$2" 'BEGIN { printf "[" }
		{ n = NR - 1
		  printf "%s\n{\"name\":\"s%d\",\"dns\":\"%s\",\"ip\":\"10.%d.%d.%d\",\"ttl\":3600,\"wait_limit\":60000,%s}",
			(n > 0 ? "," : ""), NR, $1, int(n / 62500), int(n / 250) % 250, n % 250 + 1, keys }
		END { print "]" }' "$1"
}

run_jitsud() { # KEY DIR STORE
	start "$1" "$build/jitsud" --foreground --log-level warning -x sim -b 127.0.0.1 -l $port -f 0.0.0.0 \
		-d 0 --persistdb "$3" --boots 64 --wakes 0 --control "$2/control.sock" \
		--services-dir "$2/none" $(printf -- '--services %s ' "$2"/*.json)
}

jitsud() { # COUNT
	local dir=$work/jitsud-$1.d
	mkdir -p "$dir/none"
	services "$work/$1" '"sim_boot":0,"sim_frame":0' >"$dir/services.json"
	[ "$1" != boots ] || services "$work/asleep" '"sim_boot":300,"sim_frame":0' | sed 's/"name":"s/"name":"a/; s/"ip":"10/"ip":"11/' \
		>"$dir/asleep.json"
	run_jitsud "jitsud-$1" "$dir" :memory:
	server "jitsud-$1" "$1" "jitsud" "${started[-1]}"
	rm "$dir"/*.json
	# Summons them all; from here on each is ready.
	flood -a -s 600 -w 512 127.0.0.1 ${ports[jitsud-$1]} "$work/$1" >/dev/null ||
		fail "jitsud did not answer for $1 names"
}

# on_disk COUNT: the same with its store on the disk, and then with the store of that start. Not in the table.
on_disk() {
	local dir=$work/disk-$1.d key
	mkdir -p "$dir/none"
	services "$work/$1" '"sim_boot":0,"sim_frame":0' >"$dir/services.json"
	chmod 711 "$work" && chmod 777 "$dir" # jitsud gives root up
	for key in first again; do
		run_jitsud "$key-$1" "$dir" "$dir/store"
		server "$key-$1" "$1" "jitsud, store on the disk" "${started[-1]}"
		unset "order[-1]"
		kill "${started[-1]}" && wait "${started[-1]}" || fail "jitsud ended with status $?"
		unset "started[-1]"
	done
	rm -r "$dir"
}

zone() { # COUNT
	printf '%s\n' "\$ORIGIN example.org." "@ 3600 SOA ns hostmaster 1 3600 600 86400 60" "@ 3600 NS ns" "ns 3600 A 10.0.0.1"
	awk '{ print $1 ". 3600 A 10.0.0.1" }' "$work/$1"
}

knot() { # COUNT
	local dir=$work/knot-$1.d
	mkdir -p "$dir/db"
	zone "$1" >"$dir/zone"
	cat >"$dir/knot.conf" <<-EOF
		server:
		  rundir: "$dir"
		  listen: 127.0.0.1@$port
		  udp-workers: 1
		  tcp-workers: 1
		  background-workers: 1
		database:
		  storage: "$dir/db"
		zone:
		  - domain: example.org
		    file: "$dir/zone"
	EOF
	start "knot-$1" "$peers/run" knotd -c "$dir/knot.conf"
	server "knot-$1" "$1" "Knot DNS" "${started[-1]}"
}

nsd() { # COUNT
	local dir=$work/nsd-$1.d
	mkdir -p "$dir"
	zone "$1" >"$dir/zone"
	cat >"$dir/nsd.conf" <<-EOF
		server:
		  ip-address: 127.0.0.1@$port
		  server-count: 1
		  username: ""
		  zonesdir: "$dir"
		  database: ""
		  pidfile: "$dir/pid"
		  xfrdfile: "$dir/xfrd"
		  xfrdir: "$dir"
		  zonelistfile: "$dir/list"
		  rrl-ratelimit: 0
		remote-control:
		  control-enable: no
		zone:
		  name: example.org
		  zonefile: zone
	EOF
	start "nsd-$1" "$peers/run" nsd -d -c "$dir/nsd.conf"
	server "nsd-$1" "$1" "NSD" "${started[-1]}"
}

gdnsd() { # COUNT
	local dir=$work/gdnsd-$1.d
	mkdir -p "$dir/zones" "$dir/run"
	zone "$1" >"$dir/zones/example.org"
	cat >"$dir/config" <<-EOF
		options => {
		  listen => [ 127.0.0.1:$port ]
		  udp_threads = 1
		  tcp_threads = 1
		  run_dir = "$dir/run"
		  state_dir = "$dir/run"
		}
	EOF
	start "gdnsd-$1" "$peers/run" gdnsd -c "$dir" start
	server "gdnsd-$1" "$1" "gdnsd" "${started[-1]}"
}

dnsmasq() { # COUNT
	awk '{ print "10.0.0.1 " $1 }' "$work/$1" >"$work/$1.hosts"
	start "dnsmasq-$1" "$peers/run" dnsmasq -d -C /dev/null -p $port -R --no-hosts --addn-hosts="$work/$1.hosts" \
		--local=/example.org/ --listen-address=127.0.0.1 --bind-interfaces --user=root -x "" --local-ttl=3600
	server "dnsmasq-$1" "$1" "dnsmasq" "${started[-1]}"
}

peers=$build/bench/peers
"$top/tests/bench/peers.sh" "$peers" || { peers='' && echo "no other servers here: their packages cannot be had"; }
echo_back
on_disk "${counts[-1]}"
for count in "${counts[@]}"; do
	jitsud "$count"
	[ -n "$peers" ] || continue
	knot "$count"
	[ "$count" -gt 100000 ] || for peer in nsd gdnsd dnsmasq; do "$peer" "$count"; done
done

# Another one, to be asked for what is up while others start.
cp "$work/${counts[0]}" "$work/boots"
cp "$work/${counts[0]}.last" "$work/boots.last"
seq -f "a%07.0f.example.org" $((rounds * 80)) >"$work/asleep"
(cd "$work" && split -l 80 -d -a 3 asleep asleep.)
jitsud boots
unset "order[-1]"

# The rounds are a script of their own, so that BENCH_WITH can wait for a quiet machine.
declare -f on_client >"$work/rounds"
for ((round = 0; round < rounds; round++)); do
	for key in "${order[@]}"; do
		options=-r
		[ "$key" != echo ] || options=-e
		echo "on_client $build/bench/flood $options -s $seconds -w $window 127.0.0.1 ${ports[$key]}" \
			"$work/${names[$key]} ${pids[$key]} >>$work/$key.result || { echo "$key" >&2; exit 1; }"
	done
	ask="127.0.0.1 ${ports[jitsud-boots]}"
	cat <<-EOF
		on_client $build/bench/flood -r -s $seconds -w $window $ask $work/boots ${pids[jitsud-boots]} >>$work/idle.result || { echo idle >&2; exit 1; }
		$build/bench/flood -q 20 -s 60 -w 80 $ask $work/asleep.$(printf %03d "$round") >>$work/started 2>&1 &
		starts=\$!
		sleep 0.3
		on_client $build/bench/flood -r -s $seconds -w $window $ask $work/boots ${pids[jitsud-boots]} >>$work/busy.result || { echo busy >&2; exit 1; }
		on_client $build/bench/flood -r -q 20000 -s $seconds -w $window $ask $work/boots ${pids[jitsud-boots]} >>$work/paced.result || { echo paced >&2; exit 1; }
		kill \$starts
		wait \$starts 2>/dev/null
	EOF
done >>"$work/rounds"
echo "exit 0" >>"$work/rounds"
${BENCH_WITH:-} bash "$work/rounds" 2>"$work/flood.log" || fail "$(cat "$work/flood.log")"

# dns_time KEY add|remove: what the dns process of that server spends on one.
changes=500
dns_time() {
	local pid i before params
	for pid in ${pids[$1]}; do [ "$(cat /proc/"$pid"/comm)" != jitsud-dns ] || break; done
	before=$(awk '{ print $1 }' /proc/"$pid"/schedstat)
	for ((i = 0; i < changes; i++)); do
		params="{\"name\":\"more$i\",\"dns\":\"more$i.example.net\",\"ip\":\"10.200.$((i / 250)).$((i % 250))\"}"
		[ "$2" = add ] || params="{\"name\":\"more$i\"}"
		"$build/bench/rpc" "$work/$1.d/control.sock" "service.$2" "$params" >"$work/rpc.log" 2>&1 ||
			fail "$2: $(cat "$work/rpc.log")"
	done
	sleep 1
	awk -v before="$before" -v n="$changes" '{ printf "%.1f\n", ($1 - before) / n / 1000 }' /proc/"$pid"/schedstat
}

# column FILE NUMBER median|min|max
column() {
	awk -v c="$2" '{ print $c }' "$1" | sort -n | awk -v what="$3" '{ v[NR] = $1 }
		END { h = int((NR + 1) / 2); print what == "min" ? v[1] : what == "max" ? v[NR] : NR % 2 ? v[h] : (v[h] + v[h + 1]) / 2 }'
}
# paired KEY KEY: the median of the rounds' ratios.
paired() {
	[ -e "$work/$2.result" ] || { echo - && return; }
	paste -d' ' "$work/$1.result" "$work/$2.result" | awk '{ print $5 / $10 }' >"$work/ratios"
	printf '%.2f\n' "$(column "$work/ratios" 1 median)"
}
echo
echo "Processor time, user and system, of all processes of the server for an answer: loopback, saturated, names in any"
echo "order, $rounds rounds of $seconds s in turn, each server's median; all servers on one processor, the client on"
echo "another. Ratios are medians of the rounds' ratios: a busy machine shows less in them. Load: processor time until"
echo "the last name is answered, and memory then (PSS), of all processes."
echo
printf '%-36s %8s %9s %7s %7s %8s %8s %9s %5s %4s %8s %8s\n' server names "µs/answer" min max "x floor" "x Knot" "answers/s" lost bad "load, s" "MB"
for key in "${order[@]}"; do
	file=$work/$key.result
	printf '%-36s %8s %9.2f %7.2f %7.2f %8s %8s %9.0f %5d %4d %8.2f %8s\n' "${label[$key]}" "${names[$key]}" \
		"$(column "$file" 5 median)" "$(column "$file" 5 min)" "$(column "$file" 5 max)" \
		"$(paired "$key" echo)" "$(paired "$key" "knot-${names[$key]}")" \
		"$(awk '{ n += $1; t += $2 } END { print n / t }' "$file")" \
		"$(awk '{ n += $3 } END { print n }' "$file")" "$(awk '{ n += $4 } END { print n }' "$file")" \
		"$(awk -v ms="${load[$key]}" 'BEGIN { print ms / 1000 }')" "${memory[$key]}"
done

echo
echo "The start of jitsud with its store on the disk: with a new one, and again, when the store has them all."
echo
printf '%-36s %8s %8s %8s\n' jitsud names "load, s" "MB"
for key in first again; do
	printf '%-36s %8s %8s %8s\n' "$key" "${counts[-1]}" \
		"$(awk -v ms="${load[$key-${counts[-1]}]}" 'BEGIN { print ms / 1000 }')" "${memory[$key-${counts[-1]}]}"
done

echo
echo "As the first table for ${counts[0]} names that are up, and then while 20 others a second are started (sim, 0.3 s each);"
echo "paced: 20,000 questions a second, far from what it could answer."
echo
printf '%-36s %9s %7s %7s %8s %9s %5s %4s\n' jitsud "µs/answer" min max "x idle" "answers/s" lost bad
for key in idle busy paced; do
	file=$work/$key.result
	printf '%-36s %9.2f %7.2f %7.2f %8s %9.0f %5d %4d\n' "$key" "$(column "$file" 5 median)" "$(column "$file" 5 min)" \
		"$(column "$file" 5 max)" "$(paired $key idle)" "$(awk '{ n += $1; t += $2 } END { print n / t }' "$file")" \
		"$(awk '{ n += $3 } END { print n }' "$file")" "$(awk '{ n += $4 } END { print n }' "$file")"
done

echo
echo "A service added or removed while the server has so many: processor time of the dns process for one, of $changes."
echo
printf '%-12s %9s %12s\n' services "added, µs" "removed, µs"
for count in "${counts[@]}"; do
	added=$(dns_time "jitsud-$count" add) removed=$(dns_time "jitsud-$count" remove)
	printf '%-12s %9s %12s\n' "$count" "$added" "$removed"
done
for key in "${order[@]}"; do
	awk '$4 > 0 { exit 1 }' "$work/$key.result" || fail "$key: answers that are none"
done
