// Package knative puts Knative Serving, Eventing and Kourier into a cluster. The manifests are those of the modules that its programs are built of.
package knative

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
)

// Namespaces are those of what is put into the cluster.
var Namespaces = []string{"knative-serving", "kourier-system", "knative-eventing"}

// Knative is what is put into the cluster.
type Knative struct {
	Kubectl     Kubectl
	Modules     string            // folder of the Go modules
	Images      map[string]string // references by the programs' names
	Folder      string            // where the manifests are written, to be read by people
	IngressPort int               // of the node
}

// parts are applied one after the other: folders of manifests, by the module that holds them. Those of networking and
// caching are links in serving's own folder, which the module proxy does not carry.
var parts = []struct {
	name string
	from [][2]string
}{
	{"serving", [][2]string{{"serving", "config/core"}, {"networking", "config"}, {"caching", "config"}, {"net-kourier", "config"}}},
	{"eventing", [][2]string{{"eventing", "config/core"}}},
}

// Up applies everything, again if need be, and waits until all deployments are available.
func (k Knative) Up(ctx context.Context) error {
	if err := os.MkdirAll(k.Folder, 0o700); err != nil {
		return err
	}
	for _, part := range parts {
		list, err := k.objects(ctx, part.from)
		if err != nil {
			return err
		}
		if part.name == "serving" {
			if err := configure(list, k.Images, k.IngressPort); err != nil {
				return err
			}
		}
		if err := k.apply(ctx, part.name, list); err != nil {
			return fmt.Errorf("apply %s: %w", part.name, err)
		}
	}
	for _, namespace := range Namespaces {
		if _, err := k.Kubectl.Run(ctx, nil, "-n", namespace, "wait", "--for=condition=Available", "deployments", "--all", "--timeout=300s"); err != nil {
			return err
		}
	}
	return nil
}

func (k Knative) objects(ctx context.Context, from [][2]string) ([]object, error) {
	var dirs []string
	for _, at := range from {
		dir, err := artifact.Source(ctx, k.Modules, "knative", "knative.dev/"+at[0])
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, filepath.Join(dir, at[1]))
	}
	list, err := read(dirs...)
	if err != nil {
		return nil, err
	}
	list = slim(list)
	for i := range list {
		resolve(list[i], k.Images)
	}
	return append(list, absent(list)...), nil
}

// apply applies definitions first, and objects of the kinds that Serving itself defines last: its webhook looks at them, and must run by then.
func (k Knative) apply(ctx context.Context, part string, list []object) error {
	var definitions, rest, late []object
	for _, o := range sorted(list) {
		switch kind(o) {
		case "Namespace", "CustomResourceDefinition":
			definitions = append(definitions, o)
		case "Image", "Certificate":
			late = append(late, o)
		default:
			rest = append(rest, o)
		}
	}
	if err := k.write(ctx, part+"-definitions", definitions); err != nil {
		return err
	}
	// kubectl fails at once where a definition has no conditions yet, in the first moment after it was made.
	const conditionless = "conditions accessor error"
	if err := k.patiently(ctx, 70*time.Second, conditionless, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	if err := k.write(ctx, part, rest); err != nil {
		return err
	}
	if len(late) == 0 {
		return nil
	}
	if _, err := k.Kubectl.Run(ctx, nil, "-n", "knative-serving", "wait", "--for=condition=Available", "deployment/webhook", "--timeout=300s"); err != nil {
		return err
	}
	return k.write(ctx, part+"-late", late)
}

// write applies objects from a file that people can read. In a cluster that was started again, Knative's webhooks are asked
// about them before they are up: then it is tried again.
func (k Knative) write(ctx context.Context, file string, list []object) error {
	b, err := encode(list)
	if err != nil {
		return err
	}
	path := filepath.Join(k.Folder, file+".yaml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	return k.patiently(ctx, 3*time.Minute, "failed calling webhook", "apply", "--server-side", "--force-conflicts", "-f", path)
}

// patiently runs kubectl again as long as its error holds a text, which passes by itself.
func (k Knative) patiently(ctx context.Context, patience time.Duration, passing string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		_, err := k.Kubectl.Run(ctx, nil, args...)
		if err == nil || !strings.Contains(err.Error(), passing) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
