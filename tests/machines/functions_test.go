package machines_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestSourcesAreThoseOfKnative compares what wakes each function on machines with the sources in knative/.
func TestSourcesAreThoseOfKnative(t *testing.T) {
	var vars struct {
		Known map[string]struct {
			Topics   []string `yaml:"topics"`
			InFlight string   `yaml:"in_flight"`
		} `yaml:"_functions_known"`
	}
	read(t, roles+"/functions/vars/main.yml", &vars)
	got, want := map[string]string{}, map[string]string{}
	for name, f := range vars.Known {
		if len(f.Topics) > 0 {
			got[name] = strings.Join(f.Topics, ",") + " " + f.InFlight
		}
	}
	text, err := os.ReadFile("../../knative/components/container-source/sources.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for docs := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var source struct {
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Env []struct {
								Name  string `yaml:"name"`
								Value string `yaml:"value"`
							} `yaml:"env"`
						} `yaml:"containers"`
					} `yaml:"spec"`
				} `yaml:"template"`
			} `yaml:"spec"`
		}
		if err := docs.Decode(&source); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		env := map[string]string{}
		for _, e := range source.Spec.Template.Spec.Containers[0].Env {
			env[e.Name] = e.Value
		}
		want[env["ALMANAC_SOURCE_NAME"]] = env["ALMANAC_SOURCE_TOPICS"] + " " + env["ALMANAC_SOURCE_IN_FLIGHT"]
	}
	if len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("functions are woken by\n%v, want\n%v", got, want)
	}
}

// withFunctions is the site, if functions.yml has furnished a machine of it; and that machine.
func withFunctions(t *testing.T) (*site, string) {
	t.Helper()
	s := furnished(t)
	if len(s.groups["functions"].Hosts) == 0 {
		t.Skip("the inventory has no machine in the group functions")
	}
	host := s.groups["functions"].Hosts[0]
	if s.on(t, host, "", "test -e /etc/almanac/functions || echo absent") != "" {
		t.Skip("functions.yml has not furnished " + host)
	}
	return s, host
}

func TestServeLetsInWhoHasAToken(t *testing.T) {
	s, host := withFunctions(t)
	a := s.api()
	token := a.renewed(t)
	const refusals = `grep -c '"event":"refusal"' /var/log/almanac/serve/audit.log || true`
	before := count(t, s.on(t, host, "", refusals))
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts, want 3", len(parts))
	}
	for name, tt := range map[string]struct {
		token string
		want  int
	}{
		"with its token":                  {token, http.StatusOK},
		"without a token":                 {"", http.StatusUnauthorized},
		"with a token that was altered":   {parts[0] + ".e30." + parts[2], http.StatusUnauthorized},
		"with a token for OpenBao itself": {s.token(t, "app-trainer"), http.StatusUnauthorized},
	} {
		if got, body := a.get(t, "/v1/datasets", tt.token); got != tt.want {
			t.Errorf("%s = %d, want %d: %s", name, got, tt.want, body)
		}
	}
	a.client = &http.Client{Transport: &http.Transport{DialContext: s.dial, TLSClientConfig: before13(s.trusting())}}
	if got, body := a.get(t, "/v1/datasets", token); got != 0 || !strings.Contains(string(body), "protocol version") {
		t.Errorf("by TLS 1.2 = %d: %s", got, body)
	}
	if more := count(t, s.on(t, host, "", refusals)) - before; more < 3 {
		t.Errorf("the audit trail has %d refusals more, want 3", more)
	}
}

// TestFunctionsShowTheirMetricsAlone asks, on the machine of Prometheus and from afar, for what listens beside the functions.
func TestFunctionsShowTheirMetricsAlone(t *testing.T) {
	s, host := withFunctions(t)
	for _, at := range s.groups["functions"].Hosts {
		if out := s.on(t, s.groups["monitoring"].Hosts[0], "", `
			tls="--silent --output /dev/null --write-out %{http_code} --max-time 10 --cacert /etc/almanac/tls/prometheus/ca.pem"
			mine="$tls --cert /etc/almanac/tls/prometheus/cert.pem --key /etc/almanac/tls/prometheus/key.pem"
			at=https://`+at+`
			for port in 9481 9482 9483 9484 9485 9486 9487 9491 9492 9493 9494 9495 9496 9497 8443; do
				[ "$(curl $mine $at:$port/metrics)" = 200 ] || echo "metrics at $port are not shown to Prometheus"
			done
			[ "$(curl $mine $at:9485/)" = 403 ] || echo "more than metrics is reached"
			[ "$(curl $mine --request POST --header 'Ce-Id: 1' $at:9485/metrics)" = 403 ] || echo "events are taken from afar"
			[ "$(curl $tls $at:9485/metrics)" = 000 ] || echo "metrics are shown without a certificate"
			[ "$(curl $tls --cert /etc/almanac/tls/kafka/cert.pem --key /etc/almanac/tls/kafka/key.pem $at:9485/metrics)" = 403 ] || echo "metrics are shown to Kafka"
			true`); out != "" {
			t.Errorf("%s: %s", at, out)
		}
		if out := s.on(t, at, "", `ss -Hltn | awk '{print $4}' | grep -E ':(94[89][0-9])$' | grep -vE '^(127.0.0.1|'"$(getent hosts `+at+` | cut -d ' ' -f 1)"'):' || true`); out != "" {
			t.Errorf("%s listens where it need not: %s", at, out)
		}
	}
	if conn, err := s.dial(t.Context(), "tcp", host+":9485"); err == nil {
		_ = conn.Close()
		t.Error("a stranger reaches the port of metrics")
	}
}

// TestFunctionsReadOfTheWarehouseWhatTheyNeed has functions ask HDFS for what is not theirs.
func TestFunctionsReadOfTheWarehouseWhatTheyNeed(t *testing.T) {
	s, host := withFunctions(t)
	web := "https://" + s.groups["namenodes"].Hosts[0] + ":9871/webhdfs/v1/almanac"
	ask := func(function, method, path string) string {
		return s.on(t, host, "", "almanac-spnego /etc/almanac/keytabs/almanac-"+function+".keytab --cacert /etc/almanac/functions/ca.pem "+
			"--output /dev/null --write-out '%{http_code}' --request "+method+" '"+web+path+"' || true")
	}
	for _, tt := range []struct{ function, method, path, want string }{
		{"process", "GET", "/datasets?op=LISTSTATUS", "200"},
		{"process", "GET", "/releases?op=LISTSTATUS", "403"},
		{"process", "PUT", "/datasets/x?op=MKDIRS", "403"},
		{"validate", "GET", "/datasets?op=LISTSTATUS", "200"},
		{"validate", "GET", "/releases?op=LISTSTATUS", "403"},
		{"serve", "GET", "/releases?op=LISTSTATUS", "200"},
		{"serve", "PUT", "/releases/x?op=MKDIRS", "403"},
		{"serve", "DELETE", "/releases/none?op=DELETE", "403"}, // HDFS looks at rights first: nothing is lost if it lets in
		{"deliver", "PUT", "/releases/x?op=MKDIRS", "403"},
		{"store", "GET", "/releases?op=LISTSTATUS", "403"},
		{"calendar", "GET", "/releases?op=LISTSTATUS", "200"},
		{"deliver", "DELETE", "/../user/spark/none?op=DELETE", "403"},
	} {
		if got := ask(tt.function, tt.method, tt.path); got != tt.want {
			t.Errorf("%s %s %s = %s, want %s", tt.function, tt.method, tt.path, got, tt.want)
		}
	}
}

// TestFunctionsCannotReadEachOther looks at files as each unit's user.
func TestFunctionsCannotReadEachOther(t *testing.T) {
	s, host := withFunctions(t)
	names := slices.DeleteFunc(slices.Clone(functions), func(f string) bool { return f == "deadletter" })
	out := s.on(t, host, "", `for me in `+strings.Join(names, " ")+`; do
		for file in /etc/almanac/functions/*/secret-id /etc/almanac/keytabs/*.keytab /etc/almanac/functions/*.env /var/lib/almanac/functions/serve/tls.pem /etc/almanac/functions/almanac/*; do
			case $file in /etc/almanac/functions/$me/secret-id|*/almanac-$me.keytab|/var/lib/almanac/functions/$me/*) continue ;; esac
			! runuser -u almanac-$me -- test -r $file || echo "$me reads $file"
		done
		runuser -u almanac-$me -- test -r /etc/almanac/functions/$me/secret-id || echo "$me does not read its own secret id"
	done`)
	if out != "" {
		t.Error(out)
	}
}

// TestFunctionsAreSandboxed asks systemd how exposed each unit is.
func TestFunctionsAreSandboxed(t *testing.T) {
	s, host := withFunctions(t)
	out := s.on(t, host, "", `for unit in $(systemctl list-unit-files --plain --no-legend 'almanac-source-*' almanac-ticks.service almanac-functions-metrics.service almanac-serve-certificate.service `+
		strings.Join(functionUnits(), " ")+` | cut -d ' ' -f 1); do
		systemd-analyze security --no-pager --threshold=25 $unit >/dev/null && echo "$unit" || echo "$unit is exposed"
	done`)
	if strings.Contains(out, "exposed") || len(strings.Fields(out)) < 11 {
		t.Errorf("units, of which none should be exposed by more than 2.5:\n%s", out)
	}
}

// TestServeTakesARenewedCertificate has the timer's unit make a new one.
func TestServeTakesARenewedCertificate(t *testing.T) {
	s, host := withFunctions(t)
	shown := func() *x509.Certificate {
		conn, err := s.dial(t.Context(), "tcp", host+":8443")
		if err != nil {
			t.Fatal(err)
		}
		conf := s.trusting()
		conf.ServerName = host
		tc := tls.Client(conn, conf)
		defer func() { _ = tc.Close() }()
		if err := tc.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return tc.ConnectionState().PeerCertificates[0]
	}
	before, pid := shown(), s.on(t, host, "", "systemctl show --property=MainPID --value almanac-serve")
	defer s.on(t, host, "", "test -e /var/lib/almanac/functions/serve/tls.pem || systemctl start almanac-serve-certificate")
	s.on(t, host, "", "rm /var/lib/almanac/functions/serve/tls.pem")
	if lost := shown(); !lost.Equal(before) {
		t.Error("without its file serve shows another certificate")
	}
	s.on(t, host, "", "systemctl start almanac-serve-certificate")
	after := shown()
	if after.Equal(before) || !after.NotAfter.After(before.NotAfter) {
		t.Errorf("after the renewal serve shows a certificate until %s, and before one until %s", after.NotAfter, before.NotAfter)
	}
	if now := s.on(t, host, "", "systemctl show --property=MainPID --value almanac-serve"); now != pid {
		t.Error("serve was started anew for it")
	}
}
