package knative

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// slim leaves out what two cores have no room for, or the lab no use: autoscalers and disruption budgets of Knative's own
// deployments, the requests and limits of their containers, and the data plane of request-reply.
func slim(list []object) []object {
	var kept []object
	for _, o := range list {
		switch kind(o) {
		case "HorizontalPodAutoscaler", "PodDisruptionBudget":
			continue
		case "Deployment", "StatefulSet", "Job":
			if name(o) == "request-reply" {
				continue
			}
			for _, c := range containers(o) {
				delete(c, "resources")
				delete(c, "lifecycle") // Envoy's image has no shell to drain it by
			}
		}
		kept = append(kept, o)
	}
	return kept
}

func containers(o object) []object {
	var list []object
	all, _ := dig(o, "spec", "template", "spec", "containers").([]any)
	for _, c := range all {
		if m, ok := c.(object); ok {
			list = append(list, m)
		}
	}
	return list
}

// Domain is that of the services' names.
const Domain = "almanac.test"

// settings are what the lab sets in ConfigMaps of Knative: services that are idle are gone after half a minute at most, and pods may mount volumes.
var settings = map[string]object{
	"config-autoscaler": {"stable-window": "10s", "scale-to-zero-grace-period": "10s", "scale-to-zero-pod-retention-period": "0s"},
	"config-network":    {"ingress-class": "kourier.ingress.networking.knative.dev"},
	"config-domain":     {Domain: ""},
	"config-features": {
		"kubernetes.podspec-persistent-volume-claim": "enabled",
		"kubernetes.podspec-persistent-volume-write": "enabled",
		"kubernetes.podspec-securitycontext":         "enabled",
	},
}

// configure changes the ConfigMaps of serving, the service by which Kourier is reached, and Kourier's Envoy.
func configure(list []object, images map[string]string, port int) error {
	left := maps.Clone(settings)
	for _, o := range list {
		switch {
		case kind(o) == "ConfigMap" && left[name(o)] != nil:
			data, _ := o["data"].(object)
			if data == nil {
				data = object{}
				o["data"] = data
			}
			maps.Copy(data, left[name(o)])
			delete(left, name(o))
		case kind(o) == "Service" && name(o) == "kourier":
			spec, _ := o["spec"].(object)
			spec["type"] = "NodePort"
			ports, _ := spec["ports"].([]any)
			for _, p := range ports {
				if m, ok := p.(object); ok && m["name"] == "http2" {
					m["nodePort"] = port
				}
			}
		case kind(o) == "Deployment":
			for _, c := range containers(o) {
				if image, _ := c["image"].(string); strings.Contains(image, "envoyproxy/envoy") {
					c["image"] = images["envoy"]
				}
			}
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("the manifests hold no ConfigMap %s", strings.Join(slices.Sorted(maps.Keys(left)), ", "))
	}
	return nil
}

// absent makes the ConfigMaps that containers take variables from and no manifest holds: they name images of sources and
// sinks that the lab does not have.
func absent(list []object) []object {
	found := map[string][]string{}
	for _, o := range list {
		if kind(o) == "Deployment" { // definitions of types hold the word, too
			keys(o, found)
		}
	}
	for _, o := range list {
		if kind(o) == "ConfigMap" {
			delete(found, name(o))
		}
	}
	var made []object
	for _, name := range slices.Sorted(maps.Keys(found)) {
		data := object{}
		for _, key := range found[name] {
			data[key] = "not-in-the-lab"
		}
		made = append(made, object{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": name, "namespace": "knative-eventing"}, "data": data,
		})
	}
	return made
}
