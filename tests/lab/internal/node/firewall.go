package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
)

// ours are the names that the chains and sets of kubelet, kube-proxy, kube-router and the CNI plugins begin with.
var ours = []string{"KUBE-", "CNI-"}

// ClearFirewall removes the chains of Kubernetes, and every rule that leads to one, for both versions of IP.
func ClearFirewall(ctx context.Context) error {
	var failed error
	for _, tool := range []string{"iptables", "ip6tables"} {
		if artifact.Program(tool+"-save") == "" {
			continue // who has no iptables has no rules of it
		}
		rules, err := exec.CommandContext(ctx, artifact.Program(tool+"-save")).Output()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s-save: %w", tool, err))
			continue
		}
		script := removal(string(rules))
		if script == "" {
			continue
		}
		cmd := exec.CommandContext(ctx, artifact.Program(tool+"-restore"), "--noflush")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s-restore: %w\n%s", tool, err, bytes.TrimSpace(out)))
		}
	}
	return errors.Join(failed, clearSets(ctx))
}

// clearSets removes the sets of addresses that the rules of NetworkPolicies named.
func clearSets(ctx context.Context) error {
	if artifact.Program("ipset") == "" {
		return nil
	}
	names, err := exec.CommandContext(ctx, artifact.Program("ipset"), "list", "-n").Output()
	if err != nil {
		return fmt.Errorf("ipset list: %w", err)
	}
	var failed error
	for name := range strings.FieldsSeq(string(names)) {
		if mine(name) || mine(strings.TrimPrefix(name, "inet6:")) {
			failed = errors.Join(failed, run(ctx, "ipset", "destroy", name))
		}
	}
	return failed
}

// removal turns what iptables-save says into what iptables-restore --noflush removes our chains by: rules of others that
// lead to them, then their own rules, then they themselves.
func removal(rules string) string {
	var script, leads, flushes, deletes strings.Builder
	table := ""
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line
		case strings.HasPrefix(line, ":") && mine(f[0][1:]):
			fmt.Fprintf(&flushes, "-F %s\n", f[0][1:])
			fmt.Fprintf(&deletes, "-X %s\n", f[0][1:])
		case len(f) > 2 && f[0] == "-A" && !mine(f[1]) && mine(target(f)):
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
	for _, prefix := range ours {
		if strings.HasPrefix(chain, prefix) {
			return true
		}
	}
	return false
}
