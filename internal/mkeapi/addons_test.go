package mkeapi

import (
	"net/http"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mkev1 "magalu.cloud/mke/api/v1"
)

func TestAddons(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(`{"name":"c"}`)
	path := "/v1alpha0/clusters/" + id + "/addons"
	byName := map[string]map[string]any{}
	for _, a := range h.do(http.MethodGet, path, nil).want(http.StatusOK).results() {
		byName[a["name"].(string)] = a
	}
	if a := byName["metrics-server"]; a["enabled"] != true || a["values"].(map[string]any)["resolutionSeconds"] != 15.0 || a["version"] != "v0.9.0" {
		t.Errorf("metrics-server: %v", a)
	}
	if a := byName["kube-proxy"]; a["essential"] != true || a["version"] != "v1.34.4" {
		t.Errorf("kube-proxy: %v", a)
	}

	// A choice is shown at once, and as done only when the operator has done it.
	set := h.do(http.MethodPatch, path+"/metrics-server", `{"values":{"resolutionSeconds":30}}`).want(http.StatusOK).object()
	if set["values"].(map[string]any)["resolutionSeconds"] != 30.0 {
		t.Errorf("answer %v", set)
	}
	seen := mkev1.MGCAddon{ObjectMeta: metav1.ObjectMeta{Name: "metrics-server", Generation: 1},
		Status: mkev1.MGCAddonStatus{Phase: mkev1.AddonPhaseReady, Message: "ready", ObservedGeneration: 1, Pods: 1, ReadyPods: 1, Version: "v0.9.0"}}
	h.clusters.addons = []mkev1.MGCAddon{seen}
	state := func() string {
		return h.do(http.MethodGet, path+"/metrics-server", nil).want(http.StatusOK).object()["status"].(map[string]any)["state"].(string)
	}
	if state() != "Applying" {
		t.Errorf("state %s though the change has not arrived", state())
	}
	h.clusters.addons[0].Spec.Values = jsonValues("resolutionSeconds", "30")
	if state() != "Ready" {
		t.Errorf("state %s", state())
	}
	back := h.do(http.MethodPatch, path+"/metrics-server", `{"enabled":false,"values":{"resolutionSeconds":null}}`).want(http.StatusOK).object()
	if back["enabled"] != false || back["values"].(map[string]any)["resolutionSeconds"] != 15.0 {
		t.Errorf("answer %v", back)
	}
}

func jsonValues(name, value string) map[string]apiextensionsv1.JSON {
	return map[string]apiextensionsv1.JSON{name: {Raw: []byte(value)}}
}

func TestAddonsThatCannotBe(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(`{"name":"c"}`)
	path := "/v1alpha0/clusters/" + id + "/addons/"
	for name, tt := range map[string]struct {
		addon, body string
		status      int
		slug        string
		fields      map[string]string
	}{
		"unknown addon":            {"istio", `{"enabled":true}`, 404, "addon_not_found", nil},
		"essential addon":          {"kube-proxy", `{"enabled":false}`, 422, "addon_essential", map[string]string{"enabled": "addon_essential"}},
		"network plugin":           {"calico", `{"enabled":false}`, 422, "addon_fixed", map[string]string{"enabled": "addon_fixed"}},
		"needed by another":        {"snapshot-controller", `{"enabled":false}`, 422, "addon_needed", map[string]string{"enabled": "addon_needed"}},
		"unknown setting":          {"coredns", `{"values":{"size":1}}`, 422, "invalid_setting", map[string]string{"values.size": "invalid_setting"}},
		"setting of another type":  {"coredns", `{"values":{"replicas":"many"}}`, 422, "invalid_setting", map[string]string{"values.replicas": "invalid_setting"}},
		"setting out of bounds":    {"coredns", `{"values":{"replicas":0}}`, 422, "invalid_setting", map[string]string{"values.replicas": "invalid_setting"}},
		"server without address":   {"coredns", `{"values":{"forward":{"corp.example":"dns"}}}`, 422, "invalid_setting", map[string]string{"values.forward": "invalid_setting"}},
		"a line more in a setting": {"coredns", `{"values":{"forward":{"corp.example":"10.0.0.1\n}"}}}`, 422, "invalid_setting", map[string]string{"values.forward": "invalid_setting"}},
		"unknown field":            {"coredns", `{"replicas":3}`, 400, "unknown_field", map[string]string{"replicas": "unknown_field"}},
	} {
		t.Run(name, func(t *testing.T) {
			h.do(http.MethodPatch, path+tt.addon, tt.body).wantProblem(tt.status, tt.slug, tt.fields)
		})
	}
	h.as(stranger, http.MethodPatch, path+"coredns", `{"enabled":true}`).wantProblem(404, "cluster_not_found", nil)
	h.as(stranger, http.MethodGet, strings.TrimSuffix(path, "/"), nil).wantProblem(404, "cluster_not_found", nil)

	// What needs another goes first, and comes back last.
	h.do(http.MethodPatch, path+"csi", `{"enabled":false}`).want(200)
	h.do(http.MethodPatch, path+"snapshot-controller", `{"enabled":false}`).want(200)
	h.do(http.MethodPatch, path+"csi", `{"enabled":true}`).wantProblem(422, "addon_needs", nil)
}

func TestNetworkPlugin(t *testing.T) {
	h := newHarness(t)
	for cni, want := range map[string]bool{"none": false, "calico": true, "cilium-kube-router": true} {
		id := h.createCluster(`{"name":"` + cni + `","cni":"` + cni + `"}`)
		if got := h.do(http.MethodGet, "/v1alpha0/clusters/"+id+"/addons/calico", nil).want(200).object()["enabled"]; got != want {
			t.Errorf("cni %s: calico enabled = %v", cni, got)
		}
	}
}

func TestMonitoringOnAVolume(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(`{"name":"c"}`)
	addons := "/v1alpha0/clusters/" + id + "/addons/"
	patch := func(addon, body string) response { return h.do(http.MethodPatch, addons+addon, body) }
	patch("monitoring", `{"enabled":true,"values":{"storageGiB":5}}`).wantProblem(422, "invalid_setting", map[string]string{"values.storageGiB": "invalid_setting"})
	patch("csi", `{"enabled":false}`).want(200)
	patch("monitoring", `{"enabled":true}`).want(200)
	patch("monitoring", `{"values":{"storageGiB":20}}`).wantProblem(422, "addon_needs", map[string]string{"values": "addon_needs"})
	patch("csi", `{"enabled":true}`).want(200)
	patch("monitoring", `{"values":{"storageGiB":20}}`).want(200)
	patch("csi", `{"enabled":false}`).wantProblem(422, "addon_needed", map[string]string{"enabled": "addon_needed"})
	patch("monitoring", `{"values":{"storageGiB":10}}`).wantProblem(422, "invalid_setting", map[string]string{"values.storageGiB": "invalid_setting"})
	patch("monitoring", `{"values":{"storageGiB":30}}`).want(200)
	patch("monitoring", `{"values":{"storageGiB":0}}`).want(200)
	patch("csi", `{"enabled":false}`).want(200)
}
