// Package helm installs the platform's chart into a management cluster, and brings an installed one up to date, whatever
// state an earlier run left behind.
package helm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	releasecommon "helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"magalu.cloud/mke/deploy/chart"
)

const (
	// Namespace of the platform in the management cluster.
	Namespace = "mke-system"
	// Release is the name of the Helm release.
	Release = "mke"

	maxHistory   = 3
	applyTimeout = 2 * time.Minute
	retryEvery   = time.Second
	// renderVersion is the Kubernetes version that Render assumes.
	renderVersion = "v1.34.2"
)

// Progress tells a person what is being done or waited for. It may get the same text many times.
type Progress func(format string, args ...any)

// InstallOrUpgrade makes the platform run in the cluster of the kubeconfig with the given values (see the chart's
// values.yaml) and returns when all of its parts are ready. It may be called again at any time: it takes over objects and
// releases that an interrupted run left behind. Only one call may run at a time.
//
// Errors that may pass, such as an API server that restarts, are retried until ctx ends; the error then says which part
// is not ready and why.
func InstallOrUpgrade(ctx context.Context, kubeconfig []byte, values map[string]any, progress Progress) error {
	getter, err := newGetter(ctx, kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(getter.config)
	if err != nil {
		return err
	}
	chrt, err := load()
	if err != nil {
		return err
	}
	err = retry(ctx, progress, func() error {
		if err := ensureNamespace(ctx, client); err != nil {
			return err
		}
		return apply(ctx, getter, chrt, values, progress)
	})
	if err != nil {
		return fmt.Errorf("install the platform's chart: %w", err)
	}
	return waitReady(ctx, client, progress)
}

// Render returns the manifests that the chart makes of the values, without a cluster. Secrets that the chart generates
// differ from call to call.
func Render(values map[string]any) ([]byte, error) {
	rel, err := render(values)
	if err != nil {
		return nil, err
	}
	return []byte(rel.Manifest), nil
}

func render(values map[string]any) (*release.Release, error) {
	chrt, err := load()
	if err != nil {
		return nil, err
	}
	install := action.NewInstall(action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler)))
	install.ReleaseName = Release
	install.Namespace = Namespace
	install.DryRunStrategy = action.DryRunClient
	install.WaitStrategy = kube.HookOnlyStrategy
	install.KubeVersion = &common.KubeVersion{Version: renderVersion, Major: "1", Minor: "34"}
	rel, err := install.Run(chrt, values)
	if err != nil {
		return nil, err
	}
	return rel.(*release.Release), nil
}

// load reads the chart out of the binary.
func load() (*chartv2.Chart, error) {
	var files []*archive.BufferedFile
	err := fs.WalkDir(chart.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := chart.Files.ReadFile(path)
		files = append(files, &archive.BufferedFile{Name: path, Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(files)
}

// ensureNamespace makes the namespace, in which Helm also keeps its releases.
func ensureNamespace(ctx context.Context, client kubernetes.Interface) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   Namespace,
		Labels: map[string]string{"app.kubernetes.io/part-of": "mke"},
	}}
	_, err := client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// apply installs the release, or upgrades it. It does not wait for pods.
func apply(ctx context.Context, getter *getter, chrt *chartv2.Chart, values map[string]any, progress Progress) error {
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := cfg.Init(getter, Namespace, "secrets"); err != nil {
		return err
	}
	exists, err := repair(cfg, progress)
	if err != nil {
		return err
	}
	if !exists {
		progress("installing the chart")
		install := action.NewInstall(cfg)
		install.ReleaseName = Release
		install.Namespace = Namespace
		install.Timeout = applyTimeout
		install.WaitStrategy = kube.HookOnlyStrategy
		install.TakeOwnership = true
		install.ForceConflicts = true
		install.DisableOpenAPIValidation = true // the API server validates what is applied
		_, err = install.RunWithContext(context.WithoutCancel(ctx), chrt, values)
		return err
	}
	progress("upgrading the chart")
	upgrade := action.NewUpgrade(cfg)
	upgrade.Namespace = Namespace
	upgrade.Timeout = applyTimeout
	upgrade.WaitStrategy = kube.HookOnlyStrategy
	upgrade.ServerSideApply = "true"
	upgrade.TakeOwnership = true
	upgrade.ForceConflicts = true
	upgrade.ResetValues = true
	upgrade.MaxHistory = maxHistory
	upgrade.DisableOpenAPIValidation = true
	_, err = upgrade.RunWithContext(context.WithoutCancel(ctx), Release, chrt, values)
	return err
}

// repair tells whether there is a release to upgrade. A release whose run died keeps a pending state for ever and Helm
// refuses to touch it; marked as failed, the next upgrade starts from what it recorded.
func repair(cfg *action.Configuration, progress Progress) (exists bool, err error) {
	last, err := cfg.Releases.Last(Release)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rel, ok := last.(*release.Release)
	if !ok {
		return false, fmt.Errorf("release %s was made by another version of Helm (%T)", Release, last)
	}
	switch rel.Info.Status {
	case releasecommon.StatusDeployed, releasecommon.StatusFailed, releasecommon.StatusSuperseded:
		return true, nil
	}
	progress("repairing the release: an earlier run left it %s", rel.Info.Status)
	rel.SetStatus(releasecommon.StatusFailed, fmt.Sprintf("interrupted while %s", rel.Info.Status))
	return true, cfg.Releases.Update(rel)
}

// retry repeats work that failed for a passing reason, until ctx ends.
func retry(ctx context.Context, progress Progress, work func() error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, retryEvery, true, func(context.Context) (bool, error) {
		last = work()
		if last == nil || !transient(last) {
			return true, last
		}
		progress("the management cluster does not answer, trying again: %v", last)
		return false, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}
