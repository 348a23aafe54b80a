// Package acl says what each function may do in Kafka, and no more: one table, and how it is made rules of the brokers.
package acl

import (
	"fmt"
	"slices"
	"strings"
)

// Rule lets one do operations on a topic or a group, or on all whose names begin so.
type Rule struct {
	Kind       string // topic or group
	Name       string
	Prefix     bool     // all that begin with Name
	Operations []string // as Kafka names them
}

// Role is what one principal may do.
type Role struct {
	Name  string
	About string
	Rules []Rule
}

// Operations.
const (
	read            = "Read"
	write           = "Write"
	create          = "Create"
	remove          = "Delete"
	describe        = "Describe"
	describeConfigs = "DescribeConfigs"
)

// Prefixes of all names.
const (
	topics = "almanac."
	groups = "almanac-"
)

func on(kind string, prefix bool, names []string, operations ...string) (rules []Rule) {
	for _, name := range names {
		rules = append(rules, Rule{kind, name, prefix, operations})
	}
	return rules
}

// facts are topics of facts by the names of the facts.
func facts(names ...string) (full []string) {
	for _, name := range names {
		full = append(full, topics+"fact."+name)
	}
	return full
}

// blocks are beginnings of the names of topics of blocks, one for each dataset.
func blocks(names ...string) (full []string) {
	for _, name := range names {
		full = append(full, topics+name+".")
	}
	return full
}

// function is the role of a function. Each reads all facts and dues, for that is how it knows what is done, and looks at the settings of
// topics before it starts.
func function(name, about string, source bool, more ...[]Rule) Role {
	rules := slices.Concat(
		on("topic", true, []string{topics}, describe, describeConfigs),
		on("topic", true, []string{topics + "fact.", topics + "due."}, read),
	)
	if source {
		rules = append(rules, Rule{"group", groups + name, false, []string{read}})
	}
	return Role{name, about, append(rules, slices.Concat(more...)...)}
}

func says(names ...string) []Rule          { return on("topic", false, facts(names...), write) }
func readsBlocks(names ...string) []Rule   { return on("topic", true, blocks(names...), read) }
func writesBlocks(names ...string) []Rule  { return on("topic", true, blocks(names...), write) }
func saysDues(names ...string) (rs []Rule) { return on("topic", false, dues(names...), write) }

func dues(names ...string) (full []string) {
	for _, name := range names {
		full = append(full, topics+"due."+name)
	}
	return full
}

// Roles is the table. Where a function takes back a fact whose blocks are gone, it writes to the topic of that fact.
func Roles() []Role {
	return []Role{
		function("calendar", "says what is due, facts again that nobody answered, and stored where only a table tells it; gives up what failed too often, as a dead letter", true,
			saysDues("collect", "aggregate", "deliver"), says("collected", "processed", "validated", "stored", "stopped"),
			on("topic", false, []string{topics + "deadletter"}, write)),
		function("collect", "writes raw blocks; asks to go on", true,
			writesBlocks("raw"), says("collected", "restated", "stopped"), saysDues("collect")),
		function("process", "reads raw blocks, writes rows and what cannot be parsed", true,
			readsBlocks("raw"), writesBlocks("processed", "quarantine"), says("processed", "stopped", "collected")),
		function("validate", "reads rows, and raw blocks of refused ones; writes clean rows and refused ones", true,
			readsBlocks("raw", "processed", "quarantine"), writesBlocks("clean", "quarantine"), says("validated", "processed", "collected")),
		function("store", "reads all blocks, writes none", true,
			readsBlocks("raw", "processed", "clean", "quarantine"), says("staged", "stored", "stopped", "validated", "processed", "collected")),
		function("aggregate", "works on tables", true, says("aggregated", "stopped")),
		function("deliver", "works on tables", true, says("released", "stopped")),
		function("serve", "only looks", false),
		{"source", "wakes functions, and keeps what they do not take as dead letters", slices.Concat(
			on("topic", true, []string{topics}, describe),
			on("topic", true, []string{topics + "fact.", topics + "due."}, read),
			on("topic", false, []string{topics + "deadletter"}, write),
			on("group", true, []string{groups}, read),
		)},
		{"deadletter", "takes dead letters", on("topic", false, []string{topics + "deadletter"}, write)},
		{"operator", "the operator's command: makes topics, looks, trims blocks, asks for work, sends dead letters again", slices.Concat(
			on("topic", true, []string{topics}, create, read, describe, describeConfigs),
			on("topic", true, blocks("raw", "processed", "clean", "quarantine"), remove),
			on("topic", true, []string{topics + "due."}, write),
			on("group", true, []string{groups}, read),
		)},
		{"almanac", "all functions in one process: almanac run", slices.Concat(
			on("topic", true, []string{topics}, create, read, write, describe, describeConfigs),
			on("topic", true, blocks("raw", "processed", "clean", "quarantine"), remove),
			on("group", true, []string{groups}, read),
		)},
	}
}

// Choose finds roles by name; all if none is named.
func Choose(names []string) ([]Role, error) {
	all := Roles()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Role
	for _, name := range names {
		i := slices.IndexFunc(all, func(r Role) bool { return r.Name == name })
		if i < 0 {
			known := make([]string, len(all))
			for n, r := range all {
				known[n] = r.Name
			}
			return nil, fmt.Errorf("there is no role %q; there are %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// Principal is how the brokers name the user of a role; the form has one %s for the name of the role.
func (r Role) Principal(form string) string {
	if r.Name == "almanac" && form == DefaultPrincipal {
		return "User:almanac"
	}
	return fmt.Sprintf(form, r.Name)
}

// DefaultPrincipal is the form of principals, unless another is asked for: User:almanac-process; that of almanac run is User:almanac.
const DefaultPrincipal = "User:almanac-%s"

// Commands are the commands of Kafka's own tool that make the rules of a role.
func (r Role) Commands(principal, brokers string) (lines []string) {
	for _, rule := range r.Rules {
		line := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal '%s' --operation %s --%s %s",
			brokers, principal, strings.Join(rule.Operations, " --operation "), rule.Kind, rule.Name)
		if rule.Prefix {
			line += " --resource-pattern-type prefixed"
		}
		lines = append(lines, line)
	}
	return lines
}
