// Package machines_test holds the roles of ansible/ to their own descriptions, and asks the machines that they furnish.
package machines_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const roles = "../../ansible/roles"

// specs are the options of a role, by its entry points.
type specs struct {
	Entries map[string]struct {
		About   string                    `yaml:"short_description"`
		Options map[string]map[string]any `yaml:"options"`
	} `yaml:"argument_specs"`
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestDefaultsAreWhatTheRolesSay compares the defaults of each role with the specification of its arguments, both ways.
func TestDefaultsAreWhatTheRolesSay(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(roles, "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no roles in %s: %v", roles, err)
	}
	for _, dir := range dirs {
		role := filepath.Base(dir)
		t.Run(role, func(t *testing.T) {
			var spec specs
			read(t, filepath.Join(dir, "meta", "argument_specs.yml"), &spec)
			defaults := map[string]any{}
			if _, err := os.Stat(filepath.Join(dir, "defaults", "main.yml")); err == nil {
				read(t, filepath.Join(dir, "defaults", "main.yml"), &defaults)
			}
			options := map[string]map[string]any{}
			for name, entry := range spec.Entries {
				if entry.About == "" {
					t.Errorf("entry point %s has no short_description", name)
				}
				maps.Copy(options, entry.Options)
			}
			for _, fault := range compare(role, options, defaults) {
				t.Error(fault)
			}
		})
	}
}

// compare tells what is in one and not in the other. What is given in no file is required, or is left to the role by leaving it out.
func compare(role string, options map[string]map[string]any, defaults map[string]any) (faults []string) {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		option := options[name]
		value, given := defaults[name]
		told, tells := option["default"]
		switch {
		case !strings.HasPrefix(name, role+"_") && !strings.HasPrefix(name, "almanac_"):
			faults = append(faults, name+" is not named like its role")
		case option["type"] == nil || option["description"] == nil:
			faults = append(faults, name+" has no type or no description")
		case option["required"] == true && given:
			faults = append(faults, name+" is required and has a default")
		case option["required"] != true && !given && strings.HasPrefix(name, role+"_"):
			faults = append(faults, name+" is neither required nor in defaults/main.yml")
		case tells && !reflect.DeepEqual(told, value):
			faults = append(faults, name+" has another default in meta/argument_specs.yml than in defaults/main.yml")
		case given && !tells && plain(value):
			faults = append(faults, name+" does not tell its default in meta/argument_specs.yml")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		if options[name] == nil {
			faults = append(faults, name+" is in defaults/main.yml and not in meta/argument_specs.yml")
		}
	}
	return faults
}

// plain are values that can be told as they are: no expressions, and nothing that is longer than a line.
func plain(value any) bool {
	switch v := value.(type) {
	case string:
		return !strings.Contains(v, "{{")
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return true
}

// TestEachListenerIsProbed wants each listener whose certificate is compared when it was made anew to be one that Prometheus looks at.
func TestEachListenerIsProbed(t *testing.T) {
	var shown struct {
		Listeners map[string]map[string][]int `yaml:"certificate_listeners"`
	}
	var probed struct {
		Listeners map[string]any `yaml:"prometheus_listeners"`
	}
	read(t, filepath.Join(roles, "certificate", "defaults", "main.yml"), &shown)
	read(t, filepath.Join(roles, "prometheus", "defaults", "main.yml"), &probed)
	for group, names := range shown.Listeners {
		for name, ports := range names {
			for _, port := range ports {
				if !regexp.MustCompile(fmt.Sprintf(`\b%d\b`, port)).MatchString(fmt.Sprint(probed.Listeners[group])) {
					t.Errorf("port %d of %s (%s) is not among prometheus_listeners", port, group, name)
				}
			}
		}
	}
	if len(shown.Listeners) < 10 {
		t.Errorf("only %d groups have listeners", len(shown.Listeners))
	}
}

func TestWhatRolesDoNotSayIsFound(t *testing.T) {
	option := func(more map[string]any) map[string]map[string]any {
		o := map[string]any{"type": "str", "description": "x"}
		maps.Copy(o, more)
		return map[string]map[string]any{"r_a": o}
	}
	tests := map[string]struct {
		options  map[string]map[string]any
		defaults map[string]any
		faulty   bool
	}{
		"both tell the same":            {option(map[string]any{"default": "1"}), map[string]any{"r_a": "1"}, false},
		"they tell different things":    {option(map[string]any{"default": "2"}), map[string]any{"r_a": "1"}, true},
		"the default is not told":       {option(nil), map[string]any{"r_a": "1"}, true},
		"the default is an expression":  {option(nil), map[string]any{"r_a": "{{ b }}"}, false},
		"it is required":                {option(map[string]any{"required": true}), nil, false},
		"it is required and has one":    {option(map[string]any{"required": true}), map[string]any{"r_a": "1"}, true},
		"nothing gives a value":         {option(nil), nil, true},
		"only the defaults have it":     {nil, map[string]any{"r_a": "1"}, true},
		"it is named like another role": {map[string]map[string]any{"x_a": {"type": "str", "description": "x", "required": true}}, nil, true},
		"it has no type":                {map[string]map[string]any{"r_a": {"description": "x", "required": true}}, nil, true},
		"it is shared by all":           {map[string]map[string]any{"almanac_a": {"type": "str", "description": "x", "required": true}}, nil, false},
	}
	for name, tt := range tests {
		if got := compare("r", tt.options, tt.defaults); (len(got) > 0) != tt.faulty {
			t.Errorf("where %s: compare = %q, want faults: %v", name, got, tt.faulty)
		}
	}
}
