package knative

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// object is one object of Kubernetes, as YAML gives it.
type object = map[string]any

func kind(o object) string { s, _ := o["kind"].(string); return s }

func name(o object) string { s, _ := dig(o, "metadata", "name").(string); return s }

// dig follows keys into an object; what is not there is nil.
func dig(value any, keys ...string) any {
	for _, key := range keys {
		m, ok := value.(object)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

// read reads the objects of all YAML files below the folders.
func read(dirs ...string) ([]object, error) {
	var list []object
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			more, err := decode(b)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			list = append(list, more...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func decode(b []byte) ([]object, error) {
	var list []object
	for d := yaml.NewDecoder(bytes.NewReader(b)); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		if len(o) > 0 {
			list = append(list, o)
		}
	}
}

func encode(list []object) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	for _, o := range list {
		if err := e.Encode(o); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), e.Close()
}

// order is that in which objects are applied: what others need comes first.
var order = []string{
	"Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding", "ConfigMap", "Secret",
	"PersistentVolume", "Service", "Deployment",
}

func rank(o object) int {
	if i := slices.Index(order, kind(o)); i >= 0 {
		return i
	}
	return len(order)
}

func sorted(list []object) []object {
	slices.SortStableFunc(list, func(a, b object) int { return rank(a) - rank(b) })
	return list
}

// source is how Knative's manifests name an image: by the package that ko would build.
var source = regexp.MustCompile(`^ko://knative\.dev/(.+)$`)

// imageName is the lab's name for the image of a package of Knative: net-kourier is one program, the others stand for their module's.
func imageName(pkg string) string {
	if name, ok := strings.CutSuffix(pkg, "/cmd/kourier"); ok {
		return name
	}
	return strings.ReplaceAll(strings.Replace(pkg, "/cmd/", "-", 1), "/", "-")
}

// resolve puts the reference of an image for each text that names one by its package. A package that the lab does not build
// stays as it is: no pod of it can start.
func resolve(value any, images map[string]string) any {
	switch v := value.(type) {
	case object:
		for key := range v {
			v[key] = resolve(v[key], images)
		}
	case []any:
		for i := range v {
			v[i] = resolve(v[i], images)
		}
	case string:
		if m := source.FindStringSubmatch(v); m != nil {
			if reference := images[imageName(m[1])]; reference != "" {
				return reference
			}
		}
	}
	return value
}

// keys collects the keys of ConfigMaps that containers take variables from, by the name of the ConfigMap.
func keys(value any, found map[string][]string) {
	switch v := value.(type) {
	case object:
		if ref, ok := v["configMapKeyRef"].(object); ok {
			name, _ := ref["name"].(string)
			key, _ := ref["key"].(string)
			found[name] = append(found[name], key)
		}
		for _, inner := range v {
			keys(inner, found)
		}
	case []any:
		for _, inner := range v {
			keys(inner, found)
		}
	}
}
