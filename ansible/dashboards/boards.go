package main

// rate is the span that Grafana fits to the distance of what it draws.
const rate = "[$__rate_interval]"

var boards = []board{work, servers, machines}

var work = board{
	name: "work", title: "Almanac: work", about: "What is late, what has stopped, and what flows. Times are UTC.",
	rows: []row{
		{"Now", []panel{
			{title: "Late", about: "The window that has waited longest for its turn.", unit: "s", number: true, bad: 6 * 3600,
				queries: []query{{`max(almanac:window_overdue_seconds:max)`, "late"}}},
			{title: "Stopped", about: "Windows that wait for a person.", unit: "short", number: true, bad: 1,
				queries: []query{{`sum(almanac:windows_stopped:max) or vector(0)`, "windows"}}},
			{title: "Stuck", about: "Windows that were announced in vain.", unit: "short", number: true, bad: 1,
				queries: []query{{`sum(almanac:windows_stuck:max)`, "windows"}}},
			{title: "Dead letters", about: "Events given up in the last six hours.", unit: "short", number: true, bad: 1,
				queries: []query{{`sum(almanac:deadletters:new6h)`, "events"}}},
			{title: "Last survey", about: "Time since the calendar has looked.", unit: "s", number: true, bad: 600,
				queries: []query{{`time() - max(almanac_survey_timestamp_seconds)`, "ago"}}},
			{title: "Alerts", about: "That fire, the watchdog left out.", unit: "short", number: true, bad: 1,
				queries: []query{{`count(ALERTS{alertstate="firing", alertname!="Watchdog"}) or vector(0)`, "alerts"}}},
		}},
		{"Windows", []panel{
			{title: "Late", about: "Time since the oldest window that is not made could have been begun.", unit: "s",
				queries: []query{{`almanac:window_overdue_seconds:max`, "{{dataset}} {{step}} {{name}}"}}},
			{title: "Unfinished", about: "Windows by phase; those that are done are left out.", unit: "short",
				queries: []query{{`almanac:windows:max{phase!~"stored|aggregated|released"}`, "{{dataset}} {{step}} {{name}} {{phase}}"}}},
			{title: "Finished", about: "Windows that are stored, aggregated or released.", unit: "short",
				queries: []query{{`almanac:windows:max{phase=~"stored|aggregated|released"}`, "{{dataset}} {{step}} {{name}}"}}},
		}},
		{"Rows", []panel{
			{title: "Rows read", about: "By the step that read them.", unit: "ops",
				queries: []query{{`almanac:rows:rate5m{outcome="read"}`, "{{dataset}} {{step}}"}}},
			{title: "Rows not stored", about: "Quarantined, duplicate and filtered.", unit: "ops",
				queries: []query{{`almanac:rows:rate5m{outcome=~"quarantined|duplicate|filtered"}`, "{{dataset}} {{step}} {{outcome}}"}}},
			{title: "Bytes written", about: "By the step that wrote them.", unit: "Bps", queries: []query{{`almanac:bytes:rate5m`, "{{dataset}} {{step}}"}}},
		}},
		{"Functions", []panel{
			{title: "Events", about: "By what came of them.", unit: "ops", queries: []query{{`almanac:events:rate5m`, "{{function}} {{outcome}}"}}},
			{title: "Slowest events", about: "99 of 100 took less.", unit: "s", queries: []query{{`almanac:event_duration_seconds:p99`, "{{function}}"}}},
			{title: "HTTP API", about: "99 of 100 requests took less.", unit: "s", queries: []query{{`almanac:http_request_duration_seconds:p99`, "requests"}}},
			{title: "Commits begun again", about: "As the head of the table had moved.", unit: "ops",
				queries: []query{{`sum(rate(almanac_commit_retries_total` + rate + `))`, "commits"}}},
		}},
	},
}

var servers = board{
	name: "servers", title: "Almanac: servers", about: "Kafka, HDFS, YARN and the secrets store. Times are UTC.",
	rows: []row{
		{"Now", []panel{
			{title: "Partitions without leader", unit: "short", number: true, bad: 1, queries: []query{{`max(kafka_controller_offlinepartitionscount)`, "partitions"}}},
			{title: "Partitions short of copies", unit: "short", number: true, bad: 1, queries: []query{{`sum(kafka_replicas_underreplicatedpartitions)`, "partitions"}}},
			{title: "Blocks without copy", unit: "short", number: true, bad: 1, queries: []query{{`max(hdfs_namenode_missingblocks)`, "blocks"}}},
			{title: "Dead DataNodes", unit: "short", number: true, bad: 1, queries: []query{{`max(hdfs_namenode_numdeaddatanodes)`, "nodes"}}},
			{title: "HDFS used", unit: "percentunit", number: true, bad: 0.9, queries: []query{{`1 - hdfs:capacity_remaining:ratio`, "used"}}},
			{title: "Secrets store", about: "200: open, 429: stands by, 503: sealed.", unit: "short", number: true, bad: 500,
				queries: []query{{`probe_http_status_code{job="secrets-health"}`, "{{instance}}"}}},
		}},
		{"Kafka", []panel{
			{title: "Traffic", unit: "Bps", queries: []query{{`kafka:bytes_in:rate5m`, "in"}, {`kafka:bytes_out:rate5m`, "out"}}},
			{title: "Partitions", unit: "short", queries: []query{{`kafka_replicas_partitioncount`, "{{instance}}"}}},
			{title: "Slowest requests", about: "99 of 100 took less.", unit: "ms", queries: []query{{`kafka_request_p99_milliseconds`, "{{instance}} {{request}}"}}},
			{title: "Refused logins", unit: "ops", queries: []query{{`sum by (instance, listener) (rate(kafka_listener_failed_authentication_total` + rate + `))`, "{{instance}} {{listener}}"}}},
		}},
		{"HDFS", []panel{
			{title: "Space", unit: "bytes", queries: []query{{`max(hdfs_namenode_capacityused)`, "used"}, {`max(hdfs_namenode_capacitytotal)`, "total"}}},
			{title: "Blocks", unit: "short", queries: []query{{`max(hdfs_namenode_underreplicatedblocks)`, "short of copies"}, {`max(hdfs_namenode_corruptblocks)`, "corrupt"},
				{`max(hdfs_namenode_pendingreplicationblocks)`, "being copied"}}},
			{title: "DataNodes", unit: "Bps", queries: []query{{`sum(rate(hdfs_datanode_bytesread_total` + rate + `))`, "read"}, {`sum(rate(hdfs_datanode_byteswritten_total` + rate + `))`, "written"}}},
			{title: "NameNode", about: "Mean time of a request.", unit: "ms", queries: []query{{`hdfs_namenode_rpc_rpcprocessingtimeavgtime`, "{{instance}} {{port}}"}}},
		}},
		{"YARN", []panel{
			{title: "Nodes", unit: "short", queries: []query{{`max(yarn_cluster_numactivenms)`, "active"}, {`max(yarn_cluster_numlostnms)`, "lost"}, {`max(yarn_cluster_numunhealthynms)`, "unhealthy"}}},
			{title: "Memory", unit: "decmbytes", queries: []query{{`max(yarn_queue_allocatedmb)`, "given"}, {`max(yarn_queue_availablemb)`, "free"}}},
			{title: "Containers that wait", unit: "short", queries: []query{{`max(yarn_queue_pendingcontainers)`, "containers"}}},
			{title: "Applications that failed", unit: "ops", queries: []query{{`sum(rate(yarn_queue_appsfailed_total` + rate + `))`, "failed"}}},
		}},
		{"Java", []panel{
			{title: "Heap", unit: "bytes", queries: []query{{`jvm_memory_used_bytes{area="heap"}`, "{{job}} {{instance}}"}}},
			{title: "Garbage collection", about: "Part of the time.", unit: "percentunit", queries: []query{{`sum by (job, instance) (rate(jvm_gc_collection_seconds_sum` + rate + `))`, "{{job}} {{instance}}"}}},
		}},
	},
}

var machines = board{
	name: "machines", title: "Almanac: machines", about: "Machines, what expires, backups, and what watches them. Times are UTC.",
	rows: []row{
		{"Now", []panel{
			{title: "Targets down", unit: "short", number: true, bad: 1, queries: []query{{`count(up == 0) or vector(0)`, "targets"}}},
			{title: "Next certificate ends in", unit: "s", number: true, queries: []query{{`min(certificate:remaining_seconds)`, "certificate"}}},
			{title: "Last backup", unit: "s", number: true, bad: 36 * 3600, queries: []query{{`time() - max(almanac_backup_completed_timestamp_seconds)`, "ago"}}},
			{title: "Last drill", unit: "s", number: true, bad: 35 * 86400, queries: []query{{`time() - max(almanac_drill_completed_timestamp_seconds)`, "ago"}}},
			{title: "Clock that is off most", unit: "s", number: true, bad: 2, queries: []query{{`max(node:clock_skew_seconds)`, "off"}}},
			{title: "Fullest disk", unit: "percentunit", number: true, bad: 0.9, queries: []query{{`1 - min(node:filesystem_free:ratio)`, "used"}}},
		}},
		{"Machines", []panel{
			{title: "Processors", unit: "percentunit", queries: []query{{`node:cpu_busy:ratio`, "{{instance}}"}}},
			{title: "Memory available", unit: "bytes", queries: []query{{`node_memory_MemAvailable_bytes`, "{{instance}}"}}},
			{title: "Disks used", unit: "percentunit", queries: []query{{`1 - node:filesystem_free:ratio`, "{{instance}} {{mountpoint}}"}}},
			{title: "Network", unit: "Bps", queries: []query{{`sum by (instance) (rate(node_network_receive_bytes_total{device!="lo"}` + rate + `))`, "{{instance}} in"},
				{`sum by (instance) (rate(node_network_transmit_bytes_total{device!="lo"}` + rate + `))`, "{{instance}} out"}}},
		}},
		{"What expires", []panel{
			{title: "Certificates", unit: "s", queries: []query{{`certificate:remaining_seconds`, "{{instance}} {{variable}}"}}},
			{title: "Kerberos tickets", unit: "s", queries: []query{{`almanac_kerberos_ticket_expiry_timestamp_seconds - time()`, "{{principal}} {{instance}}"}}},
		}},
		{"Recovery", []panel{
			{title: "Size of backups", unit: "bytes", queries: []query{{`almanac_backup_size_bytes`, "{{backup}}"}}},
			{title: "Time of backups", unit: "s", queries: []query{{`almanac_backup_duration_seconds`, "{{backup}}"}}},
			{title: "Drills", about: "How long the last drill took to restore, and how old what it restored was.", unit: "s",
				queries: []query{{`almanac_drill_recovery_seconds`, "time to recover"}, {`almanac_drill_loss_seconds`, "time lost"}}},
		}},
		{"Watching", []panel{
			{title: "Samples", unit: "ops", queries: []query{{`rate(prometheus_tsdb_head_samples_appended_total` + rate + `)`, "{{instance}}"}}},
			{title: "Series", unit: "short", queries: []query{{`prometheus_tsdb_head_series`, "{{instance}}"}}},
			{title: "Notifications that failed", unit: "ops", queries: []query{{`sum by (integration) (rate(alertmanager_notifications_failed_total` + rate + `))`, "{{integration}}"}}},
		}},
	},
}
