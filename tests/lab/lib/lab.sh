# shellcheck shell=sh
# For tests written in shell: . "$LAB_LIB/lab.sh"
# A test runs in dom0 as root in a folder of its own; it passes unless a command fails (set -e) or fail is called.
set -eu

: "${GUESTS:=/usr/share/jitsu-lab/guests}" "${JITSUD_LOG:=/var/log/jitsu/jitsud.log}"

fail() { echo "failed: $*"; exit 1; }
skip() { echo "$*"; exit 77; }

# wait_for SECONDS COMMAND...: tries it every 50 ms until it succeeds.
wait_for() {
	wait_end=$(awk -v s="$1" '{ print $1 + s }' /proc/uptime)
	shift
	until "$@" >/dev/null 2>&1; do
		awk -v end="$wait_end" '{ exit $1 < end }' /proc/uptime && fail "waited in vain for: $*"
		sleep 0.05
	done
}

# same WHAT EXPECTED ACTUAL
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }

# start_jitsud ARGUMENT...: returns when it answers jitsuctl.
start_jitsud() {
	mkdir -p "${JITSUD_LOG%/*}"
	jitsud --foreground "$@" >>"$JITSUD_LOG" 2>&1 &
	jitsud=$!
	wait_for 30 jitsuctl status
}

# stop_jitsud: as an administrator would, and expects it to end well.
stop_jitsud() {
	kill "$jitsud"
	wait "$jitsud" || fail "jitsud ended with status $?"
}

# guest NAME TYPE ADDRESS [SWITCH...]: starts the Linux guest with xl on xenbr0.
guest() {
	guest_name=$1 guest_type=$2 guest_ip=$3
	shift 3
	cat >"$guest_name.cfg" <<EOF
name = "$guest_name"
type = "$guest_type"
memory = 96
kernel = "$GUESTS/linux.vmlinuz"
ramdisk = "$GUESTS/linux.initrd"
cmdline = "console=hvc0 quiet hostname=$guest_name ip=$guest_ip/24 gw=10.0.0.254 $*"
vif = [ "bridge=xenbr0" ]
EOF
	xl create -q "$guest_name.cfg"
}

# page ADDRESS: the page of the guest there, if it answers within a second.
page() { curl -sf -m 1 "http://$1/"; }

# state NAME: what xl says, e.g. -b----
state() { xl list "$1" | awk 'NR > 1 { print $5 }'; }
domain_gone() { ! xl domid "$1" >/dev/null 2>&1; }
