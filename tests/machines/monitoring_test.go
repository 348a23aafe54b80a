package machines_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// curl asks on the machine of Prometheus, which lets nobody else in, by a password that goes by standard input.
func (s *site) curl(t *testing.T, user, password, what string) string {
	t.Helper()
	return s.on(t, s.groups["monitoring"].Hosts[0], fmt.Sprintf("user = %q\n", user+":"+password),
		"curl --max-time 20 --cacert /etc/almanac/tls/prometheus/ca.pem --config - "+what)
}

// prometheus asks Prometheus.
func (s *site) prometheus(t *testing.T, path string, into any) {
	t.Helper()
	said := s.curl(t, "almanac", s.file(t, "secrets", "prometheus", "password"), "-sS 'https://"+s.groups["monitoring"].Hosts[0]+":9090/api/v1/"+path+"'")
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(said), &answer); err != nil {
		t.Fatalf("%s: %v: %s", path, err, tail(said))
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		t.Fatalf("%s: %v: %s", path, err, tail(said))
	}
}

// sample is the answer of a query.
type sample struct {
	Metric map[string]string
	Value  []any
}

func (s *site) query(t *testing.T, text string) (samples []sample) {
	t.Helper()
	var answer struct{ Result []sample }
	s.prometheus(t, "query?query="+url.QueryEscape(text), &answer)
	return answer.Result
}

// target is one of Prometheus'.
type target struct {
	Labels            map[string]string
	Health, LastError string
}

// TestPrometheusHasTheMetricsOfAll wants each service of each machine among its targets, and all of them up; functions only where they are yet.
func TestPrometheusHasTheMetricsOfAll(t *testing.T) {
	s := furnished(t)
	early := map[string]bool{} // machines that wait for functions.yml
	for _, host := range s.groups["functions"].Hosts {
		early[host] = strings.TrimSpace(s.on(t, host, "", "test -e /etc/almanac/functions && echo there || echo early")) == "early"
	}
	want := map[string][]string{ // jobs by the groups whose machines they ask
		"kafka": {"kafka_controllers", "kafka_brokers"}, "hdfs-namenode": {"namenodes"}, "hdfs-datanode": {"datanodes"}, "yarn-resourcemanager": {"resourcemanagers"},
		"yarn-nodemanager": {"nodemanagers"}, "secrets": {"secrets"}, "secrets-health": {"secrets"}, "node": {"almanac"}, "prometheus": {"monitoring"}, "alertmanager": {"monitoring"},
		"blackbox": {"monitoring"},
	}
	var found struct{ ActiveTargets []target }
	patience := time.Now().Add(2 * time.Minute) // what has just been restarted is asked again after half a minute
	for {
		s.prometheus(t, "targets?state=active", &found)
		found.ActiveTargets = slices.DeleteFunc(found.ActiveTargets, func(g target) bool {
			host, _, _ := strings.Cut(g.Labels["instance"], ":")
			return g.Labels["job"] == "almanac" && early[host]
		})
		if !slices.ContainsFunc(found.ActiveTargets, func(g target) bool { return g.Health != "up" }) || time.Now().After(patience) {
			break
		}
		time.Sleep(5 * time.Second)
	}
	there := map[string]bool{}
	for _, one := range found.ActiveTargets {
		host, _, _ := strings.Cut(one.Labels["instance"], ":")
		there[one.Labels["job"]+" "+host] = true
		if one.Health != "up" {
			t.Errorf("%s of %s is %s: %s", one.Labels["job"], one.Labels["instance"], one.Health, one.LastError)
		}
	}
	for job, groups := range want {
		for _, group := range groups {
			for _, host := range s.groups[group].Hosts {
				if !there[job+" "+host] {
					t.Errorf("nobody asks %s of %s", job, host)
				}
			}
		}
	}
	for _, probe := range s.query(t, "probe_success == 0") {
		if host, port, _ := strings.Cut(probe.Metric["instance"], ":"); early[host] && (port == "8443" || strings.HasPrefix(port, "94")) {
			continue
		}
		t.Errorf("the probe of %s (%s) fails", probe.Metric["instance"], probe.Metric["job"])
	}
	if ends := s.query(t, "probe_ssl_earliest_cert_expiry - time() > 86400 * 20"); len(ends) < 10 {
		t.Errorf("only %d listeners show how long their certificates last", len(ends))
	}
}

// TestTheWatchdogReachesAlertmanager follows the one alert that always fires, from the rules of Prometheus to Alertmanager. The others are told, as they may be true.
func TestTheWatchdogReachesAlertmanager(t *testing.T) {
	s := furnished(t)
	said := s.curl(t, "almanac", s.file(t, "secrets", "alertmanager", "password"), "-sS https://"+s.groups["monitoring"].Hosts[0]+":9193/api/v2/alerts")
	var alerts []struct {
		Labels map[string]string `json:"labels"`
	}
	if err := json.Unmarshal([]byte(said), &alerts); err != nil {
		t.Fatalf("%v: %s", err, tail(said))
	}
	watchdog := false
	for _, alert := range alerts {
		watchdog = watchdog || strings.Contains(alert.Labels["alertname"], "Watchdog")
		t.Logf("%s fires (%s)", alert.Labels["alertname"], alert.Labels["severity"])
	}
	if !watchdog {
		t.Error("the watchdog is not among the alerts")
	}
}

func TestMonitoringRefusesOthers(t *testing.T) {
	s := furnished(t)
	host := s.groups["monitoring"].Hosts[0]
	for address, want := range map[string]string{
		"https://" + host + ":9090/api/v1/targets":                        "401",
		"https://" + host + ":9193/api/v2/alerts":                         "401",
		"https://" + host + ":9115/metrics":                               "000", // wants a certificate
		"https://" + s.groups["almanac"].Hosts[0] + ":9100/metrics":       "000",
		"https://" + s.groups["kafka_brokers"].Hosts[0] + ":7071/metrics": "401",
		"https://" + s.groups["namenodes"].Hosts[0] + ":7072/metrics":     "401",
		"http://" + host + ":9090/api/v1/targets":                         "400",
	} {
		got := s.on(t, host, "", "curl -s -o /dev/null -w '%{http_code}' --max-time 20 --cacert /etc/almanac/tls/prometheus/ca.pem "+address+" || true")
		if got != want {
			t.Errorf("%s without password and certificate = %s, want %s", address, got, want)
		}
	}
}
