package machines_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// watch looks at the OpenBao of a drill once it runs: who it is, how exposed, whether it answers in clear and whether it sees the data of the site's own.
const watch = `for _ in $(seq 900); do
	pid=$(systemctl show --property=MainPID --value almanac-drill-openbao)
	if [ "$pid" != 0 ] && ss -Hltn sport = 8290 | grep -q .; then
		ps -o user= -p $pid
		systemd-analyze security --no-pager almanac-drill-openbao.service | tail -n 1
		curl -s --max-time 5 http://127.0.0.1:8290/v1/sys/health; echo
		curl -s --max-time 5 https://127.0.0.1:8290/v1/sys/health >/dev/null; echo "curl $?"
		nsenter --target $pid --mount ls /var/lib/openbao 2>&1
		exit
	fi
	sleep 0.5
done; echo "it never ran"`

// drilled drills a backup that was taken between two times. What it says of RTO and RPO is held to the clock, and to what Prometheus is told.
func (s *site) drilled(t *testing.T, host, run string, from, to time.Time) {
	t.Helper()
	type answer struct {
		out string
		err error
	}
	answers, began := make(chan answer, 1), time.Now()
	go func() {
		out, err := s.playbook(t, *inventory, "drill.yml")
		answers <- answer{out, err}
	}()
	s.sandboxed(t, s.on(t, s.groups["secrets"].Hosts[0], "", watch))
	a := <-answers
	took := time.Since(began)
	if a.err != nil || !strings.Contains(a.out, "Backup "+run+" can be restored") {
		t.Fatalf("drill.yml = %v:\n%s", a.err, tail(a.out))
	}
	said := regexp.MustCompile(`Backup \S+ can be restored.*? RTO: .*? after (\d+) s; .*? RPO: it is (\d+) s old\.`).FindStringSubmatch(a.out)
	if said == nil {
		t.Fatalf("drill.yml tells no RTO and RPO:\n%s", tail(a.out))
	}
	t.Logf("drill.yml took %s: %s", took.Round(time.Second), said[0])
	told := numbers(s.on(t, host, "", "cat /var/lib/prometheus/node-exporter/drill.prom"))
	within := func(what string, got, least, most float64) {
		t.Helper()
		if !(got >= least && got <= most) {
			t.Errorf("%s is %.1f, want it from %.1f to %.1f", what, got, least, most)
		}
	}
	recovery, loss := number(said[1]), number(said[2])
	within("RTO", recovery, 1, took.Seconds())
	within("RPO", loss, math.Floor(began.Sub(to).Seconds()), math.Ceil(time.Since(from).Seconds()-recovery)+1)
	within("almanac_drill_recovery_seconds", told["almanac_drill_recovery_seconds"], recovery-0.51, recovery+0.51)
	within("almanac_drill_loss_seconds", told["almanac_drill_loss_seconds"], loss-0.51, loss+0.51)
	within("almanac_drill_success", told["almanac_drill_success"], 1, 1)
	within("almanac_drill_completed_timestamp_seconds", told["almanac_drill_completed_timestamp_seconds"], float64(began.Unix()), float64(time.Now().Unix()+1))
	for _, machine := range s.groups["almanac"].Hosts {
		left := s.on(t, machine, "", "ls -d /var/lib/almanac-drill /run/systemd/system/almanac-drill* 2>/dev/null; ss -Hltn sport = 8290; pgrep -f [a]lmanac-drill/config; true")
		if left != "" {
			t.Errorf("the drill leaves on %s: %s", machine, left)
		}
	}
}

// sandboxed holds what was seen of the OpenBao of a drill.
func (s *site) sandboxed(t *testing.T, seen string) {
	t.Helper()
	level := exposure(seen)
	if !(level <= 2.5) || !strings.HasPrefix(seen, "openbao\n") {
		t.Errorf("the OpenBao of a drill is not the user openbao's, or exposed by more than 2.5:\n%s", seen)
	}
	if !strings.Contains(seen, "HTTP request to an HTTPS server") || !strings.Contains(seen, "curl 60") {
		t.Errorf("the OpenBao of a drill answers in clear, or shows a certificate that others trust:\n%s", seen)
	}
	if strings.Contains(seen, "vault.db") {
		t.Errorf("the OpenBao of a drill sees the data of the site's own:\n%s", seen)
	}
	t.Logf("the OpenBao of the drill was exposed by %.1f", level)
}

// number is what a text says, or nothing that is within anything.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// numbers are the values of metrics without labels.
func numbers(text string) map[string]float64 {
	found := map[string]float64{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			found[name] = number(value)
		}
	}
	return found
}
