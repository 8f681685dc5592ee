package image

import (
	"os"
	"path/filepath"
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
		mke.local/cluster-api:v1.13.6 mke.local/postgres:15 mke.local/mke:{key}`) {
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
func TestOwnCodeIsOnlyInTheManagementStore(t *testing.T) {
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
	for name, want := range map[string]bool{"node/node": false, "store/customer": false, "store/management-base": false, "store/management": true} {
		if got := reaches(byName[name], byName["bin/mke"]); got != want {
			t.Errorf("%s depends on our code: %v, want %v", name, got, want)
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
