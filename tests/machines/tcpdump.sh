#!/usr/bin/env bash
# Prints the folder of a tcpdump: this host's, or that of Debian's package, which is unpacked into a folder and not installed.
#
#	PATH=$(tests/machines/tcpdump.sh .cache/tcpdump):$PATH
set -euo pipefail
if there=$(command -v tcpdump); then
	dirname "$there"
	exit
fi
to=$(realpath -m "$1")
if [ ! -e "$to/bin/tcpdump" ]; then
	rm -rf "$to"
	mkdir -p "$to/packages" "$to/new"
	cd "$to/packages"
	if ! { library=$(apt-cache depends --important tcpdump | awk '/libpcap/ {print $2; exit}') && apt-get -qq download tcpdump "$library"; } >log 2>&1; then
		cat log >&2
		echo "tcpdump is not here, and its package cannot be fetched: install it, or run apt-get update and try again" >&2
		exit 1
	fi
	for package in *.deb; do dpkg -x "$package" "$to"; done
	cat >"$to/new/tcpdump" <<-P
		#!/bin/sh
		LD_LIBRARY_PATH=$(echo "$to"/usr/lib/*-linux-gnu) exec "$(echo "$to"/usr/*bin/tcpdump)" "\$@"
	P
	chmod +x "$to/new/tcpdump"
	"$to/new/tcpdump" --version >/dev/null 2>&1 || { echo "the tcpdump of the package does not run here: install it" >&2; exit 1; }
	rm -rf "$to/packages"
	mv "$to/new" "$to/bin" # it is made last
fi
echo "$to/bin"
