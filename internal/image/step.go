// Package image makes everything that runs inside a region: the programs, the
// container images, the nodes' root file system and containerd's preloaded store.
//
// The work is a graph of steps. A step's result is stored under a key, the hash
// of all that decides it: the recipe, the sources and the keys of its inputs.
// What is there under its key is never made again.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Step makes one artefact, a folder in the cache.
type Step struct {
	Kind    string // bin, debian, layer, oci, node or store
	Name    string
	Version string
	recipe  recipe
}

func (s *Step) String() string { return s.Kind + "/" + s.Name }

// recipe says how an artefact is made. Its exported fields are part of the key,
// so a constant revision among them forces a new build when the code changes.
type recipe interface {
	inputs() []*Step
	// sources are the files and folders of the repository that decide the result.
	sources() []string
	make(ctx context.Context, w *work) error
}

// exclusive is implemented by recipes of which only one may run at a time,
// because one alone keeps all cores or the network busy.
type exclusive interface{ resource() string }

// work is what a recipe gets to work with.
type work struct {
	source string               // the repository
	out    string               // the empty folder to fill
	path   func(s *Step) string // the finished artefact of an input
	log    io.Writer            // the output of the tools
}

// keys computes the keys of all steps; inputs come before their users.
func keys(steps []*Step, source string) (map[*Step]string, error) {
	result := make(map[*Step]string, len(steps))
	files := newFileHasher(source)
	for _, step := range steps {
		h := sha256.New()
		fields, err := json.Marshal(step.recipe)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", step, err)
		}
		fmt.Fprintf(h, "%s %s %T %s\n", step, step.Version, step.recipe, fields)
		for _, input := range step.recipe.inputs() {
			key, ok := result[input]
			if !ok {
				return nil, fmt.Errorf("%s is listed before its input %s", step, input)
			}
			fmt.Fprintf(h, "input %s %s\n", input, key)
		}
		for _, path := range step.recipe.sources() {
			sum, err := files.hash(path)
			if err != nil {
				return nil, fmt.Errorf("read the sources of %s: %w", step, err)
			}
			fmt.Fprintf(h, "source %s %s\n", path, sum)
		}
		result[step] = hex.EncodeToString(h.Sum(nil))[:20]
	}
	return result, nil
}
