# shellcheck shell=sh disable=SC2034
# For the benchmarks that run in the lab's dom0: . /root/bench/lib.sh
# Samples are kept as lines in files, one file a KEY; times are milliseconds of virtual time.
set -eu

bench=/root/bench work=/tmp/bench guests=/usr/share/jitsu-lab/guests
control=$work/control.sock port=5300
rounds=${BENCH_ROUNDS:-10}
rm -rf $work
mkdir -p $work/none
PATH=$bench:$PATH

fail() {
	echo "failed: $*"
	[ ! -s $work/jitsud.log ] || tail -n 40 $work/jitsud.log | sed 's/^/    /'
	[ ! -s $work/said ] || tail -n 10 $work/said | sed 's/^/    /'
	exit 1
}

sample() { # KEY VALUE
	case $2 in '' | *[!0-9.]*) fail "$1: expected a number, not '$2'" ;; esac
	echo "$2" >>"$work/$1.samples"
}
# measured KEY...: each of them was. Apart from stat, whose failure would be lost in $().
measured() {
	for key; do [ -s "$work/$key.samples" ] || fail "nothing was measured for $key"; done
}
# stat KEY median|min|max|count
stat() {
	sort -n "$work/$1.samples" | awk -v what="$2" '
		{ v[NR] = $1 }
		END {
			h = int((NR + 1) / 2)
			if (what == "min") print v[1]
			else if (what == "max") print v[NR]
			else if (what == "count") print NR
			else print NR % 2 ? v[h] : (v[h] + v[h + 1]) / 2
		}'
}
title() { printf '\n%s\n' "$1"; }
head_row() { printf '%-50s %9s %9s %9s%s\n' "$1" median min max "${2:-}"; }
row() { # LABEL KEY [MORE]
	measured "$2"
	printf '%-50s %9.2f %9.2f %9.2f%s\n' "$1" "$(stat "$2" median)" "$(stat "$2" min)" "$(stat "$2" max)" "${3:-}"
}
# ratio LABEL KEY KEY: how many times the first is the second.
ratio() {
	awk -v l="$1" -v a="$(stat "$2" median)" -v b="$(stat "$3" median)" \
		'BEGIN { printf "%-50s %9.2f times\n", l, a / b }'
}
difference() {
	awk -v l="$1" -v a="$(stat "$2" median)" -v b="$(stat "$3" median)" \
		'BEGIN { printf "%-50s %9.2f\n", l, a - b }'
}

# start_jitsud OPTION...: libxl, nothing forwarded, its store in memory so that no disk is measured.
start_jitsud() {
	jitsud --foreground -x libxl -b 127.0.0.1 -l $port -f 0.0.0.0 -d 0 --wakes 0 --persistdb :memory: \
		--control $control --services-dir $work/none --wait-limit 60000 "$@" \
		>$work/jitsud.log 2>&1 &
	jitsud=$!
	tries=0
	until jitsuctl -s $control status >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "jitsud does not answer"
		sleep 0.1
	done
}
stop_jitsud() {
	kill "$jitsud"
	wait "$jitsud" || fail "jitsud ended with status $?"
}
toolstack() { pgrep -x jitsud-toolstac; }

call() { rpc $control "$@" >$work/said || fail "$*"; }
# add JSON: a service, from the object.
add() { call service.add "$1"; }
remove() { call service.remove "{\"name\":\"$1\"}"; }

# boot NAME KEY: $booted is that time of its last boot; waits until it is known.
boot() {
	tries=0
	while :; do
		call service.get "{\"name\":\"$1\"}"
		booted=$(sed 's/^[0-9.]* //' $work/said | jq -r ".result.boot.$2 // empty")
		[ -z "$booted" ] || break
		! grep -q '"error":"' $work/said || fail "$1 did not start"
		tries=$((tries + 1))
		[ $tries -lt 200 ] || fail "$1 has no boot.$2"
		sleep 0.5
	done
}
# query NAME MILLISECONDS: asks, and keeps still for so long: what else runs here takes the
# processor from what is measured.
query() { pinger -c 1 -w "$2" 127.0.0.1 $port "$1.test" >/dev/null; }
# ask NAME: waits for the answer; $waited is how long that took.
ask() {
	waited=$(pinger -c 1 -w 60000 -o $work/asked 127.0.0.1 $port "$1.test")
	[ "$waited" = "1 0 0" ] || fail "$1.test: sent, lost, not good: $waited"
	waited=$(awk '{ print $3 / 1000 }' $work/asked)
}

xl_create() { # KEY CONFIG
	ms=$(stopwatch xl create -q "$2" 2>$work/said) || fail "xl create $2"
	sample "$1" "$ms"
}
xl_destroy() { # KEY NAME
	ms=$(stopwatch xl destroy "$2" 2>$work/said) || fail "xl destroy $2"
	sample "$1" "$ms"
}
nothing_runs() {
	[ "$(xl list | wc -l)" = 2 ] || fail "a domain is left: $(xl list)"
}

# What a trace holds: calls to xenstored (a header of 16 bytes goes ahead of each, as in
# xen/include/public/io/xs_wire.h: a small type, then the request's number), programs run.
trace=write,writev,sendmsg,execve
count_calls() {
	awk '/"\\[0-9a-z]+\\0\\0\\0[^"]*", (iov_len=)?16[,)}]/ { n++ } END { print n + 0 }' "$1"
}
count_programs() { awk '/execve/ && / = 0$/ { n++ } END { print n + 0 }' "$1"; }
counts() { printf '  %8d  %8d' "$(count_calls "$1")" "$(count_programs "$1")"; }
