package meter

import (
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/almanac-data/almanac/functions/internal/backlog"
)

// backlogs shows what the last survey of each dataset found. A process that surveys nothing has none of these metrics.
type backlogs struct {
	mu sync.Mutex
	of map[string]backlog.Backlog
}

var (
	surveyDesc = prometheus.NewDesc("almanac_survey_timestamp_seconds",
		"Time of the last survey of the dataset, since 1970. What a survey found is old where this is.", []string{labelDataset}, nil)
	windowsDesc = prometheus.NewDesc("almanac_windows",
		"Windows whose time is over, by the phase they are in.", []string{labelDataset, "step", "name", "phase"}, nil)
	stoppedDesc = prometheus.NewDesc("almanac_windows_stopped",
		"Windows that wait for a person, by reason.", []string{labelDataset, "step", "name", "reason"}, nil)
	overdueDesc = prometheus.NewDesc("almanac_window_overdue_seconds",
		"Time since the window that waits longest could have been begun; 0 if none waits. Windows that are stopped or blocked do not count.",
		[]string{labelDataset, "step", "name"}, nil)
	stuckDesc = prometheus.NewDesc("almanac_windows_stuck",
		"Windows of which the same was announced three times or more, and nothing came of it.", []string{labelDataset, "step", "name"}, nil)
)

// Surveyed shows what a survey found, in place of what the one before it did.
func (m *Metrics) Surveyed(dataset string, found backlog.Backlog) {
	m.backlogs.mu.Lock()
	defer m.backlogs.mu.Unlock()
	m.backlogs.of[dataset] = found
}

// Withdrawn shows nothing more of a dataset.
func (m *Metrics) Withdrawn(dataset string) {
	m.backlogs.mu.Lock()
	defer m.backlogs.mu.Unlock()
	delete(m.backlogs.of, dataset)
}

// Describe implements prometheus.Collector.
func (b *backlogs) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{surveyDesc, windowsDesc, stoppedDesc, overdueDesc, stuckDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (b *backlogs) Collect(ch chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for dataset, found := range b.of {
		show := func(d *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{dataset}, labels...)...)
		}
		show(surveyDesc, float64(found.At.UnixMilli())/1000)
		for work, s := range found.Works {
			show(overdueDesc, s.Overdue.Seconds(), work.Step, work.Name)
			show(stuckDesc, float64(s.Stuck), work.Step, work.Name)
			for _, phase := range slices.Sorted(maps.Keys(s.Phases)) {
				show(windowsDesc, float64(s.Phases[phase]), work.Step, work.Name, phase)
			}
			for _, reason := range slices.Sorted(maps.Keys(s.Stopped)) {
				show(stoppedDesc, float64(s.Stopped[reason]), work.Step, work.Name, reason)
			}
		}
	}
}
