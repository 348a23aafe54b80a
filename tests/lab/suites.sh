#!/usr/bin/env bash
# Runs adapters' suites against a lab that runs: suites.sh plain|secure|plain-beside kafka|hdfs|spark… What they kill of HDFS comes back, but a
# lab that others work on meanwhile is no place for it: of hdfs a secured lab runs only what kills nothing, as how to log in and what is encrypted
# differ there.
set -euo pipefail
cd "$(dirname "$0")/../.."
form=$1
shift
root=$PWD/.cache/lab/$form
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
export_lines() { while IFS= read -r line; do export "${line?}"; done; }

export_lines <"$root/env"
bin/almanac env --config "$root/cluster.yaml" | grep -E '^ALMANAC_(HDFS|SPARK)_' >"$temp/env"
export_lines <"$temp/env"
export ALMANAC_TEST_LAB=$root/env
export ALMANAC_TEST_HDFS=$HDFS_NAMENODE ALMANAC_TEST_WEBHDFS=${WEBHDFS_URL%/webhdfs/v1} ALMANAC_TEST_SPARK=sc://$SPARK_CONNECT
suite() { go test -count=1 -timeout 20m -p 1 "$@" | grep -v 'no test files'; }
kafka() { suite ./functions/internal/kafka/...; }
brokers() { suite -v -run '^(TestNothingIsMissedWhileLeadersMove|TestWhatIsMadeHasTheRightSettings|TestAClaimThatDoesNotHoldIsAbsent)$' ./functions/internal/kafka; }
hdfs() {
	if [ "$form" = secure ]; then
		suite -run '^(TestConformance|TestOneOfManyRenamesWins|TestIcebergReadsByURI)$' ./functions/internal/hdfs/...
		return
	fi
	go build -o "$temp/lab" ./tests/lab
	cat >"$temp/crash" <<-END
		#!/bin/sh
		cd "$PWD"
		case \$1 in datanode) set -- datanode1 ;; esac
		for what in kill start; do "$temp/lab" \$what $beside "\$1" || exit 1; done
	END
	chmod +x "$temp/crash"
	ALMANAC_TEST_HDFS_KILL=$temp/crash ALMANAC_TEST_HDFS_LAB=$root/env suite ./functions/internal/hdfs/...
}
spark() {
	if [ "$form" != secure ]; then export ALMANAC_TEST_SPARK_HDFS=$HDFS_URL ALMANAC_TEST_SPARK_UI=$SPARK_UI; fi
	suite ./functions/internal/spark/... ./functions/internal/command/host
	go test -count=1 -timeout 20m ./tests/lab -args -form "$form"
}
case $form in *-beside) beside=-beside ;; *) beside= ;; esac
for name in "$@"; do "$name"; done
