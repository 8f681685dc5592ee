package platform

import (
	"os"
	"path/filepath"
	"testing"

	"magalu.cloud/mke/internal/image"
)

func TestMissingImages(t *testing.T) {
	const digest = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
	layout := t.TempDir()
	index := `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"` + digest + `"}]}`
	if err := os.WriteFile(filepath.Join(layout, "index.json"), []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	images := []image.ContainerImage{{Name: "mke.local/mke:abc", Layout: layout}}
	const header = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
	for name, tc := range map[string]struct {
		list string
		want int
	}{
		"an empty VM":     {list: header, want: 1},
		"the same image":  {list: header + "mke.local/mke:abc application/vnd.oci.image.manifest.v1+json " + digest + " 90.1 MiB linux/amd64 io.cri-containerd.image=managed\n"},
		"an older build":  {list: header + "mke.local/mke:abc application/vnd.oci.image.manifest.v1+json sha256:00 90.1 MiB linux/amd64 -\n", want: 1},
		"another version": {list: header + "mke.local/mke:old application/vnd.oci.image.manifest.v1+json " + digest + " 90.1 MiB linux/amd64 -\n", want: 1},
	} {
		missing, err := missingImages(images, digests([]byte(tc.list)))
		if err != nil {
			t.Fatal(err)
		}
		if len(missing) != tc.want {
			t.Errorf("%s: %d images are missing, want %d", name, len(missing), tc.want)
		}
	}
	if _, err := missingImages([]image.ContainerImage{{Name: "x", Layout: t.TempDir()}}, nil); err == nil {
		t.Error("a layout without an index is taken for an image")
	}
}
