// Command generate writes manifests of addons from the modules that they come from. CRDs lose their descriptions, which are most of the
// file and of the API server's work on it.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"sigs.k8s.io/yaml"
)

// sources find the manifests from a folder whose go.mod requires their module.
var sources = map[string]func(moduleDir string) ([]byte, error){"calico": calico, "snapshot-crds": snapshotCRDs}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 || sources[os.Args[1]] == nil {
		log.Fatal("usage: generate calico|snapshot-crds <folder whose go.mod requires the module> <output file>")
	}
	out, err := sources[os.Args[1]](os.Args[2])
	if err == nil {
		err = os.WriteFile(os.Args[3], out, 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// findModule returns the folder of a module's source.
func findModule(moduleDir, path string) (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path)
	cmd.Dir, cmd.Stderr = moduleDir, os.Stderr
	dir, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return strings.TrimSpace(string(dir)), nil
}

// generate joins all objects of the files, changed.
func generate(header string, change func(map[string]any) error, files ...string) ([]byte, error) {
	out := bytes.NewBufferString(header)
	for _, file := range files {
		manifest, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for doc := range strings.SplitSeq(string(manifest), "\n---\n") {
			var object map[string]any
			if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
				return nil, err
			}
			if object["kind"] == nil {
				continue
			}
			if object["kind"] == "CustomResourceDefinition" {
				dropDescriptions(object["spec"])
			}
			if err := change(object); err != nil {
				return nil, err
			}
			text, err := yaml.Marshal(object)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(out, "---\n%s", text)
		}
	}
	return out.Bytes(), nil
}

func dropDescriptions(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, text := v["description"].(string); text {
			delete(v, "description")
		}
		for _, e := range v {
			dropDescriptions(e)
		}
	case []any:
		for _, e := range v {
			dropDescriptions(e)
		}
	}
}
