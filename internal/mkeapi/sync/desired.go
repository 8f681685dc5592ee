package sync

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// Desired are the objects that a Worker applies for a cluster that is not being deleted, without its namespace.
func Desired(c *record.Cluster) (all []*unstructured.Unstructured, err error) {
	add := func(obj runtime.Object, kind string) {
		if err != nil {
			return
		}
		var u *unstructured.Unstructured
		if u, err = applyable(obj, mkev1.GroupVersion.WithKind(kind)); err == nil {
			all = append(all, u)
		}
	}
	add(mgcCluster(c), "MGCCluster")
	for i := range c.Pools {
		if p := &c.Pools[i]; p.State != record.StateDeleting {
			add(mgcNodePool(c, p), "MGCNodePool")
		}
	}
	for name, choice := range c.Addons {
		add(mgcAddon(c, name, choice), "MGCAddon")
	}
	return all, err
}
