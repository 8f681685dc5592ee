package helm

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	releasecommon "helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"magalu.cloud/mke/internal/testenv"
)

// startAPIServer runs an API server for the test and returns an administrator's kubeconfig.
func startAPIServer(t *testing.T) (kubeconfig []byte, client kubernetes.Interface) {
	t.Helper()
	env := testenv.Start(t)
	client, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	return env.KubeConfig, client
}

// runPods stands in for the controllers and the kubelet: it reports every part as ready.
func runPods(t *testing.T, client kubernetes.Interface) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			reportReady(ctx, client)
			return false, nil
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func reportReady(ctx context.Context, client kubernetes.Interface) {
	deployments, err := client.AppsV1().Deployments(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, d := range deployments.Items {
		n := ptr.Deref(d.Spec.Replicas, 1)
		d.Status.ObservedGeneration = d.Generation
		d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = n, n, n, n
		_, _ = client.AppsV1().Deployments(Namespace).UpdateStatus(ctx, &d, metav1.UpdateOptions{})
	}
	sets, err := client.AppsV1().StatefulSets(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, s := range sets.Items {
		s.Status.ObservedGeneration = s.Generation
		s.Status.Replicas, s.Status.UpdatedReplicas, s.Status.ReadyReplicas = 1, 1, 1
		_, _ = client.AppsV1().StatefulSets(Namespace).UpdateStatus(ctx, &s, metav1.UpdateOptions{})
	}
}

// ownParts are the local region's values without Cluster API, whose definitions take most of an installation's time.
func ownParts() map[string]any {
	values := localValues()
	values["clusterAPI"] = map[string]any{"enabled": false}
	return values
}

func TestInstallOrUpgrade(t *testing.T) {
	kubeconfig, client := startAPIServer(t)
	ctx := t.Context()
	install := func(ctx context.Context, values map[string]any) ([]string, error) {
		var said []string
		err := InstallOrUpgrade(ctx, kubeconfig, values, func(format string, args ...any) {
			if text := fmt.Sprintf(format, args...); len(said) == 0 || said[len(said)-1] != text {
				said = append(said, text)
			}
		})
		return said, err
	}

	// Runs that die early leave something for the next one to mend.
	for _, after := range []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond} {
		short, cancel := context.WithTimeout(ctx, after)
		if _, err := install(short, ownParts()); err == nil {
			t.Errorf("ready within %s, though nothing runs", after)
		}
		cancel()
	}

	// Nothing runs yet: the caller learns what is missing when its time is up.
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	var waiting string
	err := InstallOrUpgrade(short, kubeconfig, ownParts(), func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.Contains(text, "parts ready") {
			waiting = text
			cancel()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "mke-gateway") {
		t.Fatalf("want an error that names what is not ready, got %v", err)
	}
	if !strings.HasPrefix(waiting, "0 of 5 parts ready") {
		t.Errorf("progress: %q", waiting)
	}

	runPods(t, client)
	if _, err := install(ctx, localValues()); err != nil {
		t.Fatal(err)
	}
	before := generatedSecrets(t, client)

	t.Run("changed values arrive after a run that left the release pending", func(t *testing.T) {
		leaveRelease(t, kubeconfig, releasecommon.StatusPendingUpgrade)
		values := localValues()
		values["revision"] = "2"
		values["managementCIDRs"] = []any{"198.18.0.9/32"}
		said, err := install(ctx, values)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(said, "\n"), "repairing") {
			t.Errorf("progress: %q", said)
		}
		if after := generatedSecrets(t, client); after != before {
			t.Error("an upgrade made new passwords or certificates")
		}
		d, err := client.AppsV1().Deployments(Namespace).Get(ctx, "mke-provider", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if args := strings.Join(d.Spec.Template.Spec.Containers[0].Args, " "); !strings.Contains(args, "--management-cidrs=198.18.0.9/32") {
			t.Error(args)
		}
	})
	t.Run("lost release record", func(t *testing.T) {
		err := client.CoreV1().Secrets(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "owner=helm"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := install(ctx, localValues()); err != nil {
			t.Fatal(err)
		}
		if after := generatedSecrets(t, client); after != before {
			t.Error("passwords or certificates changed")
		}
	})
	t.Run("bad values", func(t *testing.T) {
		if _, err := install(ctx, map[string]any{}); err == nil {
			t.Error("accepted")
		}
	})
}

// leaveRelease gives the last release the state in which a killed run leaves it.
func leaveRelease(t *testing.T, kubeconfig []byte, status releasecommon.Status) {
	t.Helper()
	getter, err := newGetter(t.Context(), kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := cfg.Init(getter, Namespace, "secrets"); err != nil {
		t.Fatal(err)
	}
	last, err := cfg.Releases.Last(Release)
	if err != nil {
		t.Fatal(err)
	}
	rel := last.(*release.Release)
	rel.SetStatus(status, "killed")
	if err := cfg.Releases.Update(rel); err != nil {
		t.Fatal(err)
	}
}

// generatedSecrets returns what the chart made up at its first install.
func generatedSecrets(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"mke-database", "mke-gateway-tls", "mke-cluster-api-webhooks"} {
		s, err := client.CoreV1().Secrets(Namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"password", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, "ca.crt"} {
			all.Write(s.Data[key])
		}
	}
	return all.String()
}
