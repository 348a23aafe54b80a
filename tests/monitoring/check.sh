#!/bin/bash
# Checks what watches Almanac: rules, their tests, the routes of alerts, runbooks, and dashboards.
#
#	tests/monitoring/check.sh <folder of programs> <folder of dashboards>
set -eu -o pipefail
programs=$1 dashboards=$2
cd "$(dirname "$0")"
role=../../ansible/roles
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

"$programs/promtool" check rules --lint=all --lint-fatal $role/prometheus/files/rules/*.yml
"$programs/promtool" test rules rules/*.yml

# The configuration of Alertmanager as the role makes it, less what only a site knows.
go run ./routes $role/alertmanager/defaults/main.yml >"$dir/alertmanager.yml"
"$programs/amtool" check-config "$dir/alertmanager.yml"
routed() {
	local want=$1 got
	shift
	got=$("$programs/amtool" config routes test --config.file="$dir/alertmanager.yml" "$@")
	if [ "$got" != "$want" ]; then
		echo "an alert with $* goes to $got, want $want" >&2
		return 1
	fi
}
routed watchdog alertname=Watchdog severity=none
routed critical alertname=UnbalancedSheets severity=critical dataset=flights
routed critical alertname=KafkaOfflinePartitions severity=critical job=kafka
routed operators alertname=LateWindows severity=warning dataset=flights
routed operators alertname=SomethingNew
echo "alerts go where they should"

go test -count=1 ./... -args -dashboards "$dashboards"
