#!/bin/bash
# Brings promtool, amtool, Prometheus, Alertmanager and the exporters of Debian into a folder, and prints the folder of the programs. Their packages are unpacked
# and not installed: no service is started, and root is needed only to fetch the list of packages where there is none, as in CI.
#
#	programs=$(tests/monitoring/tools.sh .cache/monitoring)
set -eu -o pipefail
to=$1
packages="prometheus prometheus-alertmanager prometheus-node-exporter prometheus-blackbox-exporter"
if [ ! -e "$to/complete" ]; then
	rm -rf "$to"
	mkdir -p "$to/packages"
	cd "$to/packages"
	if ! apt-get download $packages >log 2>&1; then
		if [ "${CI:-}" != true ] || [ "$(id -u)" != 0 ]; then
			cat log >&2
			echo "the packages cannot be fetched: run sudo apt-get update, and try again" >&2
			exit 1
		fi
		apt-get update -qq >&2
		apt-get download $packages >log 2>&1 || { cat log >&2; exit 1; }
	fi
	for package in *.deb; do dpkg -x "$package" "$to"; done
	rm -rf "$to/packages"
	touch "$to/complete"
fi
echo "$to/usr/bin"
