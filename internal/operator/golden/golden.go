// Package golden compares rendered objects with golden files, in tests.
package golden

import (
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/golden"
)

// Match fails the test unless obj, as YAML without status and empty fields, is the content of testdata/<name>.yaml.
// `go test -update` writes the files.
func Match(t *testing.T, name string, obj any) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	unstructured.RemoveNestedField(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	got, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	golden.Match(t, filepath.Join("testdata", name+".yaml"), string(got))
}
