package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func testCatalogue(t *testing.T) []*Step {
	t.Helper()
	steps, err := Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestCatalogueIsComplete(t *testing.T) {
	source := filepath.Join("..", "..")
	steps := testCatalogue(t)
	if _, err := keys(steps, source); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, step := range steps {
		if seen[step.String()] {
			t.Errorf("%s is listed twice", step)
		}
		seen[step.String()] = true
		if g, ok := step.recipe.(*goBinaries); ok {
			if _, err := os.Stat(filepath.Join(source, g.Dir, "go.mod")); err != nil {
				t.Errorf("%s: %v", step, err)
			}
		}
	}
}

// Others know these names: kubeadm, Calico's manifest, the chart, the demo.
func TestImageNames(t *testing.T) {
	refs := map[string]bool{}
	for _, step := range testCatalogue(t) {
		if image, ok := step.recipe.(*ociImage); ok {
			refs[image.Ref] = true
		}
	}
	for _, want := range strings.Fields(`
		registry.k8s.io/kube-apiserver:v1.34.2 registry.k8s.io/kube-controller-manager:v1.34.2
		registry.k8s.io/kube-scheduler:v1.34.2 registry.k8s.io/kube-proxy:v1.34.2
		registry.k8s.io/pause:3.10.1 registry.k8s.io/etcd:3.6.5-0 registry.k8s.io/coredns/coredns:v1.12.1
		docker.io/calico/node:v3.28.5 docker.io/calico/cni:v3.28.5 docker.io/calico/kube-controllers:v3.28.5
		docker.io/library/nginx:latest docker.io/library/busybox:latest
		mke.local/csi-provisioner:v6.3.0 mke.local/csi-attacher:v4.13.0 mke.local/csi-resizer:v2.3.0
		mke.local/csi-snapshotter:v8.7.0 mke.local/snapshot-controller:v8.7.0 mke.local/metrics-server:v0.9.0
		mke.local/node-exporter:v1.12.1 mke.local/prometheus:v3.16.0
		mke.local/cluster-api:v1.13.6 mke.local/postgres:15 mke.local/mke:{key} mke.local/mgc-csi:v0.1.0`) {
		if !refs[want] {
			t.Errorf("no step makes %s", want)
		}
		delete(refs, want)
	}
	for ref := range refs {
		t.Errorf("unexpected image %s", ref)
	}
}

// An edit of our own code must not rebuild what it is not part of.
func TestOwnCodeIsOnlyInTheLastStores(t *testing.T) {
	steps := testCatalogue(t)
	byName := map[string]*Step{}
	for _, step := range steps {
		byName[step.String()] = step
	}
	var reaches func(s, target *Step) bool
	reaches = func(s, target *Step) bool {
		for _, input := range s.recipe.inputs() {
			if input == target || reaches(input, target) {
				return true
			}
		}
		return false
	}
	for name, want := range map[string]struct{ mke, csi bool }{
		"node/node":             {},
		"store/customer-base":   {},
		"store/customer":        {csi: true},
		"store/management-base": {},
		"store/management":      {mke: true, csi: true},
	} {
		if got := reaches(byName[name], byName["bin/mke"]); got != want.mke {
			t.Errorf("%s depends on mke: %v, want %v", name, got, want.mke)
		}
		if got := reaches(byName[name], byName["bin/mgc-csi"]); got != want.csi {
			t.Errorf("%s depends on mgc-csi: %v, want %v", name, got, want.csi)
		}
	}
}

func TestSourcesOfMGCCSIAreComplete(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/mgc-csi")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		path, ours := strings.CutPrefix(pkg, "magalu.cloud/mke/")
		if ours && !slices.ContainsFunc(csiSources, func(s string) bool { return path == s || strings.HasPrefix(path, s+"/") }) {
			t.Errorf("%s is part of mgc-csi but not of its sources", path)
		}
	}
}

func TestImageName(t *testing.T) {
	for repository, want := range map[string]string{
		"registry.k8s.io/kube-proxy":      "kube-proxy",
		"registry.k8s.io/coredns/coredns": "coredns",
		"docker.io/calico/node":           "calico-node",
		"docker.io/library/nginx":         "nginx",
	} {
		if got := imageName(repository); got != want {
			t.Errorf("imageName(%s) = %s, want %s", repository, got, want)
		}
	}
}
