package manifests

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// rule finds what must not be.
type rule func(all []object) (findings []string)

// rules that hold for every overlay.
var rules = map[string]rule{
	"processes have no rights":                 unprivileged,
	"nothing is written but to /tmp":           readOnly,
	"accounts are apart and have no token":     accounts,
	"memory and processors are bounded":        bounded,
	"probes are answered":                      probed,
	"times fit into each other":                timely,
	"events go somewhere, once":                wired,
	"dead letters are kept":                    lettersKept,
	"jobs end":                                 ending,
	"only the API is public":                   private,
	"traffic is denied but for what is needed": isolated,
	"secrets are references":                   noSecrets,
	"each has its own keys":                    own,
	"all lies in a restricted namespace":       namespaced,
}

func TestRules(t *testing.T) {
	for _, dir := range overlays(t) {
		all := build(t, dir)
		for name, look := range rules {
			for _, f := range look(all) {
				t.Errorf("%s: %s: %s", dir, name, f)
			}
		}
	}
}

// TestImagesArePinned looks at a site, as only make publish knows digests.
func TestImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^registry\.site\.example/almanac/[a-z]+@sha256:[0-9a-f]{64}$`)
	for _, p := range pods(build(t, "testdata/site")) {
		if image := text(p.container(), "image"); !pinned.MatchString(image) || len(p.containers()) != 1 {
			t.Errorf("%s: image %q is not pinned", p, image)
		}
	}
	for _, p := range pods(build(t, root+"/overlays/production")) {
		if image := text(p.container(), "image"); !regexp.MustCompile(`^almanac/[a-z]+:unpublished$`).MatchString(image) {
			t.Errorf("%s: image %q is none that make publish replaces", p, image)
		}
	}
}

// TestASiteHasTheLastWord holds that no component says otherwise than what a site has set.
func TestASiteHasTheLastWord(t *testing.T) {
	said, err := os.ReadFile("testdata/site/settings/site.env")
	if err != nil {
		t.Fatal(err)
	}
	settings := slices.DeleteFunc(ofKind(build(t, "testdata/site"), "ConfigMap"), func(o object) bool { return !strings.HasPrefix(o.name(), "almanac-") })
	if len(settings) != 1 {
		t.Fatalf("there are %d ConfigMaps of settings, want 1", len(settings))
	}
	for line := range strings.Lines(string(said)) {
		name, want, _ := strings.Cut(strings.TrimSpace(line), "=")
		if got := text(settings[0], "data."+name); got != want {
			t.Errorf("%s is %q, and the site has set %q", name, got, want)
		}
	}
}

// TestWhoIsToldOfTheKeyOfEnvelopes holds that those functions are which the policies of the secrets store let use it.
func TestWhoIsToldOfTheKeyOfEnvelopes(t *testing.T) {
	all := build(t, root+"/overlays/secrets-store")
	told := map[string]string{}
	for _, p := range pods(all) {
		if key, ok := p.env(all)["ALMANAC_ENVELOPE_KEY"]; ok {
			told[p.of.name()] = key
		}
	}
	if want := map[string]string{"collect": "vault://transit/almanac-rows", "process": "vault://transit/almanac-rows"}; !maps.Equal(told, want) {
		t.Errorf("ALMANAC_ENVELOPE_KEY is set to %v, want %v", told, want)
	}
}

func unprivileged(all []object) (wrong []string) {
	for _, p := range pods(all) {
		say := func(bad bool, what string) {
			if bad {
				wrong = append(wrong, fmt.Sprintf("%s: %s", p, what))
			}
		}
		either := func(path string) any {
			if v := dotted(p.container(), "securityContext."+path); v != nil {
				return v
			}
			return dotted(p.template, "spec.securityContext."+path)
		}
		say(either("runAsNonRoot") != true || either("runAsUser") != 65532.0 || either("runAsGroup") != 65532.0, "must run as 65532")
		say(either("seccompProfile.type") != "RuntimeDefault", "must have the runtime's seccomp profile")
		say(dotted(p.container(), "securityContext.allowPrivilegeEscalation") != false, "must not gain privileges")
		say(dotted(p.container(), "securityContext.privileged") == true, "must not be privileged")
		say(!slices.Equal(list(p.container(), "securityContext.capabilities.drop"), []any{"ALL"}), "must drop all capabilities")
		say(len(list(p.container(), "securityContext.capabilities.add")) > 0, "must add no capability")
		for _, shared := range []string{"hostNetwork", "hostPID", "hostIPC"} {
			say(dotted(p.template, "spec."+shared) == true, shared)
		}
	}
	return wrong
}

func readOnly(all []object) (wrong []string) {
	for _, p := range pods(all) {
		if dotted(p.container(), "securityContext.readOnlyRootFilesystem") != true {
			wrong = append(wrong, p.String()+": its root file system can be written")
		}
		for _, m := range list(p.container(), "volumeMounts") {
			if text(m, "mountPath") != "/tmp" && dotted(m, "readOnly") != true {
				wrong = append(wrong, fmt.Sprintf("%s: %s can be written", p, text(m, "mountPath")))
			}
		}
		for _, v := range list(p.template, "spec.volumes") {
			if dotted(v, "hostPath") != nil || dotted(v, "emptyDir") != nil && text(v, "emptyDir.sizeLimit") == "" {
				wrong = append(wrong, fmt.Sprintf("%s: volume %s has no bound, or is the host's", p, text(v, "name")))
			}
		}
	}
	return wrong
}

func accounts(all []object) (wrong []string) {
	for _, a := range ofKind(all, "ServiceAccount") {
		if a["automountServiceAccountToken"] != false {
			wrong = append(wrong, a.String()+" gives its token")
		}
	}
	users := map[string]string{}
	for _, p := range pods(all) {
		name := text(p.template, "spec.serviceAccountName")
		if dotted(p.template, "spec.automountServiceAccountToken") != false || dotted(p.template, "spec.enableServiceLinks") != false {
			wrong = append(wrong, p.String()+" is given a token or the addresses of all services")
		}
		if find(all, "ServiceAccount", name) == nil {
			wrong = append(wrong, fmt.Sprintf("%s: there is no ServiceAccount %q", p, name))
		}
		if before, ok := users[name]; ok && p.component() != "source" {
			wrong = append(wrong, fmt.Sprintf("%s and %s share ServiceAccount %s", p, before, name))
		}
		users[name] = p.String()
	}
	return wrong
}

// bytes is a quantity, or -1.
func bytes(s any) int64 {
	q, err := resource.ParseQuantity(strings.TrimSuffix(fmt.Sprint(s), "B"))
	if err != nil {
		return -1
	}
	return q.Value()
}

func bounded(all []object) (wrong []string) {
	for _, p := range pods(all) {
		for _, what := range []string{"requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "limits.ephemeral-storage"} {
			if dotted(p.container(), "resources."+what) == nil {
				wrong = append(wrong, fmt.Sprintf("%s: %s is not set", p, what))
			}
		}
		soft, hard := bytes(p.env(all)["GOMEMLIMIT"]), bytes(dotted(p.container(), "resources.limits.memory"))
		if soft <= 0 || float64(soft) > 0.95*float64(hard) || float64(soft) < 0.5*float64(hard) {
			wrong = append(wrong, fmt.Sprintf("%s: GOMEMLIMIT is %d with a limit of %d: collect garbage before the limit is hit, and not long before", p, soft, hard))
		}
		if p.of.kind() == "Service" && (number(p.template, "spec.containerConcurrency") < 1 || annotation(p, "max-scale") == "" || annotation(p, "min-scale") == "") {
			wrong = append(wrong, p.String()+": its concurrency or scale has no bound")
		}
	}
	return wrong
}

func annotation(p pod, name string) string {
	s, _ := at(p.template, "metadata", "annotations", "autoscaling.knative.dev/"+name).(string)
	return s
}

func probed(all []object) (wrong []string) {
	for _, p := range pods(all) {
		if p.of.kind() == "JobSink" {
			continue
		}
		ready, live := text(p.container(), "readinessProbe.httpGet.path"), text(p.container(), "livenessProbe.httpGet.path")
		if ready != "/readyz" || live != "/healthz" {
			wrong = append(wrong, fmt.Sprintf("%s: probes are %q and %q", p, ready, live))
		}
		if number(p.container(), "readinessProbe.timeoutSeconds") <= 5 {
			wrong = append(wrong, p.String()+": /readyz may take 5 s")
		}
		if at(p.template, "metadata", "annotations", "prometheus.io/port") != "8080" || number(at(list(p.container(), "ports"), 0), "containerPort") != 8080 {
			wrong = append(wrong, p.String()+": metrics are not found")
		}
	}
	return wrong
}

func duration(s, otherwise string) time.Duration {
	if s == "" {
		s = otherwise
	}
	s = strings.ToLower(strings.TrimPrefix(s, "PT"))
	d, err := time.ParseDuration(s)
	if err != nil {
		return -1
	}
	return d
}

// Bounds of Knative (config-defaults of Serving).
const maxTimeout = 600 * time.Second

// timely: the slowest event < the revision's timeout ≤ Knative's maximum < the source's timeout; and all of it, jobs too, < the calendar's grace.
func timely(all []object) (wrong []string) {
	say := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	revision := map[string]time.Duration{}
	var grace time.Duration
	for _, p := range pods(all) {
		if p.of.kind() == "Service" && p.of.name() == "calendar" {
			grace = duration(p.env(all)["ALMANAC_GRACE_FACTS"], "15m")
		}
	}
	for _, p := range pods(all) {
		switch p.of.kind() {
		case "Service":
			event := duration(p.env(all)["ALMANAC_TIMEOUT"], "5m")
			timeout := time.Duration(number(p.template, "spec.timeoutSeconds")) * time.Second
			start := time.Duration(number(p.template, "spec.responseStartTimeoutSeconds")) * time.Second
			revision[p.of.name()] = timeout
			// The API and the dead letters take no events that ALMANAC_TIMEOUT bounds.
			events := p.of.name() != "serve" && p.of.name() != "deadletter"
			say(events && event+10*time.Second > timeout, "%s: ALMANAC_TIMEOUT %s does not end well before timeoutSeconds %s", p, event, timeout)
			say(timeout <= 0 || timeout > maxTimeout, "%s: timeoutSeconds is %s, of at most %s", p, timeout, maxTimeout)
			say(start != timeout, "%s: responseStartTimeoutSeconds is %s, but an answer begins when the event is done: %s", p, start, timeout)
			say(events && event >= grace, "%s: an event may take %s, but is announced again after %s (ALMANAC_GRACE_FACTS)", p, event, grace)
		case "JobSink":
			deadline := time.Duration(number(p.of["spec"], "job.spec.activeDeadlineSeconds")) * time.Second
			// The due of a job is older than the job, which begins once it is delivered and ends a while after its deadline.
			say(deadline <= 0 || deadline+2*time.Minute > grace, "%s: a job may take %s, but is announced again after %s (ALMANAC_GRACE_FACTS)", p, deadline, grace)
		}
	}
	for _, s := range eventSources(all) {
		var patience time.Duration
		if s.kind() == "KafkaSource" {
			patience = duration(text(s, "spec.delivery.timeout"), "")
		} else {
			patience = duration(pods([]object{s})[0].env(all)["ALMANAC_SOURCE_TIMEOUT"], "10m")
		}
		of := revision[text(s, "spec.sink.ref.name")]
		say(patience <= of, "%s: waits %s for an answer that may take %s", s, patience, of)
	}
	return wrong
}

// eventSources are those that read Kafka.
func eventSources(all []object) []object {
	return append(ofKind(all, "KafkaSource"), ofKind(all, "ContainerSource")...)
}

func topics(s object) (out []string) {
	for _, t := range list(s, "spec.topics") {
		out = append(out, fmt.Sprint(t))
	}
	if s.kind() == "ContainerSource" {
		out = strings.Split(pods([]object{s})[0].env(nil)["ALMANAC_SOURCE_TOPICS"], ",")
	}
	return out
}

func wired(all []object) (wrong []string) {
	woken := map[string]string{}
	for _, s := range append(eventSources(all), ofKind(all, "PingSource")...) {
		ref := dotted(s, "spec.sink.ref")
		to := find(all, text(ref, "kind"), text(ref, "name"))
		if to == nil || text(to, "apiVersion") != text(ref, "apiVersion") {
			wrong = append(wrong, fmt.Sprintf("%s: its sink %v is not there", s, ref))
		}
		if text(ref, "namespace") != "" {
			wrong = append(wrong, s.String()+": its sink lies in another namespace")
		}
		for _, topic := range topics(s) {
			if woken[topic] != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s wakes %s as well", s, topic, woken[topic]))
			}
			woken[topic] = s.name()
		}
		switch {
		case s.kind() == "ContainerSource":
			if env := pods([]object{s})[0].env(all); env["ALMANAC_SOURCE_NAME"] != s.name() || s.name() != text(ref, "name") {
				wrong = append(wrong, s.String()+": its group, its name and its sink are to have one name")
			}
		case s.kind() == "KafkaSource" && text(s, "spec.consumerGroup") != "almanac-"+text(ref, "name"):
			wrong = append(wrong, s.String()+": its group is not that of its function")
		}
	}
	if find(all, "PingSource", "ticks") == nil || len(woken) < 10 {
		wrong = append(wrong, fmt.Sprintf("nothing wakes by the clock, or too little by topics: %v", slices.Sorted(maps.Keys(woken))))
	}
	return wrong
}

func lettersKept(all []object) (wrong []string) {
	for _, s := range ofKind(all, "KafkaSource") {
		ref := dotted(s, "spec.delivery.deadLetterSink.ref")
		if text(ref, "name") != "deadletter" || find(all, text(ref, "kind"), "deadletter") == nil {
			wrong = append(wrong, s.String()+": what is not taken is lost")
		}
		if number(s, "spec.delivery.retry") < 5 || text(s, "spec.delivery.backoffPolicy") != "exponential" || duration(text(s, "spec.delivery.backoffDelay"), "") <= 0 {
			wrong = append(wrong, s.String()+": retries do not outlast the restart of a server")
		}
		if text(s, "spec.initialOffset") != "earliest" || text(s, "spec.ordering") == "" {
			wrong = append(wrong, s.String()+": where it begins, and in which order, is left to defaults")
		}
	}
	return wrong
}

func ending(all []object) (wrong []string) {
	for _, j := range ofKind(all, "JobSink") {
		spec := dotted(j, "spec.job.spec")
		if number(spec, "backoffLimit") < 0 || number(spec, "backoffLimit") > 3 || number(spec, "ttlSecondsAfterFinished") <= 0 || number(spec, "activeDeadlineSeconds") <= 0 ||
			text(spec, "template.spec.restartPolicy") != "Never" {
			wrong = append(wrong, j.String()+": it may go on or lie about for ever")
		}
		for _, v := range append(list(spec, "template.spec.volumes"), list(spec, "template.spec.containers.env")...) {
			if text(v, "name") == "jobsink-event" || text(v, "name") == "K_EXECUTION_MODE" {
				wrong = append(wrong, j.String()+": what Knative sets is set")
			}
		}
	}
	return wrong
}

func private(all []object) (wrong []string) {
	for _, s := range ofKind(all, "Service") {
		local := at(s, "metadata", "labels", "networking.knative.dev/visibility") == "cluster-local"
		if local == (s.name() == "serve") {
			wrong = append(wrong, fmt.Sprintf("%s: cluster-local is %t", s, local))
		}
	}
	return wrong
}

// selects says whether a selector matches labels.
func selects(selector any, labels map[string]any) bool {
	want, _ := dotted(selector, "matchLabels").(map[string]any)
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	for _, e := range list(selector, "matchExpressions") {
		in := slices.Contains(list(e, "values"), labels[text(e, "key")])
		if in != (text(e, "operator") == "In") {
			return false
		}
	}
	return true
}

// reaches lists the ports that a pod may reach (egress) or be reached at (ingress).
func reaches(all []object, p pod, direction string) (ports []float64) {
	for _, n := range ofKind(all, "NetworkPolicy") {
		if !selects(dotted(n, "spec.podSelector"), p.labels()) {
			continue
		}
		for _, r := range list(n, "spec."+direction) {
			for _, port := range list(r, "ports") {
				for at := number(port, "port"); at <= max(number(port, "port"), number(port, "endPort")); at++ {
					ports = append(ports, at)
				}
			}
		}
	}
	return ports
}

func isolated(all []object) (wrong []string) {
	deny := find(all, "NetworkPolicy", "deny-all")
	if deny == nil || len(list(deny, "spec.policyTypes")) != 2 || len(list(deny, "spec.ingress"))+len(list(deny, "spec.egress")) > 0 || !selects(dotted(deny, "spec.podSelector"), nil) {
		wrong = append(wrong, "not all is denied at first")
	}
	for _, n := range ofKind(all, "NetworkPolicy") {
		for _, direction := range []string{"ingress", "egress"} {
			for _, r := range list(n, "spec."+direction) {
				peers := append(list(r, "to"), list(r, "from")...)
				if len(peers) == 0 || len(list(r, "ports")) == 0 {
					wrong = append(wrong, n.String()+": it opens all hosts, or all ports")
				}
				for _, peer := range peers {
					if strings.HasSuffix(text(peer, "ipBlock.cidr"), "/0") || dotted(peer, "ipBlock") == nil && dotted(peer, "podSelector") == nil {
						wrong = append(wrong, fmt.Sprintf("%s: it opens %v", n, peer))
					}
				}
			}
		}
	}
	for _, p := range pods(all) {
		name := p.of.name()
		query, stands := p.of.kind() == "JobSink", p.component() != "source" && name != "deadletter"
		for what, needs := range map[string]struct {
			direction string
			ports     []float64
			needed    bool
		}{
			"DNS":                      {"egress", []float64{53}, true},
			"Kafka":                    {"egress", []float64{9092, 9093}, true},
			"HDFS":                     {"egress", []float64{8020, 9866, 9870, 9871, 88}, stands},
			"Spark":                    {"egress", []float64{15002}, query},
			"sinks":                    {"egress", []float64{8081, 8080}, p.component() == "source"},
			"requests through Knative": {"ingress", []float64{8012, 8013, 9090}, p.component() == "function"},
			"Prometheus":               {"ingress", []float64{8080}, !query},
		} {
			ports := reaches(all, p, needs.direction)
			for _, port := range needs.ports {
				if slices.Contains(ports, port) != needs.needed {
					wrong = append(wrong, fmt.Sprintf("%s: %s on port %v: open is %t", p, what, port, !needs.needed))
				}
			}
		}
	}
	return wrong
}

var secretName = regexp.MustCompile(`(?i)(password|passwd|token|secret|credential|_key|_cert|keytab)(_file)?$`)

func noSecrets(all []object) (wrong []string) {
	for _, o := range all {
		if o.kind() == "Secret" {
			wrong = append(wrong, o.String()+" is in the manifests")
		}
		if strings.Contains(fmt.Sprint(o), "PRIVATE KEY") {
			wrong = append(wrong, o.String()+" holds a private key")
		}
		if data, ok := o["data"].(map[string]any); ok && o.kind() == "ConfigMap" {
			for k, v := range data {
				wrong = append(wrong, inline(o.String(), k, fmt.Sprint(v))...)
			}
		}
	}
	for _, p := range pods(all) {
		for _, e := range list(p.container(), "env") {
			wrong = append(wrong, inline(p.String(), text(e, "name"), text(e, "value"))...)
		}
	}
	return wrong
}

// inStore is a reference to a value or a key of the secrets store.
var inStore = regexp.MustCompile(`^vault://[a-z]+/[a-z0-9/{}-]+(\?encoding=base64)?(#[a-z]+)?$`)

// inline finds values of variables that are to name files, or what the secrets store holds.
func inline(where, name, value string) []string {
	if secretName.MatchString(name) && !strings.HasPrefix(value, "/etc/almanac/") && !inStore.MatchString(value) {
		return []string{fmt.Sprintf("%s: %s holds a secret and not the name of its file below /etc/almanac, or a reference to the secrets store", where, name)}
	}
	return nil
}

func namespaced(all []object) (wrong []string) {
	for _, o := range all {
		if o.kind() == "Namespace" {
			for _, mode := range []string{"enforce", "audit", "warn"} {
				if at(o, "metadata", "labels", "pod-security.kubernetes.io/"+mode) != "restricted" {
					wrong = append(wrong, o.String()+" is not restricted")
				}
			}
			continue
		}
		if text(o, "metadata.namespace") != "almanac" || at(o, "metadata", "labels", "app.kubernetes.io/part-of") != "almanac" && o.kind() != "ConfigMap" {
			wrong = append(wrong, o.String()+" lies elsewhere, or is not labelled as Almanac's")
		}
	}
	if find(all, "Namespace", "almanac") == nil {
		wrong = append(wrong, "there is no namespace")
	}
	return wrong
}
