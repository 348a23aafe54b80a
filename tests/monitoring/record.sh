#!/bin/bash
# Starts each server that Prometheus asks, on loopback and in a folder of its own, and writes down which metrics it shows:
# what rules and dashboards are held to. Those of the functions are written down by the tests of functions/internal/fn/meter.
#
#	tests/monitoring/record.sh <folder of programs> <folder of the lab's artefacts> <jar of the JMX exporter> <bao>
set -eu -o pipefail
programs=$1 artifacts=$2 agent=$3 bao=$4
repo=$(cd "$(dirname "$0")/../.." && pwd)
out=$repo/tests/monitoring/expositions
rules=$repo/ansible/roles/jmx_exporter/files
dir=$(mktemp -d)
pids=()
stop() {
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
	rm -rf "$dir"
}
trap stop EXIT
cd "$repo/tests/monitoring"
go build -o "$dir/names" ./names

# start runs a server in the background; its log tells why there is no answer.
start() {
	local name=$1
	shift
	"$@" >"$dir/$name.log" 2>&1 &
	pids+=($!)
}

# record waits until a page shows all of some metrics, and writes down what else it shows.
record() {
	local name=$1 url=$2 metric missing
	shift 2
	for _ in $(seq 120); do
		missing="an answer"
		if curl -sfk "$url" >"$dir/$name.page"; then
			missing=
			for metric in "$@"; do
				grep -q "^$metric" "$dir/$name.page" || missing="$missing $metric"
			done
		fi
		if [ -z "$missing" ]; then
			"$dir/names" <"$dir/$name.page" >"$out/$name.txt"
			echo "$(wc -l <"$out/$name.txt") metrics of $name"
			return
		fi
		sleep 1
	done
	echo "$url does not show $missing; the log of $name ends with:" >&2
	tail -20 "$dir/$name.log" >&2
	return 1
}

java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true
	--add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.util=ALL-UNNAMED --add-opens java.base/java.net=ALL-UNNAMED)

kafka() {
	cat >"$dir/server.properties" <<-P
		process.roles=broker,controller
		node.id=1
		controller.quorum.bootstrap.servers=127.0.0.1:27093
		controller.listener.names=CONTROLLER
		listeners=PLAINTEXT://127.0.0.1:27092,CONTROLLER://127.0.0.1:27093
		log.dirs=$dir/kafka
		offsets.topic.replication.factor=1
	P
	"${java[@]}" -cp "$artifacts/jars/kafka/*" kafka.tools.StorageTool format --standalone -t MkU3OEVBNTcwNTJENDM2Qg -c "$dir/server.properties" >"$dir/format.log" 2>&1
	start kafka "${java[@]}" "-javaagent:$agent=127.0.0.1:27071:$rules/kafka.yml" -cp "$artifacts/jars/kafka/*" kafka.Kafka "$dir/server.properties"
	record kafka http://127.0.0.1:27071/metrics kafka_replicas_underreplicatedpartitions kafka_listener_failed_authentication_total kafka_raft_high_watermark
}

# site writes a file of Hadoop's configuration: name=value …
site() {
	local file=$1
	shift
	{
		echo "<configuration>"
		for p in "$@"; do echo "<property><name>${p%%=*}</name><value>${p#*=}</value></property>"; done
		echo "</configuration>"
	} >"$dir/conf/$file"
}

hadoop() {
	mkdir "$dir/conf"
	site core-site.xml fs.defaultFS=hdfs://127.0.0.1:27020 "hadoop.tmp.dir=$dir/tmp"
	site hdfs-site.xml dfs.replication=1 dfs.namenode.http-address=127.0.0.1:27070 dfs.datanode.address=127.0.0.1:27066 \
		dfs.datanode.http.address=127.0.0.1:27064 dfs.datanode.ipc.address=127.0.0.1:27067
	site yarn-site.xml yarn.resourcemanager.address=127.0.0.1:27032 yarn.resourcemanager.scheduler.address=127.0.0.1:27030 \
		yarn.resourcemanager.resource-tracker.address=127.0.0.1:27031 yarn.resourcemanager.admin.address=127.0.0.1:27033 \
		yarn.resourcemanager.webapp.address=127.0.0.1:27088 yarn.nodemanager.address=127.0.0.1:27041 \
		yarn.nodemanager.localizer.address=127.0.0.1:27040 yarn.nodemanager.webapp.address=127.0.0.1:27042
	site capacity-scheduler.xml yarn.scheduler.capacity.root.queues=default yarn.scheduler.capacity.root.default.capacity=100
	local cp="$dir/conf:$artifacts/webroot:$artifacts/jars/hadoop/*" server=org.apache.hadoop
	HADOOP_USER_NAME=hdfs "${java[@]}" -cp "$cp" $server.hdfs.server.namenode.NameNode -format -nonInteractive >"$dir/format.log" 2>&1
	start namenode "${java[@]}" "-javaagent:$agent=127.0.0.1:27072:$rules/hadoop.yml" -cp "$cp" $server.hdfs.server.namenode.NameNode
	record namenode http://127.0.0.1:27072/metrics hdfs_namenode_missingblocks hdfs_namenode_rpc_rpcprocessingtimeavgtime hdfs_namenode_state
	start datanode "${java[@]}" "-javaagent:$agent=127.0.0.1:27073:$rules/hadoop.yml" -cp "$cp" $server.hdfs.server.datanode.DataNode
	record datanode http://127.0.0.1:27073/metrics hdfs_datanode_capacity hdfs_datanode_bytesread_total
	start resourcemanager "${java[@]}" "-javaagent:$agent=127.0.0.1:27074:$rules/hadoop.yml" -cp "$cp" $server.yarn.server.resourcemanager.ResourceManager
	record resourcemanager http://127.0.0.1:27074/metrics yarn_cluster_numlostnms yarn_queue_appsfailed_total yarn_queue_availablemb
	start nodemanager "${java[@]}" "-javaagent:$agent=127.0.0.1:27075:$rules/hadoop.yml" -cp "$cp" $server.yarn.server.nodemanager.NodeManager
	record nodemanager http://127.0.0.1:27075/metrics yarn_nodemanager_containersrunning
}

secrets() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" -days 2 -subj /CN=127.0.0.1 \
		-addext subjectAltName=IP:127.0.0.1 2>"$dir/openssl.log"
	mkdir -m 0700 "$dir/raft"
	cat >"$dir/bao.hcl" <<-P
		storage "raft" {
		  path    = "$dir/raft"
		  node_id = "one"
		}
		listener "tcp" {
		  address       = "127.0.0.1:27200"
		  tls_cert_file = "$dir/cert.pem"
		  tls_key_file  = "$dir/key.pem"
		  telemetry { unauthenticated_metrics_access = true }
		}
		api_addr     = "https://127.0.0.1:27200"
		cluster_addr = "https://127.0.0.1:27201"
		telemetry {
		  prometheus_retention_time = "5m"
		  disable_hostname          = true
		}
	P
	start bao "$bao" server "-config=$dir/bao.hcl"
	until curl -sk https://127.0.0.1:27200/v1/sys/seal-status | grep -q '"initialized":false'; do sleep 1; done
	key=$(curl -sk -X PUT -d '{"secret_shares":1,"secret_threshold":1}' https://127.0.0.1:27200/v1/sys/init | sed 's/.*"keys":\["\([0-9a-f]*\)".*/\1/')
	curl -sk -X PUT -d "{\"key\":\"$key\"}" https://127.0.0.1:27200/v1/sys/unseal >"$dir/unseal.log"
	record bao "https://127.0.0.1:27200/v1/sys/metrics?format=prometheus" vault_autopilot_healthy
	printf 'modules:\n  health: {prober: http, http: {tls_config: {insecure_skip_verify: true}}}\n  tls: {prober: tcp, tcp: {tls: true, tls_config: {insecure_skip_verify: true}}}\n' >"$dir/blackbox.yml"
	start blackbox "$programs/prometheus-blackbox-exporter" "--config.file=$dir/blackbox.yml" --web.listen-address=127.0.0.1:27115
	record blackbox "http://127.0.0.1:27115/probe?module=health&target=https://127.0.0.1:27200/v1/sys/health" "probe_success 1"
}

machine() {
	mkdir "$dir/textfile"
	start node "$programs/prometheus-node-exporter" --web.listen-address=127.0.0.1:27100 --collector.systemd "--collector.textfile.directory=$dir/textfile"
	record node http://127.0.0.1:27100/metrics node_time_seconds
	if [ -S /run/dbus/system_bus_socket ]; then # else the units of before stay as they were written down
		record node http://127.0.0.1:27100/metrics node_systemd_unit_state
		grep node_systemd "$out/node.txt" >"$out/units.txt"
	fi
}

watchers() {
	# Debian's Alertmanager reads this file whatever its configuration says.
	if [ ! -e /usr/share/prometheus/alertmanager/default.tmpl ]; then
		echo "there is no /usr/share/prometheus: as root, ln -s $(dirname "$(dirname "$programs")")/usr/share/prometheus /usr/share/prometheus" >&2
		return 1
	fi
	printf 'route: {receiver: nobody}\nreceivers: [{name: nobody}]\n' >"$dir/alertmanager.yml"
	start alertmanager "$programs/prometheus-alertmanager" "--config.file=$dir/alertmanager.yml" "--storage.path=$dir/alertmanager" \
		--web.listen-address=127.0.0.1:27903 --cluster.listen-address=
	record alertmanager http://127.0.0.1:27903/metrics alertmanager_config_last_reload_successful
	printf 'alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:27903"]}]}]}\nrule_files: ["%s"]\nscrape_configs: [{job_name: self, scrape_interval: 1s, static_configs: [{targets: ["127.0.0.1:27090"]}]}]\n' \
		"$repo/ansible/roles/prometheus/files/rules/*.yml" >"$dir/prometheus.yml"
	start prometheus "$programs/prometheus" "--config.file=$dir/prometheus.yml" "--storage.tsdb.path=$dir/tsdb" --web.listen-address=127.0.0.1:27090
	record prometheus http://127.0.0.1:27090/metrics prometheus_rule_evaluation_failures_total prometheus_tsdb_head_samples_appended_total \
		prometheus_notifications_dropped_total
}

mkdir -p "$out"
machine
secrets
watchers
kafka
hadoop
