package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

func testWork(t *testing.T, inputs map[*Step]string) *work {
	t.Helper()
	return &work{source: t.TempDir(), out: t.TempDir(), log: io.Discard, path: func(s *Step) string { return inputs[s] }}
}

// makeLayer packs a program, a link and a folder and returns the finished input.
func makeLayer(t *testing.T) (*Step, string) {
	t.Helper()
	bin := t.TempDir()
	err := errors.Join(os.MkdirAll(filepath.Join(bin, "sub"), 0o755),
		os.WriteFile(filepath.Join(bin, "sub", "run"), []byte("#!/bin/sh\n"), 0o644), os.Symlink("run", filepath.Join(bin, "sub", "link")))
	if err != nil {
		t.Fatal(err)
	}
	input := &Step{Kind: "bin", Name: "input"}
	w := testWork(t, map[*Step]string{input: bin})
	l := &layer{
		Trees: []tree{{From: input, To: "opt/tool"}},
		Texts: map[string]string{"etc/conf": "text"},
		Dirs:  []ownedDir{{Path: "/data", Mode: 0o700, UID: 70}},
		Links: map[string]string{"usr/bin/run": "/opt/tool/sub/run"},
		Exec:  []string{"opt/tool/*/run"},
	}
	if err := l.make(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	return &Step{Kind: "layer", Name: "tool"}, w.out
}

func TestLayer(t *testing.T) {
	_, first := makeLayer(t)
	_, second := makeLayer(t)
	a, errA := os.ReadFile(filepath.Join(first, layerFile))
	b, errB := os.ReadFile(filepath.Join(second, layerFile))
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("equal contents made different layers")
	}
	var names []string
	headers := map[string]*tar.Header{}
	for r := tar.NewReader(bytes.NewReader(a)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		headers[h.Name] = h
	}
	want := []string{"data", "etc", "etc/conf", "opt", "opt/tool", "opt/tool/sub", "opt/tool/sub/link", "opt/tool/sub/run", "usr", "usr/bin", "usr/bin/run"}
	if len(names) != len(want) {
		t.Fatalf("entries %v, want %v", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Errorf("entry %d is %s, want %s", i, names[i], want[i])
		}
	}
	if h := headers["opt/tool/sub/run"]; h.Mode != 0o755 {
		t.Errorf("the program has mode %o", h.Mode)
	}
	if h := headers["data"]; h.Mode != 0o700 || h.Uid != 70 || h.Typeflag != tar.TypeDir {
		t.Errorf("the folder is %+v", h)
	}
	if h := headers["usr/bin/run"]; h.Linkname != "/opt/tool/sub/run" || h.Typeflag != tar.TypeSymlink {
		t.Errorf("the link is %+v", h)
	}
}

func TestLayerWantsItsExecutables(t *testing.T) {
	w := testWork(t, nil)
	if err := (&layer{Exec: []string{"bin/none"}}).make(context.Background(), w); err == nil {
		t.Fatal("a missing program was accepted")
	}
}

func TestImagesShareLayersInOneArchive(t *testing.T) {
	layerStep, layerDir := makeLayer(t)
	var dirs []string
	for _, ref := range []string{"example.test/a:1", "example.test/b:1"} {
		w := testWork(t, map[*Step]string{layerStep: layerDir})
		image := &ociImage{Ref: ref, Layers: []*Step{layerStep}, Config: v1.Config{Entrypoint: []string{"/" + ref}}}
		if err := image.make(context.Background(), w); err != nil {
			t.Fatal(err)
		}
		index, err := layout.ImageIndexFromPath(w.out)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil || manifest.Manifests[0].Annotations[refAnnotation] != ref {
			t.Fatalf("index %+v, %v", manifest, err)
		}
		dirs = append(dirs, w.out)
	}
	var archive bytes.Buffer
	if err := writeArchive(&archive, dirs); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	var index v1.IndexManifest
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[h.Name]++
		if h.Name == "index.json" {
			if err := json.NewDecoder(r).Decode(&index); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, times := range seen {
		if times != 1 {
			t.Errorf("%s is in the archive %d times", name, times)
		}
	}
	// One layer, and a config and a manifest of each image.
	if len(seen) != 5+2 || len(index.Manifests) != 2 {
		t.Errorf("archive has %v and %d images", seen, len(index.Manifests))
	}
}
