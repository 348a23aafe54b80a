package meter

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificates exports when the certificates of files in PEM form end, by the variable that names the file. Files are read with each scrape, so
// that one that was rotated counts; one that cannot be read is left out. An empty path is none.
func (m *Metrics) Certificates(files map[string]string) {
	for variable, file := range files {
		if file != "" {
			// The same file may be named twice by one process that opens two things.
			_ = m.reg.Register(&certificate{file: file, desc: prometheus.NewDesc("almanac_certificate_expiry_timestamp_seconds",
				"Time at which the first certificate of a file expires, since 1970.", nil, prometheus.Labels{"variable": variable})})
		}
	}
}

type certificate struct {
	file string
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *certificate) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *certificate) Collect(ch chan<- prometheus.Metric) {
	if end := firstEnd(c.file); !end.IsZero() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(end.Unix()))
	}
}

// firstEnd is when the first of the certificates in a file ends; zero if there is none.
func firstEnd(file string) (end time.Time) {
	text, err := os.ReadFile(file)
	if err != nil {
		return end
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && (end.IsZero() || c.NotAfter.Before(end)) {
			end = c.NotAfter
		}
	}
	return end
}

// A Ticket is of Kerberos, valid from its issue to its end.
type Ticket interface {
	Ticket() (principal string, issued, end time.Time)
}

type ticket struct{ of Ticket }

var (
	ticketEndDesc = prometheus.NewDesc("almanac_kerberos_ticket_expiry_timestamp_seconds",
		"Time at which the Kerberos ticket of a process ends, since 1970. It is renewed before.", []string{"principal"}, nil)
	ticketLifeDesc = prometheus.NewDesc("almanac_kerberos_ticket_lifetime_seconds",
		"Time from the issue of the Kerberos ticket of a process to its end.", []string{"principal"}, nil)
)

// Ticket exports when the ticket of a process ends. It is called once.
func (m *Metrics) Ticket(t Ticket) { m.reg.MustRegister(ticket{t}) }

// Describe implements prometheus.Collector.
func (t ticket) Describe(ch chan<- *prometheus.Desc) { ch <- ticketEndDesc; ch <- ticketLifeDesc }

// Collect implements prometheus.Collector.
func (t ticket) Collect(ch chan<- prometheus.Metric) {
	principal, issued, end := t.of.Ticket()
	if end.IsZero() {
		return
	}
	ch <- prometheus.MustNewConstMetric(ticketEndDesc, prometheus.GaugeValue, float64(end.Unix()), principal)
	ch <- prometheus.MustNewConstMetric(ticketLifeDesc, prometheus.GaugeValue, end.Sub(issued).Seconds(), principal)
}
