package addons

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
)

func monitoring(t *testing.T, settings map[string]string) []*unstructured.Unstructured {
	t.Helper()
	a, _ := catalog.FindAddon(catalog.Monitoring)
	raw := map[string]apiextensionsv1.JSON{}
	for name, value := range settings {
		raw[name] = apiextensionsv1.JSON{Raw: []byte(value)}
	}
	objects, err := Render(catalog.Monitoring, mkev1.InCluster, values.WithConfig(a, raw))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestMonitoringFollowsItsSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		settings map[string]string
		config   []string
		rule     string
		volume   string
	}{
		"defaults": {nil, []string{"scrape_interval: 15s", "evaluation_interval: 15s", "time: 24h", "size: 2GB"}, "rate(node_cpu_usage_seconds_total[60s])", ""},
		"all set": {map[string]string{"scrapeSeconds": "30", "retentionHours": "720", "storageGiB": "20", "memoryMiB": "2048"},
			[]string{"scrape_interval: 30s", "time: 720h", "size: 16380MB"}, "rate(node_cpu_usage_seconds_total[120s])", "20Gi"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := monitoring(t, tt.settings)
			config := find[corev1.ConfigMap](t, objects, "ConfigMap", "prometheus-config").Data["prometheus.yml"]
			for _, want := range tt.config {
				if !strings.Contains(config, want) {
					t.Errorf("the configuration lacks %q", want)
				}
			}
			if rules := find[corev1.ConfigMap](t, objects, "ConfigMap", "prometheus-rules").Data["rules.yml"]; !strings.Contains(rules, tt.rule) {
				t.Errorf("the rules lack %q", tt.rule)
			}
			pod := find[appsv1.Deployment](t, objects, "Deployment", "prometheus").Spec.Template.Spec
			var data corev1.Volume
			for _, v := range pod.Volumes {
				if v.Name == "data" {
					data = v
				}
			}
			if tt.volume == "" {
				if data.EmptyDir == nil {
					t.Errorf("data is kept in %+v", data)
				}
				return
			}
			claim := find[corev1.PersistentVolumeClaim](t, objects, "PersistentVolumeClaim", "prometheus")
			if data.PersistentVolumeClaim == nil || data.PersistentVolumeClaim.ClaimName != claim.Name || claim.Spec.Resources.Requests.Storage().String() != tt.volume ||
				ptr.Deref(claim.Spec.StorageClassName, "") != "mgc-csi-magalu-delete-sc" {
				t.Errorf("data is kept in %+v, claim %+v", data, claim.Spec)
			}
			if limit := pod.Containers[0].Resources.Limits.Memory().String(); limit != "2Gi" {
				t.Errorf("memory limit %s", limit)
			}
		})
	}
}

// Prometheus reads; nothing that runs for monitoring may do more, or has a way into a node.
func TestMonitoringHasNoPrivileges(t *testing.T) {
	objects := monitoring(t, nil)
	role := find[rbacv1.ClusterRole](t, objects, "ClusterRole", "mke:prometheus")
	for _, rule := range append(role.Rules, find[rbacv1.Role](t, objects, "Role", "mke:prometheus").Rules...) {
		for _, verb := range rule.Verbs {
			if verb != "get" && verb != "list" && verb != "watch" {
				t.Errorf("rule %+v", rule)
			}
		}
		for _, resource := range rule.Resources {
			if resource != "nodes" && resource != "nodes/metrics" && resource != "pods" {
				t.Errorf("rule %+v", rule)
			}
		}
	}
	for name, pod := range map[string]corev1.PodSpec{
		"prometheus":    find[appsv1.Deployment](t, objects, "Deployment", "prometheus").Spec.Template.Spec,
		"node-exporter": find[appsv1.DaemonSet](t, objects, "DaemonSet", "node-exporter").Spec.Template.Spec,
	} {
		c := pod.Containers[0]
		if pod.HostNetwork || pod.HostPID || !ptr.Deref(pod.SecurityContext.RunAsNonRoot, false) || ptr.Deref(c.SecurityContext.AllowPrivilegeEscalation, true) ||
			!ptr.Deref(c.SecurityContext.ReadOnlyRootFilesystem, false) || c.Resources.Limits.Memory().IsZero() || c.ReadinessProbe == nil || c.LivenessProbe == nil {
			t.Errorf("%s: %+v", name, pod)
		}
		for _, m := range c.VolumeMounts {
			if !m.ReadOnly && m.Name != "data" {
				t.Errorf("%s writes to %s", name, m.MountPath)
			}
		}
	}
}

func TestEverySeriesHasItsRule(t *testing.T) {
	rules := find[corev1.ConfigMap](t, monitoring(t, nil), "ConfigMap", "prometheus-rules").Data["rules.yml"]
	for _, s := range catalog.AllSeries() {
		if !strings.Contains(rules, `record: "`+s.Rule+`"`) {
			t.Errorf("series %s: there is no rule %s", s.Name, s.Rule)
		}
		for _, label := range s.Scope.Labels() {
			level, _, _ := strings.Cut(s.Rule, ":")
			if level != string(s.Scope) {
				t.Errorf("series %s of the scope %s has the rule %s, which may lack the label %s", s.Name, s.Scope, s.Rule, label)
			}
		}
	}
}

// inPod are files that only a pod has.
var inPod = regexp.MustCompile(`/var/run/secrets/kubernetes.io/serviceaccount/[a-z.]+`)

// TestRulesInPrometheus lets Prometheus' own promtool check the configuration, and compute every rule from samples as kubelets,
// etcd and the others give them (testdata/rules_test.yml).
func TestRulesInPrometheus(t *testing.T) {
	dir := t.TempDir()
	rules, token := filepath.Join(dir, "rules"), filepath.Join(dir, "token")
	if err := os.Mkdir(rules, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	objects := monitoring(t, nil)
	config := find[corev1.ConfigMap](t, objects, "ConfigMap", "prometheus-config").Data["prometheus.yml"]
	config = strings.ReplaceAll(inPod.ReplaceAllString(config, write(token, "")), "/etc/prometheus-rules", rules)
	config = write(filepath.Join(dir, "prometheus.yml"), config)
	write(filepath.Join(rules, "rules.yml"), find[corev1.ConfigMap](t, objects, "ConfigMap", "prometheus-rules").Data["rules.yml"])
	cases, err := os.ReadFile(filepath.Join("testdata", "rules_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "config", config}, {"test", "rules", write(filepath.Join(dir, "rules_test.yml"), string(cases))}} {
		// With the flags of the image, so that all but promtool itself is compiled already.
		cmd := exec.Command("go", append([]string{"run", "-buildvcs=false", "-mod=readonly", "-tags", "remove_all_sd,enable_kubernetes_sd",
			"github.com/prometheus/prometheus/cmd/promtool"}, args...)...)
		cmd.Dir = filepath.Join("..", "..", "..", "images", "prometheus")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for _, s := range catalog.AllSeries() {
		if !strings.Contains(string(cases), "expr: '"+s.Rule+"'") {
			t.Errorf("testdata/rules_test.yml has no case for %s", s.Rule)
		}
	}
}
