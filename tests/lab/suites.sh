#!/usr/bin/env bash
# Runs the adapters' suites against the lab that runs: suites.sh plain|secure. Some of them kill its servers.
set -euo pipefail
cd "$(dirname "$0")/../.."
form=$1
root=$PWD/.cache/lab/$form
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
export_lines() { while IFS= read -r line; do export "${line?}"; done; }

export_lines <"$root/env"
bin/almanac env --config "$root/cluster.yaml" | grep -E '^ALMANAC_(HDFS|SPARK)_' >"$temp/env"
export_lines <"$temp/env"
export ALMANAC_TEST_LAB=$root/env
export ALMANAC_TEST_HDFS=$HDFS_NAMENODE ALMANAC_TEST_WEBHDFS=${WEBHDFS_URL%/webhdfs/v1} ALMANAC_TEST_SPARK=sc://$SPARK_CONNECT
if [ "$form" = plain ]; then
	go build -o "$temp/lab" ./tests/lab
	cat >"$temp/crash" <<-END
		#!/bin/sh
		cd "$PWD"
		case \$1 in datanode) set -- datanode1 ;; esac
		"$temp/lab" kill "\$1" && "$temp/lab" start "\$1"
	END
	chmod +x "$temp/crash"
	export ALMANAC_TEST_HDFS_KILL=$temp/crash ALMANAC_TEST_HDFS_LAB=$root/env ALMANAC_TEST_SPARK_HDFS=$HDFS_URL ALMANAC_TEST_SPARK_UI=$SPARK_UI
fi
suite() { go test -count=1 -timeout 20m -p 1 "$@" | grep -v 'no test files'; }
# What kills and fills HDFS is the same in both forms; how to log in, and what is encrypted, is not.
hdfs() {
	if [ "$form" = plain ]; then
		suite ./functions/internal/hdfs/...
	else
		suite -run '^(TestConformance|TestOneOfManyRenamesWins|TestIcebergReadsByURI)$' ./functions/internal/hdfs/...
	fi
}
# HDFS and Kafka know nothing of each other, so their suites go side by side. Spark needs a NameNode that nobody kills.
hdfs >"$temp/hdfs.log" 2>&1 &
beside=$!
trap 'wait; rm -rf "$temp"' EXIT
suite ./functions/internal/kafka/... || failed=1
wait "$beside" || failed=1
cat "$temp/hdfs.log"
[ -z "${failed-}" ] || exit 1
suite ./functions/internal/spark/... ./functions/almanac
go test -count=1 -timeout 20m ./tests/lab -args -form "$form"
