package monitoring

import (
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var dashboards = flag.String("dashboards", "", "folder of the dashboards that make dashboards has written")

// asked is an expression of a dashboard.
type asked struct{ where, expr string }

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Datasource struct{ UID string } `json:"datasource"`
	Targets    []struct {
		Expr       string               `json:"expr"`
		Legend     string               `json:"legendFormat"`
		Datasource struct{ UID string } `json:"datasource"`
	} `json:"targets"`
}

type board struct {
	UID    string  `json:"uid"`
	Title  string  `json:"title"`
	Panels []panel `json:"panels"`
}

func boards(t *testing.T) map[string]board {
	t.Helper()
	if *dashboards == "" {
		t.Fatal("name the folder of the dashboards: -args -dashboards .cache/dashboards; make dashboards writes it")
	}
	files, err := filepath.Glob(*dashboards + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no dashboards in %s: make dashboards writes them", *dashboards)
	}
	all := map[string]board{}
	for _, f := range files {
		var b board
		if err := json.Unmarshal([]byte(read(t, f)), &b); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[filepath.Base(f)] = b
	}
	return all
}

// queries are those of all panels, with Grafana's variables put in.
func queries(t *testing.T) []asked {
	t.Helper()
	var all []asked
	for file, b := range boards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				all = append(all, asked{fmt.Sprintf("%s: %s", file, p.Title), strings.ReplaceAll(q.Expr, "$__rate_interval", "5m")})
			}
		}
	}
	return all
}

func TestDashboards(t *testing.T) {
	shown := known(t)
	uids := map[string]string{}
	for file, b := range boards(t) {
		if other, ok := uids[b.UID]; ok || b.UID == "" || b.Title == "" {
			t.Errorf("%s has the id %q and the title %q, like %s", file, b.UID, b.Title, other)
		}
		uids[b.UID] = file
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range b.Panels {
			if p.ID == 0 || ids[p.ID] {
				t.Errorf("%s: %s has the id %d, which is 0 or another's", file, p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
				t.Errorf("%s: %s lies at %+v, beyond the grid", file, p.Title, p.GridPos)
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Fatalf("%s: %s lies upon %s", file, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s: %s asks nothing", file, p.Title)
			}
			for _, q := range p.Targets {
				if q.Datasource.UID != "prometheus" {
					t.Errorf("%s: %s asks the data source %q", file, p.Title, q.Datasource.UID)
				}
				has := shown.results(t, strings.ReplaceAll(q.Expr, "$__rate_interval", "5m"))
				for _, l := range legendLabels(q.Legend) {
					if !slices.Contains(has, l) {
						t.Errorf("%s: %s is named by the label %s, and its series have only %v", file, p.Title, l, has)
					}
				}
			}
		}
	}
}

// legendLabels are the labels that the name of a series is made of.
func legendLabels(legend string) []string {
	var all []string
	for rest := legend; ; {
		_, after, ok := strings.Cut(rest, "{{")
		if !ok {
			return all
		}
		name, end, _ := strings.Cut(after, "}}")
		all, rest = append(all, name), end
	}
}
