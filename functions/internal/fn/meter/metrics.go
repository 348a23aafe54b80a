// Package meter holds the Prometheus metrics of Almanac and derives what it can from the facts that are said.
package meter

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/almanac-data/almanac/functions/internal/backlog"
)

// Metrics are Almanac's own metrics. Rows, bytes, lag, releases and stops are derived from the facts that are said (Observe);
// they count what this process said, so a fact said twice counts twice.
type Metrics struct {
	events   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	rows     *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	reg      prometheus.Registerer
	dead     *prometheus.CounterVec
	sent     *prometheus.CounterVec
	releases *prometheus.CounterVec
	stops    *prometheus.CounterVec
	lag      *lag
	backlogs *backlogs
	requests *prometheus.HistogramVec
}

const labelDataset = "dataset"

// New makes the metrics and registers them. Now tells the lag of windows.
func New(reg prometheus.Registerer, now func() time.Time) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		events: counter("almanac_events_total", "Events received, by what came of them.", "function", "type", "outcome"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "almanac_event_duration_seconds", Help: "Time from the receipt of an event to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}, []string{"function", "type"}),
		rows:     counter("almanac_rows_total", "Rows by step and outcome; read = stored + quarantined + duplicate + filtered.", labelDataset, "step", "outcome"),
		bytes:    counter("almanac_bytes_total", "Bytes written by step.", labelDataset, "step"),
		reg:      reg,
		dead:     counter("almanac_deadletters_total", "Events given up, by the function that they were for.", "function"),
		sent:     counter("almanac_source_events_total", "Events that a source was done with: delivered, dead or dropped.", "source", "topic", "outcome"),
		releases: counter("almanac_releases_total", "Releases published.", labelDataset, "name"),
		stops:    counter("almanac_stops_total", "Pieces of work that stopped and wait for a person, or for their source.", labelDataset, "step", "reason"),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "almanac_http_request_duration_seconds", Help: "Time from a request to the API to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"code", "method"}),
		lag:      &lag{now: now, newest: map[string]time.Time{}},
		backlogs: &backlogs{of: map[string]backlog.Backlog{}},
	}
	reg.MustRegister(m.events, m.duration, m.rows, m.bytes, m.dead, m.sent, m.releases, m.stops, m.requests, m.lag, m.backlogs)
	return m
}

// Requests measures the requests to an API. The writer that h gets can still send files by the kernel.
func (m *Metrics) Requests(h http.Handler) http.Handler {
	return promhttp.InstrumentHandlerDuration(m.requests, h)
}

// CommitRetries exports what counts the commits that began again because the head of the table had moved. It is called once.
func (m *Metrics) CommitRetries(count func() int64) {
	m.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "almanac_commit_retries_total", Help: "Commits begun again because the head of the table had moved.",
	}, func() float64 { return float64(count()) }))
}

// DeadLetter counts an event that was given up.
func (m *Metrics) DeadLetter(function string) { m.dead.WithLabelValues(function).Inc() }

// Functions begins to count the dead letters of each at 0: what increases is seen only where there was something before.
func (m *Metrics) Functions(names ...string) {
	for _, name := range names {
		m.dead.WithLabelValues(name)
	}
}

// Sent counts an event that a source was done with.
func (m *Metrics) Sent(source, topic, outcome string) {
	m.sent.WithLabelValues(source, topic, outcome).Inc()
}

// Event counts an event that a function received.
func (m *Metrics) Event(function, ceType, outcome string, took time.Duration) {
	m.events.WithLabelValues(function, ceType, outcome).Inc()
	m.duration.WithLabelValues(function, ceType).Observe(took.Seconds())
}

// lag is the age of the end of the newest stored window of each dataset, as of the moment of the scrape.
type lag struct {
	now    func() time.Time
	mu     sync.Mutex
	newest map[string]time.Time
}

var lagDesc = prometheus.NewDesc("almanac_window_lag_seconds", "Time since the end of the newest stored window.", []string{labelDataset}, nil)

func (l *lag) stored(dataset string, end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end.After(l.newest[dataset]) {
		l.newest[dataset] = end
	}
}

// Describe implements prometheus.Collector.
func (l *lag) Describe(ch chan<- *prometheus.Desc) { ch <- lagDesc }

// Collect implements prometheus.Collector.
func (l *lag) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for dataset, end := range l.newest {
		ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, l.now().Sub(end).Seconds(), dataset)
	}
}
