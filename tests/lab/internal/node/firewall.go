package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
)

// prefixes are what the names of the chains and sets of kubelet, kube-proxy, kube-router and the CNI plugins begin with.
var prefixes = []string{"KUBE-", "CNI-"}

// Firewall is what Kubernetes adds to the rules of this machine, which may have some of another Kubernetes.
type Firewall struct {
	Note string // file that remembers the chains and sets that were there before
}

// Remember keeps what is there before Kubernetes starts, unless it is kept already. Where it runs, all is its own.
func (f Firewall) Remember(ctx context.Context, runs bool) error {
	if _, err := os.Stat(f.Note); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var there []string
	if !runs {
		for _, tool := range tables() {
			rules, err := save(ctx, tool)
			if err != nil {
				return err
			}
			for _, chain := range chains(rules) {
				there = append(there, tool+" "+chain)
			}
		}
		sets, err := sets(ctx)
		if err != nil {
			return err
		}
		for _, set := range sets {
			there = append(there, "ipset "+set)
		}
	}
	return keep(f.Note, []byte(strings.Join(append(there, ""), "\n")))
}

// keep writes a note whole or not at all.
func keep(note string, text []byte) error {
	part := note + ".part"
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	return os.Rename(part, note)
}

// Clear removes the chains and sets of Kubernetes that were not there before, and every rule that leads to one, for both versions of IP. Where
// nothing is remembered it removes nothing.
func (f Firewall) Clear(ctx context.Context) error {
	note, err := os.ReadFile(f.Note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	before := map[string]bool{}
	for line := range strings.Lines(string(note)) {
		before[strings.TrimSpace(line)] = true
	}
	var failed error
	for _, tool := range tables() {
		rules, err := save(ctx, tool)
		if err == nil {
			err = restore(ctx, tool, removal(rules, func(chain string) bool { return before[tool+" "+chain] }))
		}
		failed = errors.Join(failed, err)
	}
	all, err := sets(ctx)
	failed = errors.Join(failed, err)
	for _, set := range all {
		if !before["ipset "+set] {
			failed = errors.Join(failed, run(ctx, "ipset", "destroy", set))
		}
	}
	if failed != nil {
		return failed
	}
	return os.Remove(f.Note)
}

// tables are the programs for the rules of both versions of IP; who has no iptables has no rules of it.
func tables() (tools []string) {
	for _, tool := range []string{"iptables", "ip6tables"} {
		if artifact.Program(tool+"-save") != "" {
			tools = append(tools, tool)
		}
	}
	return tools
}

func save(ctx context.Context, tool string) (string, error) {
	rules, err := exec.CommandContext(ctx, artifact.Program(tool+"-save")).Output()
	if err != nil {
		return "", fmt.Errorf("%s-save: %w", tool, err)
	}
	return string(rules), nil
}

func restore(ctx context.Context, tool, script string) error {
	if script == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, artifact.Program(tool+"-restore"), "--noflush")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s-restore: %w\n%s", tool, err, bytes.TrimSpace(out))
	}
	return nil
}

// sets are those of addresses that the rules of NetworkPolicies name.
func sets(ctx context.Context) (ours []string, err error) {
	if artifact.Program("ipset") == "" {
		return nil, nil
	}
	names, err := exec.CommandContext(ctx, artifact.Program("ipset"), "list", "-n").Output()
	if err != nil {
		return nil, fmt.Errorf("ipset list: %w", err)
	}
	for name := range strings.FieldsSeq(string(names)) {
		if mine(name) || mine(strings.TrimPrefix(name, "inet6:")) {
			ours = append(ours, name)
		}
	}
	return ours, nil
}

// chains are those of Kubernetes in what iptables-save says, each behind its table: nat KUBE-SERVICES.
func chains(rules string) (ours []string) {
	table := ""
	for line := range strings.Lines(rules) {
		name, isTable := strings.CutPrefix(strings.TrimSpace(line), "*")
		chain, isChain := strings.CutPrefix(line, ":")
		switch {
		case isTable:
			table = name
		case isChain && mine(chain):
			ours = append(ours, table+" "+strings.Fields(chain)[0])
		}
	}
	return ours
}

// removal turns what iptables-save says into what iptables-restore --noflush removes our chains by, but for those that were there before, each named
// as chains does: rules of others that lead to them, then their own rules, then they themselves.
func removal(rules string, before func(chain string) bool) string {
	var script, leads, flushes, deletes strings.Builder
	table := ""
	ours := func(chain string) bool { return mine(chain) && !before(table[1:]+" "+chain) }
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line
		case strings.HasPrefix(line, ":") && ours(f[0][1:]):
			fmt.Fprintf(&flushes, "-F %s\n", f[0][1:])
			fmt.Fprintf(&deletes, "-X %s\n", f[0][1:])
		case len(f) > 2 && f[0] == "-A" && !ours(f[1]) && ours(target(f)):
			fmt.Fprintf(&leads, "-D %s\n", line[len("-A "):])
		case line == "COMMIT":
			if flushes.Len() > 0 {
				fmt.Fprintf(&script, "%s\n%s%s%sCOMMIT\n", table, leads.String(), flushes.String(), deletes.String())
			}
			leads.Reset()
			flushes.Reset()
			deletes.Reset()
		}
	}
	return script.String()
}

// target is the chain that a rule jumps or goes to.
func target(fields []string) string {
	for i := 2; i+1 < len(fields); i++ {
		if fields[i] == "-j" || fields[i] == "-g" {
			return fields[i+1]
		}
	}
	return ""
}

func mine(chain string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(chain, prefix) {
			return true
		}
	}
	return false
}
