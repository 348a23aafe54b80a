// Package settings reads the file of a cluster: a nested YAML mapping whose leaves are the functions' environment variables.
//
// A key is the variable without ALMANAC_, in lower case, cut into levels wherever an underscore stands: kafka.ca, hdfs.krb5_conf and
// warehouse are ALMANAC_KAFKA_CA, ALMANAC_HDFS_KRB5_CONF and ALMANAC_WAREHOUSE. A list is joined by commas.
package settings

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/dataset/document"
)

const prefix = "ALMANAC_"

// sections are the words that begin a level of their own where keys are shown.
var sections = []string{"kafka", "hdfs", "spark", "serve", "vault"}

// names are keys of variables that bear the name of a section.
var names = map[string]string{"kafka.brokers": prefix + "KAFKA", "spark.server": prefix + "SPARK", "vault.server": prefix + "VAULT"}

// File is what a file sets. It is a lookuper (sethvargo/go-envconfig).
type File struct{ values map[string]string }

// Lookup gives the value of a variable.
func (f File) Lookup(variable string) (string, bool) {
	v, ok := f.values[variable]
	return v, ok
}

// Env lists what the file sets as NAME=value, sorted by name. What of a value is a secret that has no place there is hidden.
func (f File) Env() []string {
	env := make([]string, 0, len(f.values))
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		env = append(env, name+"="+hide(f.values[name]))
	}
	return env
}

// Hidden lists the variables whose values hold a secret in clear, which Env does not show.
func (f File) Hidden() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if hide(f.values[name]) != f.values[name] {
			names = append(names, name)
		}
	}
	return names
}

// inClear finds secrets in URLs: the password of a user, and parameters of such names, as sc://host:15002/;token=… has one.
var inClear = regexp.MustCompile(`(?i)(://[^/\s:@,]*:)[^/\s@]+(@)|([;?&](?:[a-z_-]*(?:token|password|passwd|secret|secret_id|api_?key))=)[^;&\s,]*`)

func hide(value string) string { return inClear.ReplaceAllString(value, "$1$3***$2") }

// Read reads a file that may set the known variables. Every mistake is told at once, with its line; a key that stands for none of them
// with those that are spelled most alike.
func Read(path string, known []string) (File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %w", err)
	}
	var wrong document.Mistakes
	r := reader{known: known, values: map[string]string{}, keys: map[string]string{}}
	if strings.TrimSpace(string(text)) == "" {
		wrong.Add(path, 1, "the file is empty", "write the keys that docs/cluster.md lists")
	} else if root, ok := document.Parse(&wrong, path, text); ok {
		r.mapping(root, "")
	}
	if err := wrong.Err(); err != nil {
		return File{}, fmt.Errorf("read configuration:\n%w", err)
	}
	return File{r.values}, nil
}

type reader struct {
	known  []string
	values map[string]string
	keys   map[string]string // variable: key that set it
}

func (r *reader) mapping(n document.Node, path string) {
	fields := n.Members()
	for _, name := range fields.Names() {
		member, key := fields.Get(name), strings.TrimPrefix(path+"."+name, ".")
		if member.Mapping() {
			r.mapping(member, key)
			continue
		}
		r.leaf(member, key)
	}
}

func (r *reader) leaf(n document.Node, key string) {
	variable := variableOf(key)
	if !slices.Contains(r.known, variable) {
		n.Fail("is not a key", "did you mean "+strings.Join(r.nearest(key), ", ")+"?")
		return
	}
	if before, twice := r.keys[variable]; twice {
		n.Fail("sets "+variable+", as "+before+" does", "remove one")
		return
	}
	r.keys[variable] = key
	switch {
	case n.Null():
	case n.Listed():
		r.values[variable] = strings.Join(n.Texts(), ",")
	default:
		r.values[variable] = n.Text()
	}
}

// variableOf is the variable that a key stands for.
func variableOf(key string) string {
	if v, ok := names[key]; ok {
		return v
	}
	return prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Key is the key that sets a variable, as it is best written.
func Key(variable string) string {
	for key, v := range names {
		if v == variable {
			return key
		}
	}
	key := strings.ToLower(strings.TrimPrefix(variable, prefix))
	for _, s := range sections {
		if rest, ok := strings.CutPrefix(key, s+"_"); ok {
			return s + "." + rest
		}
	}
	return key
}

// nearest lists the three known keys that are spelled most like one.
func (r *reader) nearest(key string) []string {
	all := make([]string, len(r.known))
	for i, v := range r.known {
		all[i] = Key(v)
	}
	slices.Sort(all)
	slices.SortStableFunc(all, func(a, b string) int { return distance(a, key) - distance(b, key) })
	return all[:min(3, len(all))]
}

// distance is how many letters must be put in, left out or changed to make one word of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
