#!/usr/bin/env bash
# Says why this host cannot run the machines of lab.yml, and fails; says nothing where it can.
set -euo pipefail
cd "$(dirname "$0")/../.."
no() {
	echo "$1"
	exit 1
}
[ "$(id -u)" = 0 ] || no "that takes root"
grep -q '^ID=debian' /etc/os-release || no "that takes a host of Debian"
[ "$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)" -ge 8192 ] || no "that takes 8 GiB of free memory"
[ "$(df --output=avail -B 1M . | tail -n 1)" -ge 8192 ] || no "that takes 8 GiB of free disk"
for name in /run/netns/al-* .cache/machines/solo.*; do [ ! -e "$name" ] || no "machines are here already ($name)"; done
mkdir -p .cache/able/{up,work,tree}
trap 'rm -rf .cache/able' EXIT
unshare --mount mount -t overlay able -o lowerdir=/usr,upperdir=.cache/able/up,workdir=.cache/able/work .cache/able/tree 2>/dev/null ||
	no "an overlay cannot be mounted here"
unshare --net true 2>/dev/null || no "this host gives no network namespaces"
if command -v ip >/dev/null; then
	unshare --net ip link add able type bridge 2>/dev/null || no "a bridge cannot be made here"
fi
