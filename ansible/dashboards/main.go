// Command dashboards writes the dashboards of Grafana as JSON files into a folder.
//
//	go run -C ansible/dashboards . ../../.cache/dashboards
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("name the folder to write to, and nothing else")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	for _, b := range boards {
		d, err := b.build()
		if err != nil {
			return fmt.Errorf("dashboard %s: %w", b.name, err)
		}
		text, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return fmt.Errorf("dashboard %s: %w", b.name, err)
		}
		if err := os.WriteFile(filepath.Join(args[0], b.name+".json"), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
