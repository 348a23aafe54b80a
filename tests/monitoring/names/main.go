// Command names reads what a /metrics page shows, and prints the type, name and labels of each metric: what rules and dashboards may ask for.
//
//	curl -s http://127.0.0.1:9100/metrics | names > expositions/node.txt
package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "names:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(in)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		kind := strings.ToLower(f.GetType().String())
		names := []string{name}
		if t := f.GetType(); t == dto.MetricType_HISTOGRAM || t == dto.MetricType_SUMMARY {
			names = []string{name + "_count", name + "_sum"}
			if t == dto.MetricType_HISTOGRAM {
				names = append(names, name+"_bucket")
			}
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		for _, n := range names {
			all := slices.Collect(maps.Keys(labels))
			if strings.HasSuffix(n, "_bucket") {
				all = append(all, "le")
			}
			slices.Sort(all)
			fmt.Fprintf(w, "%s %s{%s}\n", kind, n, strings.Join(all, ","))
		}
	}
	return w.Flush()
}
