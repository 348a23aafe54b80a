#!/bin/sh
# Makes the daily CSV files of all 3,000,000 flights in the folder given, from the npm package they come in.
set -eu
out=${1:?usage: flights.sh FOLDER}
version=3.2.1
sum=6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3
if [ -f "$out/complete" ]; then
	exit 0
fi
command -v npm >/dev/null 2>&1 || { echo "npm is missing; install with: sudo apt-get install -y npm" >&2; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$tmp" && npm pack --silent "vega-datasets@$version" >/dev/null)
echo "$sum  $tmp/vega-datasets-$version.tgz" | sha256sum --check --quiet
tar -xzf "$tmp/vega-datasets-$version.tgz" -C "$tmp" package/data/flights-3m.parquet
mkdir -p "$out"
go run ./tests/samples/flights --mode full --in "$tmp/package/data/flights-3m.parquet" --out "$out"
touch "$out/complete"
