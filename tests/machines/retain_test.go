package machines_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dated are backups by their run, and whether they are kept by two days, two weeks and three months. Weeks begin on Monday; 26 November 2026 is a Thursday.
var dated = map[string]bool{
	"20260831T120000Z": false,
	"20260901T120000Z": false,
	"20260930T120000Z": true,  // the last of the third month
	"20261010T120000Z": false, // of a day, a week and a month that are too old or have a later one
	"20261031T120000Z": true,  // the last of the second month
	"20261115T120000Z": false, // the last of the third week
	"20261120T120000Z": false,
	"20261122T120000Z": true, // a Sunday, the last of the second week
	"20261123T120000Z": false,
	"20261125T120000Z": true, // the last of the second day
	"20261126T060000Z": false,
	"20261126T180000Z": true, // the newest
}

// partial are backups that ended before their manifest, one of them later than all others.
var partial = []string{"20261125T130000Z", "20261126T200000Z"}

// TestRetentionKeepsWhatItSays has the role let go of dated backups in a repository of the test's own, twice: by the days, weeks and months of dated, and by none.
func TestRetentionKeepsWhatItSays(t *testing.T) {
	s := furnished(t)
	host, kept := s.repository(t)
	const word = "of a test alone"
	repository, domain := kept+"-dated", host[strings.IndexByte(host, '.')+1:]
	state := s.otherState(t, func(state string) error {
		if err := os.RemoveAll(filepath.Join(state, "backup")); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(state, "secrets", "backup", "key"), []byte(word+"\n"), 0o600)
	})
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("repository:"+word)))
	restic := func(script string) string {
		t.Helper()
		return s.on(t, host, sum, "set -eu; RESTIC_PASSWORD=$(cat) RESTIC_REPOSITORY="+repository+" RESTIC_CACHE_DIR=/tmp/retain.cache; export RESTIC_PASSWORD RESTIC_REPOSITORY RESTIC_CACHE_DIR\n"+script)
	}
	remove := "rm -rf " + repository + " /tmp/retain.*"
	s.on(t, host, "", remove)
	defer s.on(t, host, "", remove)
	restic(`restic init >/dev/null; mkdir -p /tmp/retain.d; cd /tmp/retain.d
		keep() { # TAGS RUN HOST FILE: prints the number
			restic backup --json --quiet --host="$3" --tag="$1" --time="$(echo "$2" | sed -E 's/(....)(..)(..)T(..)(..)(..)Z/\1-\2-\3 \4:\5:\6/')" "$4" | sed -E 's/.*"snapshot_id":"([^"]*)".*/\1/'
		}
		for run in ` + strings.Join(slices.Sorted(maps.Keys(dated)), " ") + `; do
			echo "$run" >data; data=$(keep "almanac,data,$run" "$run" ` + domain + ` data)
			keep "almanac,complete,$run,$data" "$run" ` + domain + ` data >/dev/null
		done
		for run in ` + strings.Join(partial, " ") + `; do keep "almanac,data,$run" "$run" ` + domain + ` data >/dev/null; done
		for run in 20250101T120000Z 20250102T120000Z; do
			keep "almanac,complete,$run" "$run" other.test data >/dev/null; keep "mine,$run" "$run" ` + domain + ` data >/dev/null
		done`)

	others := []string{"mine 20250101T120000Z", "mine 20250102T120000Z", "other.test 20250101T120000Z", "other.test 20250102T120000Z"}
	tests := []struct {
		says string
		vars string
		want []string
	}{
		{"two days, two weeks and three months", "backup_keep_daily=2 backup_keep_weekly=2 backup_keep_monthly=3", stay(dated)},
		{"nothing", "backup_keep_daily=0 backup_keep_weekly=0 backup_keep_monthly=0", []string{"20261126T180000Z"}},
	}
	for _, tt := range tests {
		out, err := s.playbook(t, *inventory, "../tests/machines/retain.yml", "-e", "backup_repository="+repository, "-e", "almanac_state="+state, "-e", tt.vars)
		if err != nil {
			t.Fatalf("retain.yml = %v:\n%s", err, tail(out))
		}
		want := slices.Clone(others)
		for _, run := range tt.want {
			want = append(want, "complete "+run, "data "+run)
		}
		slices.Sort(want)
		if got := snapshots(t, restic("restic snapshots --json"), domain); !slices.Equal(got, want) {
			t.Errorf("kept by %s are\n%s\nwant\n%s", tt.says, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, run := range tt.want {
			if got := restic("restic dump --tag=almanac,data," + run + " latest /data"); got != run {
				t.Errorf("the data of %s are %q", run, got)
			}
		}
		restic("restic check --read-data >/dev/null")
	}
	if left := s.on(t, host, "", "ls -d /run/almanac-backup 2>/dev/null; true"); left != "" {
		t.Errorf("what opens the repository is left: %s", left)
	}
}

// stay are the runs that are kept.
func stay(all map[string]bool) (runs []string) {
	for run, kept := range all {
		if kept {
			runs = append(runs, run)
		}
	}
	return runs
}

// snapshots are those of a repository, as the kind and the run of each; of another site's, as its name and the run.
func snapshots(t *testing.T, list, domain string) (all []string) {
	t.Helper()
	var found []struct {
		Hostname string   `json:"hostname"`
		Tags     []string `json:"tags"`
	}
	if err := json.Unmarshal([]byte(list), &found); err != nil {
		t.Fatal(err)
	}
	for _, one := range found {
		kind, run := one.Hostname, ""
		for _, tag := range one.Tags {
			switch {
			case len(tag) == 16 && tag[8] == 'T':
				run = tag
			case one.Hostname == domain && (tag == "complete" || tag == "data" || tag == "mine"):
				kind = tag
			}
		}
		all = append(all, kind+" "+run)
	}
	slices.Sort(all)
	return all
}
