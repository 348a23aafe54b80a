// Command routes prints the configuration of Alertmanager that the defaults of the role alertmanager make, with receivers that tell nobody.
package main

import (
	"fmt"
	"os"

	"gopkg.in/yaml.v3"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "routes:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("name the file of the role's defaults")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var defaults struct {
		Settings map[string]any `yaml:"alertmanager_settings"`
	}
	if err := yaml.Unmarshal(text, &defaults); err != nil {
		return err
	}
	if len(defaults.Settings) == 0 {
		return fmt.Errorf("%s holds no alertmanager_settings", args[0])
	}
	defaults.Settings["receivers"] = []map[string]string{{"name": "operators"}, {"name": "critical"}, {"name": "watchdog"}}
	return yaml.NewEncoder(os.Stdout).Encode(defaults.Settings)
}
