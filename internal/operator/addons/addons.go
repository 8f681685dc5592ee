// Package addons holds what every customer cluster needs before a Pod can run: kube-proxy and Calico. CoreDNS comes with kubeadm.
package addons

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"text/template"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"magalu.cloud/mke/internal/operator/apply"
)

//go:generate go run ./generate ../../../images/calico calico.yaml

//go:embed calico.yaml
var calicoManifest []byte

//go:embed kube-proxy.yaml
var kubeProxyManifest string

var kubeProxyTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("kube-proxy").Option("missingkey=error").Parse(kubeProxyManifest))
})

// Params are the cluster's own values.
type Params struct {
	// Host and Port of the API server. Addons use it in place of the service address, which works only after kube-proxy.
	Host string
	Port int32
	// PodsCIDR is where Pods get their addresses from.
	PodsCIDR string
	// Version of Kubernetes, which is kube-proxy's.
	Version string
}

// Revision changes whenever Render's result does.
func Revision(p Params) string {
	return apply.Digest([]any{p, string(calicoManifest), kubeProxyManifest})
}

// Render returns the objects of all addons.
func Render(p Params) ([]*unstructured.Unstructured, error) {
	var proxy bytes.Buffer
	if err := kubeProxyTemplate().Execute(&proxy, p); err != nil {
		return nil, err
	}
	objects, err := decode(&proxy)
	if err != nil {
		return nil, fmt.Errorf("kube-proxy: %w", err)
	}
	calico, err := decode(bytes.NewReader(calicoManifest))
	if err != nil {
		return nil, fmt.Errorf("calico: %w", err)
	}
	for _, o := range calico {
		if o.GetKind() == "DaemonSet" {
			if err := setPodsCIDR(o, p.PodsCIDR); err != nil {
				return nil, err
			}
		}
	}
	return append(append(objects, endpointConfig(p)), calico...), nil
}

// Apply writes the objects into the customer's cluster: first what Pods need, then what makes Pods. Nothing waits for the
// CRDs, because no object of theirs is among the addons.
func Apply(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	var basics, workloads []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == "DaemonSet" || o.GetKind() == "Deployment" {
			workloads = append(workloads, o)
		} else {
			basics = append(basics, o)
		}
	}
	for _, wave := range [][]*unstructured.Unstructured{basics, workloads} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		for _, o := range wave {
			g.Go(func() error {
				err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(apply.FieldOwner), client.ForceOwnership)
				if err != nil {
					return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// endpointConfig is where Calico's manifest looks for another address of the API server.
func endpointConfig(p Params) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata":   map[string]any{"name": "kubernetes-services-endpoint", "namespace": "kube-system"},
		"data":       map[string]any{"KUBERNETES_SERVICE_HOST": p.Host, "KUBERNETES_SERVICE_PORT": strconv.Itoa(int(p.Port))},
	}}
}

// setPodsCIDR tells Calico the Pods' addresses, so that it need not wait for kubeadm to store its configuration.
func setPodsCIDR(daemonSet *unstructured.Unstructured, cidr string) error {
	containers, _, err := unstructured.NestedSlice(daemonSet.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) == 0 {
		return errors.New("calico: the DaemonSet has no container")
	}
	node, ok := containers[0].(map[string]any)
	if !ok {
		return errors.New("calico: the DaemonSet's container is not an object")
	}
	env, _, err := unstructured.NestedSlice(node, "env")
	if err != nil {
		return err
	}
	node["env"] = append(env, map[string]any{"name": "CALICO_IPV4POOL_CIDR", "value": cidr})
	return unstructured.SetNestedSlice(daemonSet.Object, containers, "spec", "template", "spec", "containers")
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
