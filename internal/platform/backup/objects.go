package backup

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
)

// objectsPart holds one object of the management cluster per line.
const objectsPart = "objects.jsonl"

// pageSize bounds what one answer of the API server holds.
const pageSize = 500

// groups are those of the objects that a customer's cluster consists of; Secrets are kept besides.
func isOurs(group string) bool {
	return group == mkev1.GroupVersion.Group || group == "cluster.x-k8s.io" || strings.HasSuffix(group, ".cluster.x-k8s.io")
}

// kinds asks the API server which kinds of objects there are to keep.
func kinds(d discovery.DiscoveryInterface) ([]schema.GroupVersionKind, error) {
	lists, err := d.ServerPreferredNamespacedResources()
	if err != nil {
		return nil, fmt.Errorf("ask for the kinds of objects: %w", err)
	}
	found := []schema.GroupVersionKind{corev1.SchemeGroupVersion.WithKind("Secret")}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil || !isOurs(gv.Group) {
			continue
		}
		for _, r := range list.APIResources {
			if slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "create") {
				found = append(found, gv.WithKind(r.Kind))
			}
		}
	}
	return found, nil
}

// DumpObjects writes what customers' clusters consist of in the management cluster into a file in dir.
func DumpObjects(ctx context.Context, kube client.Client, d discovery.DiscoveryInterface, dir string) (count int, err error) {
	all, err := kinds(d)
	if err != nil {
		return 0, err
	}
	file, err := os.OpenFile(filepath.Join(dir, objectsPart), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	encoder := json.NewEncoder(out)
	write := func(u *unstructured.Unstructured) error {
		count++
		unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
		return encoder.Encode(u.Object)
	}
	namespaces := map[string]bool{}
	if err := each(ctx, kube, corev1.SchemeGroupVersion.WithKind("Namespace"), func(u *unstructured.Unstructured) error {
		if u.GetLabels()[mkev1.ClusterIDLabel] == "" {
			return nil
		}
		namespaces[u.GetName()] = true
		return write(u)
	}); err != nil {
		return 0, err
	}
	for _, kind := range all {
		if err := each(ctx, kube, kind, func(u *unstructured.Unstructured) error {
			if !namespaces[u.GetNamespace()] || isToken(u) {
				return nil
			}
			return write(u)
		}); err != nil {
			return 0, fmt.Errorf("read objects of kind %s: %w", kind.Kind, err)
		}
	}
	return count, errors.Join(out.Flush(), file.Sync(), file.Close())
}

// isToken says whether an object is a Secret that the API server makes by itself.
func isToken(u *unstructured.Unstructured) bool {
	t, _, _ := unstructured.NestedString(u.Object, "type")
	return u.GetKind() == "Secret" && t == string(corev1.SecretTypeServiceAccountToken)
}

// each calls f with every object of a kind.
func each(ctx context.Context, kube client.Client, kind schema.GroupVersionKind, f func(*unstructured.Unstructured) error) error {
	next := ""
	for {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := kube.List(ctx, list, client.Limit(pageSize), client.Continue(next)); err != nil {
			return err
		}
		for i := range list.Items {
			if err := f(&list.Items[i]); err != nil {
				return err
			}
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// readObjects reads the objects of a backup.
func readObjects(dir string) ([]*unstructured.Unstructured, error) {
	file, err := os.Open(filepath.Join(dir, objectsPart))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decoder := json.NewDecoder(bufio.NewReader(file))
	var all []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
}
