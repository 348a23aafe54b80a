package meter

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/almanac-data/almanac/functions/internal/backlog"
	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
)

func TestWhatExpiresFirstIsShownAndReadAgain(t *testing.T) {
	dir, ca, now := t.TempDir(), certstest.NewAuthority(t, "one"), time.Now().Truncate(time.Second)
	early, _, _ := ca.Issue(dir, "early", now.Add(-time.Hour), now.Add(time.Hour))
	late, _, _ := ca.Issue(dir, "late", now.Add(-time.Hour), now.Add(9*time.Hour))
	chain := filepath.Join(dir, "chain.pem")
	reg := prometheus.NewRegistry()
	m := New(reg, time.Now)
	m.Certificates(map[string]string{"ALMANAC_KAFKA_CERT": chain, "ALMANAC_KAFKA_CA": ""})
	m.Certificates(map[string]string{"ALMANAC_KAFKA_CERT": chain}) // a process may open two things
	const name = "certificate_expiry_timestamp_seconds{ALMANAC_KAFKA_CERT}"
	if got := values(t, reg); len(got) != 0 {
		t.Errorf("of a file that is not there it shows %v", got)
	}
	put := func(files ...string) {
		t.Helper()
		var all []byte
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
		if err := os.WriteFile(chain, append(all, "and what is no PEM"...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(late, early)
	if got, want := values(t, reg)[name], float64(now.Add(time.Hour).Unix()); got != want {
		t.Errorf("expiry is %f, want %f", got, want)
	}
	put(late)
	if got, want := values(t, reg)[name], float64(now.Add(9*time.Hour).Unix()); got != want {
		t.Errorf("expiry after the rotation is %f, want %f", got, want)
	}
	put()
	if got := values(t, reg); len(got) != 0 {
		t.Errorf("of a file without certificates it shows %v", got)
	}
}

type fixed struct{ issued, end time.Time }

func (f *fixed) Ticket() (principal string, issued, end time.Time) {
	return "almanac@TEST", f.issued, f.end
}

func TestTicket(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := &fixed{}
	New(reg, time.Now).Ticket(f)
	if got := values(t, reg); len(got) != 0 {
		t.Errorf("without a ticket it shows %v", got)
	}
	f.issued, f.end = time.Unix(1000, 0), time.Unix(4600, 0)
	want := map[string]float64{"kerberos_ticket_expiry_timestamp_seconds{almanac@TEST}": 4600, "kerberos_ticket_lifetime_seconds{almanac@TEST}": 3600}
	if got := values(t, reg); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestASurveyReplacesTheOneBefore(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, time.Now)
	rows := backlog.Work{Step: "collect"}
	m.Surveyed("flights", backlog.Backlog{At: time.UnixMilli(1500), Works: map[backlog.Work]backlog.Standing{
		rows: {Phases: map[string]int{"stored": 3, "due": 1}, Stopped: map[string]int{"unbalanced": 2}, Overdue: time.Minute, Stuck: 1},
	}})
	want := map[string]float64{"survey_timestamp_seconds{flights}": 1.5, "windows{flights,,stored,collect}": 3, "windows{flights,,due,collect}": 1,
		"windows_stopped{flights,,unbalanced,collect}": 2, "window_overdue_seconds{flights,,collect}": 60, "windows_stuck{flights,,collect}": 1}
	if got := values(t, reg); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	m.Surveyed("flights", backlog.Backlog{At: time.Unix(2, 0), Works: map[backlog.Work]backlog.Standing{rows: {Phases: map[string]int{"stored": 4}}}})
	if got, want := values(t, reg), (map[string]float64{"survey_timestamp_seconds{flights}": 2, "windows{flights,,stored,collect}": 4}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	m.Withdrawn("flights")
	if got := values(t, reg); len(got) != 0 {
		t.Errorf("of a dataset that is withdrawn it shows %v", got)
	}
}

// authority is a file of a certificate.
func authority(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	certstest.NewAuthority(t, "one").WriteCA(file)
	return file
}
