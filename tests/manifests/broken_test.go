package manifests

import (
	"testing"
)

// TestRulesSeeWhatIsBroken breaks one thing at a time; the rule that it is for must say so.
func TestRulesSeeWhatIsBroken(t *testing.T) {
	const template, job, hard = "spec.template.spec", "spec.job.spec.template.spec", "securityContext"
	inPod := func(o object) map[string]any {
		return pods([]object{o})[0].container().(map[string]any)
	}
	env := func(name, value string) func(o object) {
		return func(o object) {
			c := inPod(o)
			c["env"] = append(c["env"].([]any), map[string]any{"name": name, "value": value})
		}
	}
	inContainer := func(change func(c map[string]any)) func(o object) {
		return func(o object) { change(inPod(o)) }
	}
	guard := func(key string, value any) func(o object) {
		return inContainer(func(c map[string]any) { c[hard].(map[string]any)[key] = value })
	}
	put := func(path string, value any) func(o object) { return func(o object) { set(o, path, value) } }
	resources := func(part, key string, value any) func(o object) {
		return inContainer(func(c map[string]any) { at(c, "resources", part).(map[string]any)[key] = value })
	}
	secret := func(from, to string) func(o object) { // another in its place
		return func(o object) {
			for _, s := range list(at(list(pods([]object{o})[0].template, "spec.volumes"), 0), "projected.sources") {
				if text(s, "secret.name") == from {
					set(s.(map[string]any), "secret.name", to)
				}
			}
		}
	}
	tests := map[string]struct {
		rule, kind, name string
		change           func(o object)
	}{
		"a function as root":              {"processes have no rights", "Service", "store", guard("runAsUser", 0.0)},
		"a function that may be root":     {"processes have no rights", "Service", "store", guard("runAsNonRoot", false)},
		"a job that gains privileges":     {"processes have no rights", "JobSink", "deliver", guard("allowPrivilegeEscalation", true)},
		"a source with a capability":      {"processes have no rights", "ContainerSource", "store", guard("capabilities", map[string]any{"drop": []any{"ALL"}, "add": []any{"NET_RAW"}})},
		"a source that keeps some":        {"processes have no rights", "ContainerSource", "store", guard("capabilities", map[string]any{"drop": []any{"NET_RAW"}})},
		"a job without seccomp":           {"processes have no rights", "JobSink", "deliver", put(job+".securityContext", map[string]any{"runAsNonRoot": true, "runAsUser": 65532.0, "runAsGroup": 65532.0})},
		"a job on the host's network":     {"processes have no rights", "JobSink", "deliver", put(job+".hostNetwork", true)},
		"a root that can be written":      {"nothing is written but to /tmp", "Service", "process", guard("readOnlyRootFilesystem", false)},
		"credentials that can be written": {"nothing is written but to /tmp", "Service", "process", inContainer(func(c map[string]any) { at(c, "volumeMounts", 0).(map[string]any)["readOnly"] = false })},
		"a folder of the host": {"nothing is written but to /tmp", "Service", "collect", func(o object) {
			set(o, template+".volumes", append(list(o, template+".volumes"), map[string]any{"name": "host", "hostPath": map[string]any{"path": "/"}}))
		}},
		"a temporary folder without an end": {"nothing is written but to /tmp", "Service", "collect", put(template+".volumes", []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}})},
		"an account with a token":           {"accounts are apart and have no token", "ServiceAccount", "store", func(o object) { delete(o, "automountServiceAccountToken") }},
		"a pod with a token":                {"accounts are apart and have no token", "Service", "store", put(template+".automountServiceAccountToken", true)},
		"a function with another's account": {"accounts are apart and have no token", "Service", "store", put(template+".serviceAccountName", "process")},
		"an account that is not there":      {"accounts are apart and have no token", "JobSink", "deliver", put(job+".serviceAccountName", "default")},
		"memory without a limit":            {"memory and processors are bounded", "Service", "store", inContainer(func(c map[string]any) { delete(at(c, "resources", "limits").(map[string]any), "memory") })},
		"a limit below the heap's":          {"memory and processors are bounded", "JobSink", "deliver", resources("limits", "memory", "1Gi")},
		"an unbounded concurrency":          {"memory and processors are bounded", "Service", "store", put(template+".containerConcurrency", 0.0)},
		"an unbounded scale": {"memory and processors are bounded", "Service", "store", func(o object) {
			delete(dotted(o, "spec.template.metadata.annotations").(map[string]any), "autoscaling.knative.dev/max-scale")
		}},
		"readiness that asks for health":   {"probes are answered", "Service", "store", inContainer(func(c map[string]any) { at(c, "readinessProbe", "httpGet").(map[string]any)["path"] = "/healthz" })},
		"a source without a probe":         {"probes are answered", "ContainerSource", "store", inContainer(func(c map[string]any) { delete(c, "livenessProbe") })},
		"a probe in too much haste":        {"probes are answered", "Service", "store", inContainer(func(c map[string]any) { at(c, "readinessProbe").(map[string]any)["timeoutSeconds"] = 1.0 })},
		"an event longer than its request": {"times fit into each other", "Service", "process", env("ALMANAC_TIMEOUT", "6m")},
		"a request longer than is possible": {"times fit into each other", "Service", "process", func(o object) {
			set(o, template+".timeoutSeconds", 3600.0)
			set(o, template+".responseStartTimeoutSeconds", 3600.0)
		}},
		"an answer that must begin at once":    {"times fit into each other", "Service", "process", func(o object) { delete(dotted(o, template).(map[string]any), "responseStartTimeoutSeconds") }},
		"a job longer than the grace":          {"times fit into each other", "JobSink", "aggregate", put("spec.job.spec.activeDeadlineSeconds", 7200.0)},
		"a job that ends with the grace":       {"times fit into each other", "JobSink", "aggregate", put("spec.job.spec.activeDeadlineSeconds", 1800.0)},
		"a source that does not wait":          {"times fit into each other", "ContainerSource", "store", env("ALMANAC_SOURCE_TIMEOUT", "9m")},
		"a KafkaSource that does not wait":     {"times fit into each other", "KafkaSource", "store", put("spec.delivery.timeout", "PT5M")},
		"a calendar in haste":                  {"times fit into each other", "Service", "calendar", env("ALMANAC_GRACE_FACTS", "5m")},
		"a sink that is not there":             {"events go somewhere, once", "KafkaSource", "store", put("spec.sink.ref.name", "stores")},
		"a sink of another kind":               {"events go somewhere, once", "ContainerSource", "deliver", put("spec.sink.ref.kind", "Service")},
		"a topic that wakes two":               {"events go somewhere, once", "KafkaSource", "store", put("spec.topics", []any{"almanac.fact.processed", "almanac.fact.validated"})},
		"a group of another":                   {"events go somewhere, once", "KafkaSource", "store", put("spec.consumerGroup", "almanac-process")},
		"a source by another name":             {"events go somewhere, once", "ContainerSource", "store", env("ALMANAC_SOURCE_NAME", "process")},
		"ticks to another":                     {"events go somewhere, once", "PingSource", "ticks", put("metadata.name", "tocks")},
		"a source without dead letters":        {"dead letters are kept", "KafkaSource", "store", func(o object) { delete(dotted(o, "spec.delivery").(map[string]any), "deadLetterSink") }},
		"a source that does not try again":     {"dead letters are kept", "KafkaSource", "store", func(o object) { delete(dotted(o, "spec.delivery").(map[string]any), "retry") }},
		"a source that begins at the end":      {"dead letters are kept", "KafkaSource", "store", put("spec.initialOffset", "latest")},
		"a job that lies about":                {"jobs end", "JobSink", "deliver", func(o object) { delete(dotted(o, "spec.job.spec").(map[string]any), "ttlSecondsAfterFinished") }},
		"a job that is started again for ever": {"jobs end", "JobSink", "deliver", put(job+".restartPolicy", "OnFailure")},
		"a public function": {"only the API is public", "Service", "store", func(o object) {
			delete(dotted(o, "metadata.labels").(map[string]any), "networking.knative.dev/visibility")
		}},
		"a private API": {"only the API is public", "Service", "serve", func(o object) {
			dotted(o, "metadata.labels").(map[string]any)["networking.knative.dev/visibility"] = "cluster-local"
		}},
		"a network without a ban": {"traffic is denied but for what is needed", "NetworkPolicy", "deny-all", put("spec.policyTypes", []any{"Ingress"})},
		"a way to everywhere":     {"traffic is denied but for what is needed", "NetworkPolicy", "all-to-kafka", put("spec.egress", []any{map[string]any{}})},
		"a way to every address": {"traffic is denied but for what is needed", "NetworkPolicy", "all-to-kafka", func(o object) {
			dotted(at(list(o, "spec.egress"), 0, "to", 0), "ipBlock").(map[string]any)["cidr"] = "0.0.0.0/0"
		}},
		"a function that no policy knows": {"traffic is denied but for what is needed", "Service", "store", put("spec.template.metadata.labels", map[string]any{"app.kubernetes.io/name": "store"})},
		"Spark for all":                   {"traffic is denied but for what is needed", "NetworkPolicy", "queries-to-spark", put("spec.podSelector", map[string]any{})},
		"a password in the environment":   {"secrets are references", "Service", "store", env("ALMANAC_KAFKA_PASSWORD", "hunter2")},
		"a key in the environment":        {"secrets are references", "Service", "process", env("ALMANAC_PSEUDONYM_KEY", "00112233")},
		"a token among the settings":      {"secrets are references", "ConfigMap", "", func(o object) { o["data"].(map[string]any)["ALMANAC_SPARK_TOKEN_FILE"] = "abc" }},
		"a password in a reference":       {"secrets are references", "Service", "store", env("ALMANAC_KAFKA_PASSWORD", "vault://me:hunter2@kv/almanac#password")},
		"a secret among the manifests":    {"secrets are references", "ServiceAccount", "store", func(o object) { o["kind"] = "Secret" }},
		"another's keytab":                {"each has its own keys", "Service", "store", secret("hdfs-store", "hdfs-collect")},
		"a keytab for all":                {"each has its own keys", "JobSink", "deliver", secret("hdfs-deliver", "hdfs")},
		"a keytab for dead letters":       {"each has its own keys", "Service", "deadletter", secret("ca", "hdfs-deadletter")},
		"another's certificate":           {"each has its own keys", "ContainerSource", "store", secret("kafka-source", "kafka-store")},
		"a way to no realm":               {"each has its own keys", "Service", "serve", secret("krb5", "ca")},
		"a principal for all":             {"each has its own keys", "ConfigMap", "", func(o object) { o["data"].(map[string]any)["ALMANAC_HDFS_PRINCIPAL"] = "almanac@EXAMPLE.ORG" }},
		"a keytab of the store for all":   {"each has its own keys", "Service", "store", env("ALMANAC_HDFS_KEYTAB", "vault://kv/almanac/shared/hdfs?encoding=base64#keytab")},
		"another namespace":               {"all lies in a restricted namespace", "Service", "store", put("metadata.namespace", "default")},
		"a namespace that lets all in": {"all lies in a restricted namespace", "Namespace", "almanac", func(o object) {
			dotted(o, "metadata.labels").(map[string]any)["pod-security.kubernetes.io/enforce"] = "privileged"
		}},
	}
	kafka, container := build(t, root+"/overlays/production"), build(t, root+"/overlays/container-source")
	seen := map[string]bool{}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			all := clone(t, kafka)
			if find(all, tt.kind, tt.name) == nil {
				all = clone(t, container)
			}
			o := find(all, tt.kind, tt.name)
			if tt.name == "" {
				o = ofKind(all, tt.kind)[0]
			}
			look := rules[tt.rule]
			if found := look(all); len(found) > 0 {
				t.Fatalf("before: %v", found)
			}
			tt.change(o)
			if len(look(all)) == 0 {
				t.Errorf("%q does not see it", tt.rule)
			}
		})
		seen[tt.rule] = true
	}
	for name := range rules {
		if !seen[name] {
			t.Errorf("nothing breaks %q", name)
		}
	}
}
