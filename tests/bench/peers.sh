#!/bin/bash
# Other DNS servers, from Debian's packages, unpacked into a folder of their own: nothing is
# installed, no service starts. peers.sh DIR: then DIR/run PROGRAM ARGUMENT... runs one of them.
set -eu

dir=$(mkdir -p "$1" && cd "$1" && pwd)
packages="knot nsd gdnsd dnsmasq-base"
[ ! -e "$dir/complete" ] || exit 0
mkdir -p "$dir/archives/partial" "$dir/root"
# shellcheck disable=SC2086 # several words
apt-get -qq -y --download-only --no-install-recommends -o Debug::NoLocking=1 -o APT::Sandbox::User= \
	-o Dir::Cache::archives="$dir/archives" install $packages >"$dir/log" 2>&1 || {
	tail -n 3 "$dir/log" >&2
	exit 1
}
for archive in "$dir"/archives/*.deb; do dpkg -x "$archive" "$dir/root"; done
rm -rf "$dir/archives"
libraries=$(find "$dir/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
cat >"$dir/run" <<-END
	#!/bin/sh
	PATH=$dir/root/usr/sbin:\$PATH:/usr/sbin LD_LIBRARY_PATH=$libraries
	export PATH LD_LIBRARY_PATH
	exec "\$@"
END
chmod +x "$dir/run"
touch "$dir/complete"
