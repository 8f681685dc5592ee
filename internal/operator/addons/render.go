// Package addons holds the manifests of the parts that every customer cluster has besides its control plane, and writes and
// removes their objects. manifests/<addon>/cluster goes into the customer's cluster, manifests/<addon>/management into the
// cluster's namespace of the management cluster.
package addons

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/operator/apply"
)

//go:generate go run ./generate calico ../../../images/calico manifests/calico/cluster/calico.yaml
//go:generate go run ./generate snapshot-crds ../../../images/csi-sidecars manifests/snapshot-controller/cluster/crds.yaml

//go:embed manifests
var manifests embed.FS

// functions of the manifests.
var functions = template.FuncMap{"mul": func(a, b int) int { return a * b }}

var folders = map[mkev1.AddonLocation]string{mkev1.InCluster: "cluster", mkev1.InManagement: "management"}

// parsed are the templates of one folder, and the digest of their text.
type parsed struct {
	templates []*template.Template
	digest    string
}

var parsedFolders sync.Map // by path

// load parses the files of an addon's folder once. A folder that does not exist is an empty one.
func load(addon string, location mkev1.AddonLocation) (*parsed, error) {
	dir := path.Join("manifests", addon, folders[location])
	if p, ok := parsedFolders.Load(dir); ok {
		return p.(*parsed), nil
	}
	entries, err := manifests.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p := &parsed{}
	texts := make([]string, 0, len(entries))
	for _, e := range entries {
		text, err := manifests.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		t, err := template.New(path.Join(addon, e.Name())).Option("missingkey=error").Funcs(functions).Parse(string(text))
		if err != nil {
			return nil, err
		}
		p.templates = append(p.templates, t)
		texts = append(texts, string(text))
	}
	p.digest = apply.Digest(texts)
	parsedFolders.Store(dir, p)
	return p, nil
}

// Revision changes whenever Render's result does.
func Revision(addon string, v Values) (string, error) {
	inCluster, err := load(addon, mkev1.InCluster)
	if err != nil {
		return "", err
	}
	inManagement, err := load(addon, mkev1.InManagement)
	if err != nil {
		return "", err
	}
	return apply.Digest([]any{v, inCluster.digest, inManagement.digest, catalog.HollowLabel}), nil
}

// Render returns an addon's objects of one location, each with the addon's label.
func Render(addon string, location mkev1.AddonLocation, v Values) ([]*unstructured.Unstructured, error) {
	p, err := load(addon, location)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, t := range p.templates {
		var text bytes.Buffer
		if err := t.Execute(&text, v); err != nil {
			return nil, err
		}
		some, err := decode(&text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name(), err)
		}
		objects = append(objects, some...)
	}
	for _, o := range objects {
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[mkev1.AddonLabel] = addon
		o.SetLabels(labels)
		if location == mkev1.InManagement {
			o.SetNamespace(v.Namespace)
			continue
		}
		if err := avoidHollow(o); err != nil {
			return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return objects, nil
}

// avoidHollow keeps what has to do something away from hollow nodes, where nothing runs. DaemonSets are on every node.
func avoidHollow(o *unstructured.Unstructured) error {
	if o.GetKind() != "Deployment" && o.GetKind() != "StatefulSet" {
		return nil
	}
	real := map[string]any{"matchExpressions": []any{map[string]any{"key": catalog.HollowLabel, "operator": "DoesNotExist"}}}
	return unstructured.SetNestedSlice(o.Object, []any{real}, "spec", "template", "spec", "affinity", "nodeAffinity",
		"requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
}

func decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}
