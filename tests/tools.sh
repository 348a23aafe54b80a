#!/bin/sh
# Checks the tools that a build needs, all at once, and prints the one line that installs what is missing.
set -u
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need git git
need g++ g++
if command -v go >/dev/null 2>&1; then
	version=$(go env GOVERSION 2>/dev/null | sed 's/^go//')
	major=${version%%.*}
	minor=${version#*.}
	minor=${minor%%[!0-9]*}
	if [ "${major:-0}" -lt 1 ] || { [ "$major" -eq 1 ] && [ "${minor:-0}" -lt 26 ]; }; then
		# Go 1.21 and later fetch the toolchain that go.mod asks for, unless that is switched off.
		echo "Go $version is too old: Almanac needs Go 1.26 or later, see https://go.dev/doc/install" >&2
		exit 1
	fi
else
	echo "Go is missing: Almanac needs Go 1.26 or later, see https://go.dev/doc/install" >&2
	[ -z "$missing" ] || echo "and: sudo apt-get install -y$missing" >&2
	exit 1
fi
if [ -n "$missing" ]; then
	echo "missing:$missing. Install with: sudo apt-get install -y$missing" >&2
	exit 1
fi
