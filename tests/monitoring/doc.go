// Package monitoring holds the rules, runbooks and dashboards of Prometheus and Grafana to what servers and functions really show.
package monitoring
