package machines_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var anew = flag.Bool("anew", false, "make all secrets of the site anew")

// watched are what answers to a password of monitoring, by the secret.
func (s *site) watched() map[string][]string {
	of := map[string][]string{
		"prometheus":   {"almanac", "https://" + s.groups["monitoring"].Hosts[0] + ":9090/-/ready"},
		"alertmanager": {"almanac", "https://" + s.groups["monitoring"].Hosts[0] + ":9193/-/ready"},
		"jmx_exporter": {"prometheus"},
	}
	for _, host := range s.groups["kafka_brokers"].Hosts {
		of["jmx_exporter"] = append(of["jmx_exporter"], "https://"+host+":7071/metrics")
	}
	for _, host := range s.groups["datanodes"].Hosts {
		of["jmx_exporter"] = append(of["jmx_exporter"], "https://"+host+":7073/metrics")
	}
	return of
}

// answers tells what each that wants a password of monitoring answers to those.
func (s *site) answers(t *testing.T, passwords map[string]string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for name, of := range s.watched() {
		for _, address := range of[1:] {
			got[address] = s.curl(t, of[0], passwords[name], "-s -o /dev/null -w '%{http_code}' "+address+" || true")
		}
	}
	return got
}

// logsIn tells by what status OpenBao answers to a secret id of a role, and by which token.
func (s *site) logsIn(t *testing.T, role, secret string) (status int, token string) {
	t.Helper()
	status, token, _, err := s.logIn(t, s.groups["secrets"].Hosts[0], role, secret)
	if err != nil {
		t.Fatal(err)
	}
	return status, token
}

var versions = regexp.MustCompile(`(?m)^ *(\d+) (\S+)@`)

// keys are the newest versions of the keys in the keytabs of all machines, by machine and keytab.
func (s *site) keys(t *testing.T) map[string]int {
	t.Helper()
	newest := map[string]int{}
	for _, host := range s.groups["almanac"].Hosts {
		for file := range strings.FieldsSeq(s.on(t, host, "", "ls /etc/almanac/keytabs/*.keytab")) {
			for _, match := range versions.FindAllStringSubmatch(s.on(t, host, "", "klist -k "+file), -1) {
				at := host + ":" + file
				newest[at] = max(newest[at], count(t, match[1]))
			}
		}
	}
	return newest
}

// logins are the roles of AppRole that the controller keeps logins of.
func (s *site) logins(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "openbao", "approle", "*", "secret_id"))
	if err != nil || len(files) <= len(functions) {
		t.Fatalf("logins on the controller: %v, %v", files, err)
	}
	for _, file := range files {
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	return names
}

// TestSecretsAreMadeAnew has secrets.yml make them anew. What was had before lets nobody in afterwards, and what the controller keeps does; all is well.
func TestSecretsAreMadeAnew(t *testing.T) {
	if !*anew {
		t.Skip("needs -anew: make anew-check")
	}
	s := furnished(t)
	renew := func(secrets string) { s.played(t, "secrets.yml", "-i", *inventory, "-e", "secrets_of="+secrets) }
	enters := s.cookie(t)
	if got := enters(); got != "200" {
		t.Fatalf("the NameNode's page answers %s to its cookie", got)
	}
	renew("cookies")
	if got := enters(); got != "401" {
		t.Errorf("the NameNode's page answers %s to a cookie of before", got)
	}
	spark, keys, passwords := s.file(t, "secrets", "spark_connect", "token"), s.keys(t), s.passwords(t)
	renew("spark,monitoring,keytabs")
	s.sparkTakes(t, spark)
	for address, got := range s.answers(t, passwords) {
		if got != "401" {
			t.Errorf("%s answers %s to its former password", address, got)
		}
	}
	for address, got := range s.answers(t, s.passwords(t)) {
		if got != "200" {
			t.Errorf("%s answers %s to its password", address, got)
		}
	}
	for file, version := range s.keys(t) {
		if strings.Contains(file, "/knative-") == (version == keys[file]+1) {
			t.Errorf("%s has version %d of its key, after %d", file, version, keys[file])
		}
	}
	s.upAgain(t)
	s.loginsEnd(t, renew)
	s.applicationsEnd(t, renew)
	s.upAgain(t)
}

// passwords are those of monitoring, by the secret.
func (s *site) passwords(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name := range s.watched() {
		all[name] = s.file(t, "secrets", name, "password")
	}
	return all
}

// sparkTakes wants Spark's Connect server to take the token that the controller keeps, and not a former one.
func (s *site) sparkTakes(t *testing.T, former string) {
	t.Helper()
	if got, err := s.sql(t, s.trusting(), former, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "gRPC status 16") {
		t.Errorf("Spark answers %v, %v to its former token", got, err)
	}
	if got, err := s.sql(t, s.trusting(), s.file(t, "secrets", "spark_connect", "token"), "SELECT 1"); err != nil || strings.Join(got, ",") != "1" {
		t.Errorf("Spark answers %v, %v to its token", got, err)
	}
}

// loginsEnd makes anew what functions and Ansible log in to OpenBao by: the former secrets and tokens end. Functions log in by the new ones when they ask next.
func (s *site) loginsEnd(t *testing.T, renew func(secrets string)) {
	t.Helper()
	ids, tokens := map[string]string{}, map[string]string{}
	for _, role := range s.logins(t) {
		ids[role] = s.file(t, "openbao", "approle", role, "secret_id")
		if _, tokens[role] = s.logsIn(t, role, ids[role]); tokens[role] == "" {
			t.Fatalf("%s cannot log in", role)
		}
	}
	renew("logins")
	for role, id := range ids {
		now, application := s.file(t, "openbao", "approle", role, "secret_id"), strings.HasPrefix(role, "app-")
		if status, _ := s.logsIn(t, role, now); status != http.StatusOK || application != (now == id) {
			t.Errorf("%s logs in by its secret: %d; it is new: %v", role, status, now != id)
		}
		if status, _ := s.logsIn(t, role, id); !application && status != http.StatusBadRequest {
			t.Errorf("%s logs in by its former secret: %d, want %d", role, status, http.StatusBadRequest)
		}
		if status, _ := s.bao(t, http.MethodGet, "auth/token/lookup-self", tokens[role], nil); status != http.StatusForbidden {
			t.Errorf("OpenBao answers %d to the former token of %s", status, role)
		}
	}
}

// cookie logs in to the NameNode's page, and gives what tells the answer to the cookie that it got.
func (s *site) cookie(t *testing.T) (answer func() string) {
	t.Helper()
	host := s.groups["namenodes"].Hosts[0]
	jar := strings.TrimSpace(s.on(t, host, "", "mktemp -t cookie.XXXXXX"))
	t.Cleanup(func() { s.on(t, host, "", "rm -f "+jar) })
	address := " --cacert /etc/almanac/tls/hadoop/ca.pem https://" + host + ":9871/jmx"
	s.on(t, host, "", "almanac-spnego /etc/almanac/keytabs/nn.keytab -o /dev/null --cookie-jar "+jar+address)
	return func() string {
		return s.on(t, host, "", "curl -s -o /dev/null -w '%{http_code}' --max-time 20 --cookie "+jar+address)
	}
}

// upAgain waits until Prometheus reaches all, as its targets are asked in turn, and wants status.yml to call all well.
func (s *site) upAgain(t *testing.T) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Second) {
		var down []string
		for _, one := range s.query(t, "up == 0") {
			down = append(down, fmt.Sprint(one.Metric))
		}
		if len(down) == 0 {
			break
		}
		if time.Since(began) > 2*time.Minute {
			t.Errorf("Prometheus does not reach %s", strings.Join(down, ", "))
			break
		}
	}
	s.played(t, "status.yml", "-i", *inventory)
}

// applicationsEnd makes anew what applications log in by. The former secrets go on until they are ended.
func (s *site) applicationsEnd(t *testing.T, renew func(secrets string)) {
	t.Helper()
	ids := map[string]string{}
	for _, role := range s.logins(t) {
		if strings.HasPrefix(role, "app-") {
			ids[role] = s.file(t, "openbao", "approle", role, "secret_id")
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "functions")); err == nil && len(ids) == 0 {
		t.Error("the functions have no application")
	}
	for _, step := range []struct {
		secrets string
		former  int
	}{{"applications", http.StatusOK}, {"applications_old", http.StatusBadRequest}} {
		renew(step.secrets)
		for role, id := range ids {
			if status, _ := s.logsIn(t, role, id); status != step.former {
				t.Errorf("after %s %s logs in by its former secret: %d, want %d", step.secrets, role, status, step.former)
			}
			now := s.file(t, "openbao", "approle", role, "secret_id")
			if status, _ := s.logsIn(t, role, now); status != http.StatusOK || now == id {
				t.Errorf("after %s %s logs in by its secret: %d; it is new: %v", step.secrets, role, status, now != id)
			}
		}
	}
}
