// Package sync carries the record to the management cluster and what is seen there back into the record.
package sync

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// FieldOwner owns the fields that mke-api applies.
const FieldOwner = "mke-api"

// revisionAnnotation says which revision of the record an object was made from.
const revisionAnnotation = "mke.magalu.cloud/revision"

// recordFinalizer keeps an MGCCluster until its last report is in the record: it lists what the deletion has left in the cloud.
const recordFinalizer = "mke.magalu.cloud/record"

func clusterLabels(c *record.Cluster) map[string]string {
	return map[string]string{mkev1.ClusterIDLabel: c.ID.String(), mkev1.TenantIDLabel: c.TenantID}
}

func objectMeta(c *record.Cluster, name string, revision int64) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: mkev1.ClusterNamespace(c.ID.String()), Name: name, Labels: clusterLabels(c),
		Annotations: map[string]string{revisionAnnotation: strconv.FormatInt(revision, 10)},
	}
}

func namespaceOf(c *record.Cluster) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: mkev1.ClusterNamespace(c.ID.String()), Labels: clusterLabels(c)}}
}

func mgcCluster(c *record.Cluster) *mkev1.MGCCluster {
	meta := objectMeta(c, c.Name, c.Revision)
	meta.Finalizers = []string{recordFinalizer}
	return &mkev1.MGCCluster{
		ObjectMeta: meta,
		Spec: mkev1.MGCClusterSpec{
			ClusterID: c.ID.String(), TenantID: c.TenantID, Region: c.Region, KubernetesVersion: c.Version, CNI: mkev1.CNI(c.Cni),
			PodsCIDR: c.PodsCidr, ServicesCIDR: c.ServicesCidr, AllowedCIDRs: c.AllowedCidrs,
			Network:      mkev1.Network{VPCID: c.VpcID, Subnets: subnets(c.Subnets)},
			ControlPlane: mkev1.ControlPlane{Replicas: c.ControlPlaneReplicas, MachineType: c.ControlPlaneFlavor},
		},
	}
}

func mgcNodePool(c *record.Cluster, p *db.NodePool) *mkev1.MGCNodePool {
	pool := &mkev1.MGCNodePool{
		ObjectMeta: objectMeta(c, p.Name, p.Revision),
		Spec: mkev1.MGCNodePoolSpec{
			ClusterRef: mkev1.ClusterReference{Name: c.Name}, NodePoolID: p.ID.String(), InitialReplicas: p.InitialReplicas,
			ReplicasRevision: p.ReplicasRevision, KubernetesVersion: p.Version, MachineType: p.Flavor, Labels: p.Labels,
			MaxPodsPerNode: p.MaxPods, Subnets: subnets(p.Subnets),
		},
	}
	pool.Labels[mkev1.NodePoolIDLabel] = p.ID.String()
	if p.Replicas != p.InitialReplicas || p.Revision > 1 {
		pool.Spec.Replicas = &p.Replicas
	}
	if p.MinReplicas != nil && p.MaxReplicas != nil {
		pool.Spec.AutoScale = &mkev1.AutoScale{MinReplicas: *p.MinReplicas, MaxReplicas: *p.MaxReplicas}
	}
	for _, t := range p.Taints {
		pool.Spec.Taints = append(pool.Spec.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	return pool
}

func mgcAddon(c *record.Cluster, name string, choice db.AddonChoice) *mkev1.MGCAddon {
	addon := &mkev1.MGCAddon{
		ObjectMeta: metav1.ObjectMeta{Namespace: mkev1.ClusterNamespace(c.ID.String()), Name: name, Labels: clusterLabels(c)},
		Spec:       mkev1.MGCAddonSpec{ClusterRef: mkev1.ClusterReference{Name: c.Name}},
	}
	if choice.Enabled != nil {
		addon.Spec.State = mkev1.AddonDisabled
		if *choice.Enabled {
			addon.Spec.State = mkev1.AddonEnabled
		}
	}
	for key, value := range choice.Values {
		if addon.Spec.Values == nil {
			addon.Spec.Values = map[string]apiextensionsv1.JSON{}
		}
		addon.Spec.Values[key] = apiextensionsv1.JSON{Raw: value}
	}
	return addon
}

func subnets(in []db.Subnet) []mkev1.Subnet {
	out := make([]mkev1.Subnet, len(in))
	for i, s := range in {
		out[i] = mkev1.Subnet{ID: s.ID, Zone: s.Zone, CIDR: s.CIDR}
	}
	return out
}

// applyable turns an object into what server-side apply takes: no status, no fields that were left empty by mistake.
func applyable(obj runtime.Object, gvk schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	if gvk.Kind == "Namespace" {
		delete(u.Object, "spec")
	}
	return u, nil
}
