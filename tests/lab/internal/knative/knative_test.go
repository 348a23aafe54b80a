package knative

import (
	"strings"
	"testing"
)

const manifests = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller}
spec:
  template:
    spec:
      containers:
        - name: controller
          image: ko://knative.dev/serving/cmd/controller
          resources: {requests: {cpu: 100m}}
          env:
            - name: OTHER
              value: ko://knative.dev/eventing/cmd/auth_proxy
            - name: FROM
              valueFrom: {configMapKeyRef: {name: eventing-images, key: timer}}
---
# only a comment
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: activator}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: request-reply}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-network}
---
apiVersion: v1
kind: Namespace
metadata: {name: knative-serving}
`

func parsed(t *testing.T) []object {
	t.Helper()
	list, err := decode([]byte(manifests))
	if err != nil {
		t.Fatal(err)
	}
	return slim(list)
}

func names(list []object) string {
	var all []string
	for _, o := range list {
		all = append(all, kind(o)+"/"+name(o))
	}
	return strings.Join(all, " ")
}

func TestSlimLeavesOutWhatTwoCoresHaveNoRoomFor(t *testing.T) {
	list := sorted(parsed(t))
	if got, want := names(list), "Namespace/knative-serving ConfigMap/config-network Deployment/controller"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	if c := containers(list[2]); len(c) != 1 || c[0]["resources"] != nil {
		t.Errorf("the container is %v, want one without requests", c)
	}
}

func TestImagesAreNamedByDigestWhereTheLabHasThem(t *testing.T) {
	list := parsed(t)
	for i := range list {
		resolve(list[i], map[string]string{"serving-controller": "registry/serving-controller@sha256:1"})
	}
	b, err := encode(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"image: registry/serving-controller@sha256:1", "value: ko://knative.dev/eventing/cmd/auth_proxy"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the manifests lack %q:\n%s", want, b)
		}
	}
	for pkg, want := range map[string]string{
		"serving/cmd/queue": "serving-queue", "net-kourier/cmd/kourier": "net-kourier", "eventing/cmd/mtping": "eventing-mtping",
	} {
		if got := imageName(pkg); got != want {
			t.Errorf("imageName(%s) = %s, want %s", pkg, got, want)
		}
	}
}

func TestConfigMapsThatNobodyHoldsAreMade(t *testing.T) {
	made := absent(parsed(t))
	if len(made) != 1 || name(made[0]) != "eventing-images" || dig(made[0], "data", "timer") == nil {
		t.Errorf("absent = %v, want eventing-images with the key timer", made)
	}
	if again := absent(append(parsed(t), made...)); len(again) != 0 {
		t.Errorf("absent = %v where all are there, want none", again)
	}
}

func TestSettingsWithoutTheirConfigMapAreAnError(t *testing.T) {
	if err := configure(parsed(t), nil, 31080); err == nil || !strings.Contains(err.Error(), "config-autoscaler") || strings.Contains(err.Error(), "config-network") {
		t.Errorf("configure = %v, want the ConfigMaps that are missing", err)
	}
}
