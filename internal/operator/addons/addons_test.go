package addons

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
)

var values = Values{Host: "198.18.0.7", Port: 6443, PodsCIDR: "192.168.0.0/16", DNSAddress: "10.96.0.10", CSIImage: "mke.local/mgc-csi:v0.1.0", KubernetesVersion: "v1.34.2"}

func render(t *testing.T, addon string) []*unstructured.Unstructured {
	t.Helper()
	a, known := catalog.FindAddon(addon)
	if !known {
		t.Fatalf("the catalogue has no %s", addon)
	}
	objects, err := Render(addon, mkev1.InCluster, values.WithConfig(a, nil))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func find[T any](t *testing.T, objects []*unstructured.Unstructured, kind, name string) *T {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			typed := new(T)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true); err != nil {
				t.Fatal(err)
			}
			return typed
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

func TestImagesAreTheOnesInTheNodes(t *testing.T) {
	var images []string
	var objects []*unstructured.Unstructured
	for _, a := range catalog.Addons() {
		objects = append(objects, render(t, a.Name)...)
	}
	for _, o := range objects {
		template, found, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
		if err != nil || !found {
			continue
		}
		var pod corev1.PodSpec
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &pod); err != nil {
			t.Fatal(err)
		}
		for _, c := range append(pod.InitContainers, pod.Containers...) {
			images = append(images, c.Image)
			if c.ImagePullPolicy != corev1.PullIfNotPresent {
				t.Errorf("%s: pull policy %s; there is no registry to pull from", c.Name, c.ImagePullPolicy)
			}
		}
	}
	want := []string{
		"docker.io/calico/cni:v3.28.5", "docker.io/calico/kube-controllers:v3.28.5", "docker.io/calico/node:v3.28.5",
		"mke.local/metrics-server:v0.9.0", "mke.local/mgc-csi:v0.1.0", "mke.local/node-exporter:v1.12.1", "mke.local/prometheus:v3.16.0",
		"registry.k8s.io/coredns/coredns:v1.12.1", "registry.k8s.io/kube-proxy:v1.34.2",
	}
	for _, image := range images {
		if !slices.Contains(want, image) {
			t.Errorf("image %s is not one of %v", image, want)
		}
	}
}

// On a hollow node nothing runs: what serves the cluster must be elsewhere.
func TestNothingThatServesIsOnHollowNodes(t *testing.T) {
	seen := 0
	for _, a := range catalog.Addons() {
		for _, o := range render(t, a.Name) {
			if o.GetKind() != "Deployment" && o.GetKind() != "StatefulSet" {
				continue
			}
			seen++
			var template corev1.PodTemplateSpec
			raw, _, err := unstructured.NestedMap(o.Object, "spec", "template")
			if err == nil {
				err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(raw, &template, true)
			}
			if err != nil {
				t.Fatal(err)
			}
			terms := template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
			if len(terms) != 1 || terms[0].MatchExpressions[0].Key != catalog.HollowLabel || terms[0].MatchExpressions[0].Operator != corev1.NodeSelectorOpDoesNotExist {
				t.Errorf("%s %s: node affinity %+v", o.GetKind(), o.GetName(), terms)
			}
		}
	}
	if seen < 3 {
		t.Errorf("only %d Deployments and StatefulSets", seen)
	}
}

func TestCalicoFitsTheVPC(t *testing.T) {
	objects := render(t, catalog.Calico)
	node := find[appsv1.DaemonSet](t, objects, "DaemonSet", "calico-node").Spec.Template.Spec
	env := map[string]string{}
	for _, e := range node.Containers[0].Env {
		env[e.Name] = e.Value
	}
	for name, want := range map[string]string{"CALICO_IPV4POOL_CIDR": "192.168.0.0/16", "CALICO_IPV4POOL_VXLAN": "Always", "CALICO_IPV4POOL_IPIP": "Never", "FELIX_IPV6SUPPORT": "false"} {
		if env[name] != want {
			t.Errorf("%s=%q, want %q", name, env[name], want)
		}
	}
	if len(node.InitContainers) != 1 {
		t.Errorf("%d init containers, want only the CNI's", len(node.InitContainers))
	}
	endpoint := find[corev1.ConfigMap](t, objects, "ConfigMap", "kubernetes-services-endpoint")
	if endpoint.Data["KUBERNETES_SERVICE_HOST"] != values.Host || endpoint.Data["KUBERNETES_SERVICE_PORT"] != "6443" {
		t.Errorf("Calico looks for the API server at %v", endpoint.Data)
	}
}

func TestKubeProxy(t *testing.T) {
	objects := render(t, catalog.KubeProxy)
	config := find[corev1.ConfigMap](t, objects, "ConfigMap", "kube-proxy")
	for key, want := range map[string]string{"config.conf": "mode: nftables", "kubeconfig": "server: https://198.18.0.7:6443"} {
		if !strings.Contains(config.Data[key], want) {
			t.Errorf("%s lacks %q:\n%s", key, want, config.Data[key])
		}
	}
	find[appsv1.DaemonSet](t, objects, "DaemonSet", "kube-proxy")
}

func TestRevisionFollowsTheContent(t *testing.T) {
	revision := func(v Values) string {
		r, err := Revision(catalog.KubeProxy, v)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	other := values
	other.KubernetesVersion = "v1.35.4"
	same := values
	if revision(values) != revision(same) || revision(values) == revision(other) {
		t.Error("the revision must change with the content and only then")
	}
}

func TestManifestsOfModulesAreGenerated(t *testing.T) {
	for source, where := range map[string][2]string{
		"calico":        {"../../../images/calico", "manifests/calico/cluster/calico.yaml"},
		"snapshot-crds": {"../../../images/csi-sidecars", "manifests/snapshot-controller/cluster/crds.yaml"},
	} {
		fresh := filepath.Join(t.TempDir(), source)
		if out, err := exec.Command("go", "run", "./generate", source, where[0], fresh).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got, err := os.ReadFile(fresh)
		if err != nil {
			t.Fatal(err)
		}
		committed, err := manifests.ReadFile(where[1])
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(committed) {
			t.Errorf("%s is not what the generator makes: run go generate ./internal/operator/addons", where[1])
		}
	}
}
