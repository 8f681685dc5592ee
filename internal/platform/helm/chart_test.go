package helm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/storage/driver"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
)

// maxReleaseSize is what the API server accepts in one Secret.
const maxReleaseSize = 1 << 20

func localValues() map[string]any {
	return map[string]any{"cloud": map[string]any{
		"endpoint": "https://198.18.0.1:8443/br-se1", "caBundle": "-----BEGIN CERTIFICATE-----\n", "platformApiKey": "key",
	}}
}

func productionValues() map[string]any {
	return map[string]any{
		"region":           "br-ne1",
		"image":            "registry.example.com/mke@sha256:" + strings.Repeat("a", 64),
		"imagePullSecrets": []any{map[string]any{"name": "registry"}},
		"managementCIDRs":  []any{"203.0.113.0/24", "2001:db8::/32"},
		"nodeSelector":     map[string]any{"pool": "platform"},
		"tolerations":      []any{map[string]any{"operator": "Exists"}},
		"cloud":            map[string]any{"endpoint": "https://api.magalu.cloud/br-ne1", "platformApiKeySecret": "platform-key"},
		"gateway": map[string]any{
			"replicas": 3, "service": map[string]any{"type": "LoadBalancer"}, "tls": map[string]any{"secretName": "public-tls"},
		},
		"api": map[string]any{
			"quotas": map[string]any{"nodes": 2000000}, "prices": map[string]any{"currency": "BRL", "flavors": map[string]any{"BV2-4-40": 0.14}},
		},
		"operator":   map[string]any{"replicas": 2},
		"provider":   map[string]any{"replicas": 2},
		"postgres":   map[string]any{"external": map[string]any{"urlSecret": "database"}},
		"clusterAPI": map[string]any{"replicas": 2},
	}
}

func volumeValues() map[string]any {
	v := localValues()
	v["postgres"] = map[string]any{"storage": map[string]any{"hostPath": "", "storageClassName": "fast"}}
	v["clusterAPI"] = map[string]any{"enabled": false}
	return v
}

// decode renders the chart and decodes every object strictly.
func decode(t *testing.T, values map[string]any) []runtime.Object {
	t.Helper()
	manifest, err := Render(values)
	if err != nil {
		t.Fatal(err)
	}
	known := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(known), apiextensionsv1.AddToScheme(known)); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(known, serializer.EnableStrict).UniversalDeserializer()
	reader := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(manifest)))
	defer reader.Close()
	var objects []runtime.Object
	buf := make([]byte, len(manifest))
	for {
		n, err := reader.Read(buf)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(strings.TrimPrefix(string(buf[:n]), "---")) == "" {
			continue
		}
		obj, _, err := decoder.Decode(buf[:n], nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, buf[:n])
		}
		objects = append(objects, obj)
	}
}

func TestChartIsConsistent(t *testing.T) {
	tests := []struct {
		name   string
		values map[string]any
		// secrets that the installer brings
		given []string
	}{
		{"local region", localValues(), nil},
		{"production", productionValues(), []string{"platform-key", "public-tls", "database", "registry"}},
		{"volume, Cluster API installed already", volumeValues(), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newChecker(decode(t, tt.values), tt.given)
			if several := tt.name == "production"; c.have["PodDisruptionBudget/mke-gateway"] != several || c.have["PodDisruptionBudget/mke-api"] {
				t.Error("a PodDisruptionBudget is for several replicas")
			}
			if c.deployments < 4 {
				t.Errorf("only %d Deployments", c.deployments)
			}
			c.check(t)
		})
	}
}

// checker knows what a rendered chart holds and what its objects refer to.
type checker struct {
	have        map[string]bool // kind/name
	services    map[string]map[string]string
	pods        map[string]*corev1.PodTemplateSpec
	bindings    map[string]string // subject or role referred to → by
	webhooks    []admissionv1.WebhookClientConfig
	deployments int
}

func newChecker(objects []runtime.Object, given []string) *checker {
	c := &checker{have: map[string]bool{}, services: map[string]map[string]string{}, pods: map[string]*corev1.PodTemplateSpec{}, bindings: map[string]string{}}
	for _, name := range given {
		c.have["Secret/"+name] = true
	}
	for _, obj := range objects {
		meta := obj.(metav1.Object)
		kind := obj.GetObjectKind().GroupVersionKind().Kind
		c.have[kind+"/"+meta.GetName()] = true
		switch o := obj.(type) {
		case *appsv1.Deployment:
			c.deployments++
			c.pods[o.Name] = &o.Spec.Template
		case *appsv1.StatefulSet:
			c.pods[o.Name] = &o.Spec.Template
		case *corev1.Service:
			c.services[o.Name] = o.Spec.Selector
		case *rbacv1.ClusterRoleBinding:
			c.bindings[o.RoleRef.Kind+"/"+o.RoleRef.Name] = o.Name
			c.bindings["ServiceAccount/"+o.Subjects[0].Name] = o.Name
		case *rbacv1.RoleBinding:
			c.bindings[o.RoleRef.Kind+"/"+o.RoleRef.Name] = o.Name
		case *admissionv1.MutatingWebhookConfiguration:
			for _, w := range o.Webhooks {
				c.webhooks = append(c.webhooks, w.ClientConfig)
			}
		case *admissionv1.ValidatingWebhookConfiguration:
			for _, w := range o.Webhooks {
				c.webhooks = append(c.webhooks, w.ClientConfig)
			}
		case *networkingv1.NetworkPolicy:
			c.services["policy "+o.Name] = o.Spec.PodSelector.MatchLabels
		}
	}
	return c
}

func (c *checker) refers(t *testing.T, from, to string) {
	t.Helper()
	if !c.have[to] {
		t.Errorf("%s refers to %s, which is not there", from, to)
	}
}

func (c *checker) check(t *testing.T) {
	for name, pod := range c.pods {
		spec := pod.Spec
		c.refers(t, name, "ServiceAccount/"+spec.ServiceAccountName)
		if spec.SecurityContext == nil || spec.SecurityContext.RunAsNonRoot == nil || !*spec.SecurityContext.RunAsNonRoot {
			t.Errorf("%s may run as root", name)
		}
		volumes := map[string]bool{}
		for _, v := range spec.Volumes {
			volumes[v.Name] = true
			if v.Secret != nil {
				c.refers(t, name, "Secret/"+v.Secret.SecretName)
			}
			if v.ConfigMap != nil {
				c.refers(t, name, "ConfigMap/"+v.ConfigMap.Name)
			}
		}
		for _, s := range spec.ImagePullSecrets {
			c.refers(t, name, "Secret/"+s.Name)
		}
		for _, ctr := range spec.Containers {
			c.checkContainer(t, name, ctr)
			for _, m := range ctr.VolumeMounts {
				if !volumes[m.Name] && m.Name != "data" {
					t.Errorf("%s mounts %s, which is no volume", name, m.Name)
				}
			}
		}
	}
	for to, from := range c.bindings {
		c.refers(t, from, to)
	}
	for name, selector := range c.services {
		if !c.selects(selector) {
			t.Errorf("Service %s selects no pod: %v", name, selector)
		}
	}
	for _, w := range c.webhooks {
		c.refers(t, "webhook "+*w.Service.Path, "Service/"+w.Service.Name)
		if w.Service.Namespace != Namespace || !bytes.HasPrefix(w.CABundle, []byte("-----BEGIN CERTIFICATE-----")) {
			t.Errorf("webhook %s: namespace %s, CA %q", *w.Service.Path, w.Service.Namespace, w.CABundle)
		}
	}
}

func (c *checker) checkContainer(t *testing.T, name string, ctr corev1.Container) {
	_, tag, _ := strings.Cut(ctr.Image[strings.LastIndex(ctr.Image, "/")+1:], ":")
	if tag == "" || tag == "latest" {
		t.Errorf("%s: floating image %q", name, ctr.Image)
	}
	if ctr.ReadinessProbe == nil || ctr.LivenessProbe == nil || len(ctr.Resources.Requests) == 0 {
		t.Errorf("%s lacks a probe or its requests", name)
	}
	if ctr.SecurityContext == nil || !*ctr.SecurityContext.ReadOnlyRootFilesystem || *ctr.SecurityContext.AllowPrivilegeEscalation {
		t.Errorf("%s has more privileges than it needs", name)
	}
	for _, e := range ctr.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			c.refers(t, name, "Secret/"+e.ValueFrom.SecretKeyRef.Name)
		}
	}
}

func (c *checker) selects(selector map[string]string) bool {
	for _, pod := range c.pods {
		matches := true
		for k, v := range selector {
			matches = matches && pod.Labels[k] == v
		}
		if matches {
			return true
		}
	}
	return false
}

func TestCRDs(t *testing.T) {
	contract := map[string]string{
		"kubeadmconfigs.bootstrap.cluster.x-k8s.io":           "v1beta2",
		"kubeadmconfigtemplates.bootstrap.cluster.x-k8s.io":   "v1beta2",
		"kubeadmcontrolplanes.controlplane.cluster.x-k8s.io":  "v1beta2",
		"mgkclusters.infrastructure.cluster.x-k8s.io":         "v1beta1",
		"mgkmachines.infrastructure.cluster.x-k8s.io":         "v1beta1",
		"mgkmachinetemplates.infrastructure.cluster.x-k8s.io": "v1beta1",
		"clusters.cluster.x-k8s.io":                           "",
		"machines.cluster.x-k8s.io":                           "",
		"machinesets.cluster.x-k8s.io":                        "",
		"machinedeployments.cluster.x-k8s.io":                 "",
		"machinehealthchecks.cluster.x-k8s.io":                "",
		"machinedrainrules.cluster.x-k8s.io":                  "",
		"clusterresourcesets.addons.cluster.x-k8s.io":         "",
		"clusterresourcesetbindings.addons.cluster.x-k8s.io":  "",
		"mgcclusters.mke.magalu.cloud":                        "",
		"mgcnodepools.mke.magalu.cloud":                       "",
		"mgcaddons.mke.magalu.cloud":                          "",
	}
	for _, obj := range decode(t, localValues()) {
		crd, ok := obj.(*apiextensionsv1.CustomResourceDefinition)
		if !ok {
			continue
		}
		want, known := contract[crd.Name]
		if !known {
			t.Errorf("unexpected CRD %s", crd.Name)
		}
		delete(contract, crd.Name)
		if got := crd.Labels["cluster.x-k8s.io/v1beta2"]; got != want {
			t.Errorf("%s: contract label %q, want %q", crd.Name, got, want)
		}
		if len(crd.Spec.Versions) != 1 || !crd.Spec.Versions[0].Served || !crd.Spec.Versions[0].Storage || crd.Spec.Conversion != nil {
			t.Errorf("%s: want one version, served and stored, without conversion", crd.Name)
		}
		if crd.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s would go with the release, and every customer's cluster with it", crd.Name)
		}
	}
	for name := range contract {
		t.Errorf("CRD %s is missing", name)
	}
}

func TestReleaseFitsInASecret(t *testing.T) {
	rel, err := render(localValues())
	if err != nil {
		t.Fatal(err)
	}
	secrets := fake.NewClientset().CoreV1().Secrets(Namespace)
	if err := driver.NewSecrets(secrets).Create("release", rel); err != nil {
		t.Fatal(err)
	}
	secret, err := secrets.Get(context.Background(), "release", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	size := len(secret.Data["release"])
	t.Logf("release: %d KiB, manifest %d KiB", size>>10, len(rel.Manifest)>>10)
	if size > maxReleaseSize/2 {
		t.Errorf("release takes %d of %d bytes: too little room to grow", size, maxReleaseSize)
	}
}

func TestValuesAreValidated(t *testing.T) {
	tests := []struct {
		name   string
		change func(map[string]any)
		want   string
	}{
		{"no endpoint", func(v map[string]any) { v["cloud"] = map[string]any{"platformApiKey": "k"} }, "endpoint"},
		{"no key", func(v map[string]any) { v["cloud"] = map[string]any{"endpoint": "https://c"} }, "platformApiKey"},
		{"unknown value", func(v map[string]any) { v["gatewey"] = map[string]any{} }, "gatewey"},
		{"floating image", func(v map[string]any) { v["image"] = "mke.local/mke" }, "image"},
		{"bad CIDR", func(v map[string]any) { v["managementCIDRs"] = []any{"everywhere"} }, "managementCIDRs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			values := localValues()
			tt.change(values)
			if _, err := Render(values); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one about %s", err, tt.want)
			}
		})
	}
}
