// Package v1 holds the internal resources that mke-api writes into the management cluster: MGCCluster, MGCNodePool and MGCAddon.
// +kubebuilder:object:generate=true
// +groupName=mke.magalu.cloud
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "mke.magalu.cloud", Version: "v1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers the kinds of this package.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &MGCCluster{}, &MGCClusterList{}, &MGCNodePool{}, &MGCNodePoolList{}, &MGCAddon{}, &MGCAddonList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

const (
	// ClusterIDLabel carries the public cluster id (UUID) on every object that belongs to a customer cluster.
	ClusterIDLabel = "mke.magalu.cloud/cluster-id"
	// NodePoolIDLabel carries the public node pool id (UUID).
	NodePoolIDLabel = "mke.magalu.cloud/node-pool-id"
	// NodePoolLabel carries the node pool's name, on Nodes too.
	NodePoolLabel = "mke.magalu.cloud/node-pool"
	// TenantIDLabel carries the id of the tenant that owns the cluster.
	TenantIDLabel = "mke.magalu.cloud/tenant-id"

	// CredentialsSecretName is the Secret in the cluster's namespace with the API key of its components
	// (keys api-key, tenant-id, endpoint, service-account-id).
	CredentialsSecretName = "magalu-credentials"
)

// ClusterNamespace is the management cluster's namespace that holds one customer cluster.
func ClusterNamespace(clusterID string) string { return "cluster-" + clusterID }
