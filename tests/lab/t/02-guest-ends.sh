#!/bin/sh
# The Linux guest ends in the way that its command line asks for, and a mute one sends nothing.
# timeout: 600
# takes: 75
# shellcheck source=tests/lab/lib/lab.sh
. "$LAB_LIB/lab.sh"

for way in poweroff reboot panic; do
	guest $way pv 10.0.0.11 mute=1 die=$way:1
done
guest mute pv 10.0.0.12 mute=1

said() { grep -q "serves HTTP" "/var/log/xen/console/guest-$1.log"; }
wait_for 300 said mute
if page 10.0.0.12; then fail "the mute guest answers"; fi
same "frames of the mute guest" 0 "$(cat "/sys/class/net/vif$(xl domid mute).0/statistics/rx_packets")"

# xl acts as its defaults say: it destroys what has powered off or crashed, and starts again what rebooted.
wait_for 300 domain_gone poweroff
wait_for 300 domain_gone panic
again() { grep -q "dies now" /var/log/xen/console/guest-reboot.log && [ "$(xl domid reboot)" -gt 5 ]; }
wait_for 300 again
