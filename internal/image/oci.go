package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ociImage makes an OCI image layout, which every container tool reads.
type ociImage struct {
	Revision int
	Ref      string
	Layers   []*Step `json:"-"` // the lowest first
	Config   v1.Config
}

// keyTag as a tag stands for the key of the highest layer: every build of a program that is still being written
// has a name of its own, so that nodes and Deployments tell them apart.
const keyTag = ":{key}"

// ref returns the image's full name, given where its highest layer lies.
func (o *ociImage) ref(layer string) string {
	if repository, ok := strings.CutSuffix(o.Ref, keyTag); ok {
		return repository + ":" + filepath.Base(layer)
	}
	return o.Ref
}

// refAnnotation is where containerd's import looks for an image's full name.
const refAnnotation = "io.containerd.image.name"

func (o *ociImage) inputs() []*Step   { return o.Layers }
func (o *ociImage) sources() []string { return nil }

func (o *ociImage) make(_ context.Context, w *work) error {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	blobs := filepath.Join(w.out, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	for _, step := range o.Layers {
		l, err := openLayer(filepath.Join(w.path(step), layerFile))
		if err != nil {
			return err
		}
		// A link where the layout would copy: it finds the blob there already.
		if err := os.Link(l.path, filepath.Join(blobs, l.digest.Hex)); err != nil {
			return err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return err
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		return err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", platformArch
	file.Created = v1.Time{Time: layerTime}
	file.Config = o.Config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return err
	}
	dir, err := layout.Write(w.out, empty.Index)
	if err != nil {
		return err
	}
	return dir.AppendImage(img, layout.WithAnnotations(map[string]string{refAnnotation: o.ref(w.path(o.Layers[len(o.Layers)-1]))}))
}

// fileLayer is an uncompressed layer in a file: unpacking is all that a node's
// disk ever does with it, and that is faster without decompression.
type fileLayer struct {
	path   string
	digest v1.Hash
	size   int64
}

func openLayer(path string) (*fileLayer, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := sha256.New()
	size, err := io.Copy(h, file)
	if err != nil {
		return nil, err
	}
	return &fileLayer{path, v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, size}, nil
}

func (l *fileLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *fileLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *fileLayer) Size() (int64, error)                 { return l.size, nil }
func (l *fileLayer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
func (l *fileLayer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *fileLayer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
