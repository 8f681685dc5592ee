package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The suite asks for these names, see test/utils/image/manifest.go of its version.
func TestConformanceImages(t *testing.T) {
	steps, err := ConformanceCatalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys(steps, filepath.Join("..", "..")); err != nil {
		t.Fatal(err)
	}
	refs, names := map[string]bool{}, map[string]bool{}
	for _, step := range steps {
		names[step.String()] = true
		switch r := step.recipe.(type) {
		case *ociImage:
			refs[r.Ref] = true
		case *goBinaries:
			if _, err := os.Stat(filepath.Join("..", "..", r.Dir, "go.mod")); err != nil {
				t.Errorf("%s: %v", step, err)
			}
		}
	}
	for _, want := range strings.Fields(`
		agnhost:2.56 busybox:1.37.0-1 httpd:2.4.38-4 httpd:2.4.39-4 jessie-dnsutils:1.7 kitten:1.7 nautilus:1.7
		nginx:1.14-4 nginx:1.15-4 nonewprivs:1.3 nonroot:1.4 sample-apiserver:1.29.2`) {
		if !refs["registry.k8s.io/e2e-test-images/"+want] {
			t.Errorf("no step makes %s", want)
		}
	}
	if !refs["registry.k8s.io/etcd:3.6.4-0"] || len(refs) != 13 {
		t.Errorf("%d images: %v", len(refs), refs)
	}
	if !names["bin/conformance"] || names["store/customer"] || names["bin/mke"] {
		t.Errorf("the steps are not those of the suite alone: %v", names)
	}
}

func TestSpecialPermissions(t *testing.T) {
	w := &work{out: t.TempDir()}
	l := layer{Texts: map[string]string{"bin/nnp": ""}, Modes: map[string]int64{"bin/nnp": 0o6755}}
	if err := l.make(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	l.Modes["bin/other"] = 0o755
	if err := l.make(t.Context(), w); err == nil {
		t.Error("permissions of a file that is not there are accepted")
	}
}
