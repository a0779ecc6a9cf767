#!/bin/sh
# From a query to the first byte of a page: from a Linux guest that was paused, one that was
# suspended to a tmpfs, and one that is booted afresh.
# shellcheck source=tests/bench/lib.sh disable=SC2086
. /root/bench/lib.sh
cd "$work"

kinds="pv pvh"
service() { # TYPE ADDRESS
	printf '{"name":"%s","dns":"%s.test","ip":"%s","type":"%s","memory":"96M","ttl":3600,"ready_port":80,' \
		"$1" "$1" "$2" "$1"
	printf '"kernel":"%s","ramdisk":"%s","nic":"xenbr0",' "$guests/linux.vmlinuz" "$guests/linux.initrd"
	printf '"cmdline":"console=hvc0 quiet hostname=%s ip=%s/24 gw=10.0.0.254"}' "$1" "$2"
}
put_away() { # NAME MODE
	call service.stop "{\"name\":\"$1\",\"mode\":\"$2\"}"
	sample "$1_$2" "$(cut -d' ' -f1 $work/said)"
}
phase() { sed 's/^[0-9.]* //' $work/said | jq -r ".result.boot.$1 // empty"; }
# visit KEY NAME HOW: as a client would; it finds the guest so.
visit() {
	visitor 127.0.0.1 $port "$2.test" >visited 2>$work/said || fail "$1: $(cat $work/said)"
	sample "$1_answer" "$(cut -d' ' -f1 visited)"
	sample "$1_connected" "$(cut -d' ' -f2 visited)"
	sample "$1" "$(cut -d' ' -f3 visited)"
	call service.get "{\"name\":\"$2\"}"
	[ "$(phase how)" = "$3" ] || fail "$1: it was $(phase how), not $3"
	for at in created port; do
		[ -z "$(phase $at)" ] || sample "$1_$at" "$(phase $at)"
	done
	sleep 2 # what it does after a visit is not to be in the next
}

start_jitsud --suspend-dir $work/suspend
add "$(service pv 10.0.0.1)"
add "$(service pvh 10.0.0.2)"
i=0
while [ $i -le "$rounds" ]; do
	for kind in $kinds; do
		visit ${kind}_boot $kind booted
		put_away $kind pause
		sleep 1
		visit ${kind}_wake $kind woken
		put_away $kind pause
		sleep 1
		ip neigh flush dev xenbr0
		visit ${kind}_wake_stranger $kind woken
		put_away $kind suspend
		size=$(cat suspend/* | wc -c)
		sleep 1
		visit ${kind}_restore $kind restored
		put_away $kind destroy
		sleep 1
	done
	# The first of each does not count: caches, and files read for the first time.
	[ $i -gt 0 ] || rm -f ./*.samples
	i=$((i + 1))
done
for kind in $kinds; do remove $kind; done
stop_jitsud
nothing_runs

echo "Times in ms of virtual time (1 ns an instruction), $(stat pv_wake count) rounds, all in one run, in turn."
echo "A Linux guest (linux.vmlinuz, a bzImage, and its ramdisk; 96 MB, one nic on xenbr0, ready_port 80). From a"
echo "client's query to the first byte of the page, its SYN sent when the name is resolved. The suspend image, on a"
echo "tmpfs, has $((size / 1000000)) MB."
for kind in $kinds; do
	title "The $kind guest: from the query"
	head_row ""
	for way in "paused, client knows its MAC:wake" "paused, client asks for it by ARP:wake_stranger" \
		"suspended to a tmpfs:restore" "off:boot"; do
		row "${way%:*}" ${kind}_${way#*:}
		row "  to its domain let run" ${kind}_${way#*:}_created
		[ ! -s ${kind}_${way#*:}_port.samples ] || row "  to its port open" ${kind}_${way#*:}_port
		row "  to the answer" ${kind}_${way#*:}_answer
		row "  to the connection" ${kind}_${way#*:}_connected
	done
	ratio "off / suspended" ${kind}_boot ${kind}_restore
	ratio "off / paused" ${kind}_boot ${kind}_wake
	row "Putting it away: pause" ${kind}_pause
	row "suspend" ${kind}_suspend
	row "destroy" ${kind}_destroy
done
