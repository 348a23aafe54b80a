package main

import (
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// source is the data source that the role grafana provisions.
var source = common.DataSourceRef{Type: new("prometheus"), Uid: new("prometheus")}

// board is one dashboard: rows of panels, from the top.
type board struct {
	name, title, about string
	rows               []row
}

type row struct {
	title  string
	panels []panel
}

// panel shows queries over time, or as one number each. Units are those of Grafana: s, bytes, percentunit, short, ops.
type panel struct {
	title, about, unit string
	queries            []query
	number             bool
	bad                float64 // from here on a number is red; 0: never
}

// query is an expression of Prometheus, and what its series are called.
type query struct{ expr, legend string }

const (
	columns = 24 // of the grid of Grafana
	tall    = 8
	short   = 4
)

func (b board) build() (dashboard.Dashboard, error) {
	d := dashboard.NewDashboardBuilder(b.title).Uid("almanac-"+b.name).Description(b.about).Tags([]string{"almanac"}).
		Timezone("utc").Time("now-24h", "now").Refresh("1m").Readonly().Tooltip(dashboard.DashboardCursorSyncCrosshair)
	var id uint32
	next := func() uint32 { id++; return id }
	for _, r := range b.rows {
		d.WithRow(dashboard.NewRowBuilder(r.title).Id(next()))
		for _, p := range r.panels {
			d.WithPanel(p.build(next(), uint32(columns/len(r.panels))))
		}
	}
	return d.Build()
}

func (p panel) build(id, width uint32) cog.Builder[dashboard.Panel] {
	if p.number {
		return p.stat(id, width)
	}
	t := timeseries.NewPanelBuilder().Id(id).Title(p.title).Description(p.about).Datasource(source).Unit(p.unit).Height(tall).Span(width).Min(0).FillOpacity(10).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true))
	for i, q := range p.queries {
		t.WithTarget(q.build(i))
	}
	return t
}

func (p panel) stat(id, width uint32) cog.Builder[dashboard.Panel] {
	steps := []dashboard.Threshold{{Color: "green"}}
	if p.bad > 0 {
		steps = append(steps, dashboard.Threshold{Color: "red", Value: new(p.bad)})
	}
	s := stat.NewPanelBuilder().Id(id).Title(p.title).Description(p.about).Datasource(source).Unit(p.unit).Height(short).Span(width).
		GraphMode(common.BigValueGraphModeArea).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps))
	for i, q := range p.queries {
		s.WithTarget(q.build(i))
	}
	return s
}

func (q query) build(i int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Datasource(source).Expr(q.expr).LegendFormat(q.legend).RefId("Q" + strconv.Itoa(i+1)).Range()
}
