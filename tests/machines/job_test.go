package machines_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/tests/internal/flights"
	"github.com/almanac-data/almanac/tests/internal/reader"
	"github.com/almanac-data/almanac/tests/internal/served"
)

var (
	almanac  = flag.String("almanac", "", "the almanac `command`, which does the same job in one process; without it no job is done")
	seed     = flag.Uint64("seed", 0, "of the restarts and kills; 0 takes one from the clock")
	patience = flag.Duration("patience", 40*time.Minute, "how long the job may take")
)

// packed is a folder as tar.
func packed(t *testing.T, folder string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.AddFS(os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// api asks serve on a machine.
type api struct {
	site   *site
	host   string
	client *http.Client
	token  string
	since  time.Time // when the token was given
}

// api is that of the first machine of the functions.
func (s *site) api() *api {
	return &api{site: s, host: s.groups["functions"].Hosts[0], client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: s.dial, TLSClientConfig: s.trusting()}}}
}

// renewed gets the application's token from OpenBao; it is good for minutes. A server that is being restarted, and the only one, is waited for.
func (a *api) renewed(t *testing.T) string {
	t.Helper()
	var err error
	for began := time.Now(); time.Since(a.since) > 5*time.Minute; time.Sleep(time.Second) {
		for _, host := range a.site.groups["secrets"].Hosts {
			if a.token, err = a.site.oidc(t, host, "app-trainer"); err == nil {
				a.since = time.Now()
				return a.token
			}
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatal(err)
		}
	}
	return a.token
}

// oidc logs an application in to a server of OpenBao, and gets what serve takes.
func (s *site) oidc(t *testing.T, host, application string) (string, error) {
	t.Helper()
	token, err := s.tokenOn(t, host, application)
	if err != nil {
		return "", err
	}
	status, data, err := s.tryBao(t, host, http.MethodGet, "identity/oidc/token/almanac", token, nil)
	if err != nil {
		return "", err
	}
	bearer, ok := data["token"].(string)
	if status != http.StatusOK || !ok {
		return "", fmt.Errorf("OpenBao of %s gives %s no token: %d, %v", host, application, status, data)
	}
	return bearer, nil
}

// get asks for a path with a token, or without if it is empty. While serve is started anew nobody answers: then the status is 0.
func (a *api) get(t *testing.T, path, token string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+a.host+":8443"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, body
}

// asks is the API as the application has it.
func (a *api) asks(t *testing.T) served.Get {
	return func(path string) (int, []byte) { return a.get(t, path, a.renewed(t)) }
}

// versions are the releases of a dataset that serve lists.
func (a *api) versions(t *testing.T, dataset string) []string {
	t.Helper()
	all, err := served.Versions(a.asks(t), dataset)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// job is a trial that a site does.
type job struct {
	flights.Trial

	began time.Time
}

// begin has one process do two months of flights, and publishes them on a site.
func (s *site) begin(t *testing.T) job {
	t.Helper()
	r, err := flights.Try(t.Context(), *almanac, "../../spark-jobs/flights", t.TempDir(), fmt.Sprintf("trial%d", time.Now().Unix()), "2001-03-01", 2)
	if err != nil {
		t.Fatal(err)
	}
	s.publish(t, s.groups["functions"].Hosts[0], r.Datasets)
	return job{r, time.Now()}
}

// publish gives datasets to a site by the operator's command, again where a server of the site is being restarted.
func (s *site) publish(t *testing.T, host, folder string) {
	t.Helper()
	s.on(t, host, packed(t, folder), `d=$(mktemp -d) && trap 'rm -r "$d"' EXIT && tar -xC "$d" &&
		for try in 1 2 3 4 5 6 7 8 9; do almanac-operator datasets publish --datasets "$d" && exit; sleep 10; done; exit 1`)
}

// end waits until all releases are served by all machines of the functions, and holds them to those of one process. What it does meanwhile has an end.
func (j job) end(t *testing.T, s *site, meanwhile, calm func()) {
	t.Helper()
	began, a := time.Now(), s.api()
	await := func(meanwhile func()) {
		for _, a.host = range s.groups["functions"].Hosts {
			for ; len(a.versions(t, j.Name)) < len(j.Releases); time.Sleep(time.Second) {
				if time.Since(began) > *patience {
					t.Fatalf("after %s %s serves the releases %v of %s; almanac-operator status there says what is missing", *patience, a.host, a.versions(t, j.Name), j.Name)
				}
				meanwhile()
			}
		}
	}
	await(meanwhile)
	calm()
	await(func() {}) // by a machine that was without its functions just then, too
	t.Logf("%s: 59 days, their weeks and 2 releases in %s", j.Name, time.Since(j.began).Round(time.Second))
	s.everywhere(t, `for try in $(seq 60); do systemctl is-failed -q 'almanac-*' || exit 0; sleep 1; done; systemctl --failed; exit 1`)
	for _, a.host = range s.groups["functions"].Hosts {
		for version, release := range j.Releases {
			a.same(t, j.Name, strings.TrimPrefix(version, j.Name+"/"), release)
		}
	}
	s.said(t, j.Name)
}

// everywhere runs a command on each machine of the functions.
func (s *site) everywhere(t *testing.T, command string) {
	t.Helper()
	for _, host := range s.groups["functions"].Hosts {
		s.on(t, host, "", command)
	}
}

// TestJobOnMachines publishes two months of flights, restarts and kills units at random until their releases are there, and compares those, as serve
// hands them out, with what one process makes of the same files.
func TestJobOnMachines(t *testing.T) {
	s := furnished(t)
	if *almanac == "" {
		t.Skip("no -almanac is given: make check-machines does the job")
	}
	host := s.groups["functions"].Hosts[0]
	letters := s.end(t, "almanac.deadletter")
	j := s.begin(t)
	defer s.on(t, host, "", "almanac-operator datasets withdraw "+j.Name)
	disturb, calm := s.disturb(t)
	defer calm()
	j.end(t, s, disturb, calm)
	if more := s.end(t, "almanac.deadletter") - letters; more != 0 {
		t.Errorf("%d events became dead letters", more)
	}
}

// same holds a release that is served to that of one process: the content of the manifest byte for byte, and each file.
func (a *api) same(t *testing.T, dataset, version string, want reader.Release) {
	t.Helper()
	files, wrong := served.Differences(a.asks(t), dataset, version, want)
	for _, text := range wrong {
		t.Error(text)
	}
	t.Logf("%s: content and %d files are compared with those of one process", version, files)
}

// disturb gives what restarts or kills a unit each time that some seconds have passed. Where more than one machine has functions, each loses all of them once, for a minute;
// calm gives them back.
func (s *site) disturb(t *testing.T) (now, calm func()) {
	t.Helper()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	random, next, done := rand.New(rand.NewPCG(*seed, 0)), time.Now(), map[string]int{}
	t.Cleanup(func() { t.Logf("restarted and killed: %v", done) })
	units, hosts := map[string][]string{}, s.groups["functions"].Hosts
	for _, host := range hosts {
		units[host] = strings.Fields(s.on(t, host, "", `systemctl list-units --plain --no-legend --state=active 'almanac-source-*' `+
			strings.Join(functionUnits(), " ")+` | cut -d ' ' -f 1`))
		if len(units[host]) < 10 {
			t.Fatalf("only %v are at work on %s: run functions.yml", units[host], host)
		}
	}
	idle := slices.Clone(hosts) // that are still to be without functions
	if len(hosts) == 1 {
		idle = nil
	}
	var away string
	calm = func() {
		if away != "" {
			s.on(t, away, "", startWorkers+"; systemctl start almanac-serve")
			away = ""
		}
	}
	return func() {
		if time.Now().Before(next) {
			return
		}
		if calm(); len(idle) > 0 && random.IntN(5) == 0 {
			away, idle, next = idle[0], idle[1:], time.Now().Add(time.Minute)
			s.on(t, away, "", "systemctl kill --signal=KILL 'almanac-source-*' 'almanac-ticks*' "+workers+"; "+stopWorkers+"; systemctl stop almanac-serve")
			done["all of "+away]++
			return
		}
		next = time.Now().Add(time.Duration(5+random.IntN(10)) * time.Second)
		how, host := []string{"restart --no-block", "kill --signal=KILL"}[random.IntN(2)], hosts[random.IntN(len(hosts))]
		unit := units[host][random.IntN(len(units[host]))]
		s.on(t, host, "", "systemctl "+how+" "+unit)
		done[strings.Fields(how)[0]+" "+strings.TrimSuffix(unit, ".service")]++
	}, calm
}

func functionUnits() (all []string) {
	for _, f := range []string{"calendar", "collect", "process", "validate", "store", "aggregate", "deliver", "serve"} {
		all = append(all, "almanac-"+f+".service")
	}
	return all
}

// admin is Kafka as its administrator.
func (s *site) admin(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return s.client(t, "9092", s.trusting(), append(opts, password("admin", s.file(t, "secrets", "kafka", "admin")), kgo.RequestRetries(5))...)
}

// end is the number of records that a topic of one partition ever had.
func (s *site) end(t *testing.T, topic string) int64 {
	t.Helper()
	return s.ends(t, topic)[topic]
}

// ends are those of some topics. A broker that is being restarted is waited for, and so is a password that is being set.
func (s *site) ends(t *testing.T, topics ...string) map[string]int64 {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cl := s.admin(t)
		found, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
		cancel()
		cl.Close()
		ends := map[string]int64{}
		for _, topic := range topics {
			end, ok := found.Lookup(topic, 0)
			if ends[topic] = end.Offset; !ok || end.Err != nil {
				err = errors.Join(err, fmt.Errorf("end of %s = %v", topic, end))
			}
		}
		if err == nil {
			return ends
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatal(err)
		}
	}
}

// each gives all records of topics of one partition, up to their ends of now.
func (s *site) each(t *testing.T, topics []string, do func(*kgo.Record)) {
	t.Helper()
	left := s.ends(t, topics...)
	maps.DeleteFunc(left, func(_ string, end int64) bool { return end == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cl := s.admin(t, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	for len(left) > 0 {
		fetched := cl.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("read %s: %v", strings.Join(topics, ", "), err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			do(r)
			if r.Offset+1 >= left[r.Topic] {
				delete(left, r.Topic)
			}
		})
	}
}

// said reads the facts of a dataset: each kind comes from the function whose work it is, or from the calendar, which says again what nobody has answered, and what a store that was
// killed after its commit has not said.
func (s *site) said(t *testing.T, dataset string) {
	t.Helper()
	by := map[string]string{
		"collected": "collect", "processed": "process", "validated": "validate", "staged": "store", "stored": "store", "aggregated": "aggregate", "released": "deliver",
	}
	counts, topics := map[string]int{}, []string{}
	for fact := range by {
		topics = append(topics, "almanac.fact."+fact)
	}
	s.each(t, topics, func(r *kgo.Record) {
		headers, fact := map[string]string{}, strings.TrimPrefix(r.Topic, "almanac.fact.")
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		if headers["ce_dataset"] != dataset {
			return
		}
		counts[fact]++
		again := headers["ce_source"] == "/almanac/calendar" && slices.Contains([]string{"collected", "processed", "validated", "stored"}, fact)
		if want := "/almanac/" + by[fact]; headers["ce_source"] != want && !again && r.Value != nil {
			t.Errorf("%s at %d is said by %s, want %s", r.Topic, r.Offset, headers["ce_source"], want)
		}
	})
	for fact := range by {
		if counts[fact] == 0 {
			t.Errorf("no %s of %s was said", fact, dataset)
		}
	}
	t.Logf("facts: %v", slices.Sorted(maps.Keys(counts)))
}
