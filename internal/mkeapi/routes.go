package mkeapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Types that are embedded are exported: huma does not look into others.

// ClusterPath is the path of a cluster.
type ClusterPath struct {
	ClusterID string `path:"cluster_id" doc:"UUID of the cluster"`
}

// NodePoolPath is the path of a node pool.
type NodePoolPath struct {
	ClusterPath
	NodePoolID string `path:"node_pool_id" doc:"UUID of the node pool"`
}

// AddonPath is the path of an addon.
type AddonPath struct {
	ClusterPath
	Name string `path:"addon_name" doc:"Name of the addon" example:"metrics-server"`
}

// answer is a JSON body.
type answer[T any] struct{ Body T }

// nothing is the answer of deletions, 204 without a body.
type nothing struct{}

func (s *Server) routes(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/v0/clusters", "getClusters", "List all clusters"), s.listClusters)
	huma.Register(api, creation("/v0/clusters", "createCluster", "Create a cluster"), s.createCluster)
	huma.Register(api, operation(http.MethodGet, "/v0/clusters/{cluster_id}", "getClusterById", "Get a cluster"), s.getCluster)
	huma.Register(api, operation(http.MethodPatch, "/v0/clusters/{cluster_id}", "patchCluster", "Change a cluster"), s.patchCluster)
	huma.Register(api, deletion("/v0/clusters/{cluster_id}", "deleteCluster", "Delete a cluster"), s.deleteCluster)
	huma.Register(api, operation(http.MethodGet, "/v0/clusters/{cluster_id}/kubeconfig", "getKubeConfigCluster", "Get the kubeconfig"), s.getKubeconfig)

	const pools = "/v0/clusters/{cluster_id}/node_pools"
	huma.Register(api, creation(pools, "createNodePool", "Create a node pool"), s.createNodePool)
	huma.Register(api, operation(http.MethodGet, pools+"/{node_pool_id}", "getNodePool", "Get a node pool"), s.getNodePool)
	huma.Register(api, operation(http.MethodPatch, pools+"/{node_pool_id}", "patchNodePool", "Change a node pool"), s.patchNodePool)
	huma.Register(api, deletion(pools+"/{node_pool_id}", "deleteNodePool", "Delete a node pool"), s.deleteNodePool)
	huma.Register(api, operation(http.MethodGet, pools+"/{node_pool_id}/nodes", "getNodes", "List the nodes of a node pool"), s.listNodes)
	huma.Register(api, operation(http.MethodGet, "/v1alpha0/clusters/{cluster_id}/node-pools", "listNodePoolsV1alpha0", "List node pools"), s.listNodePools)

	huma.Register(api, operation(http.MethodGet, "/v1/flavors", "getFlavorsV1", "List flavors"), s.listFlavors)
	huma.Register(api, operation(http.MethodGet, "/v1/versions", "getVersionsV1", "List versions"), s.listVersions)

	// Our own extension: the parts of the platform inside a cluster.
	const addons = "/v1alpha0/clusters/{cluster_id}/addons"
	huma.Register(api, operation(http.MethodGet, addons, "listAddons", "List a cluster's addons"), s.listAddons)
	huma.Register(api, operation(http.MethodGet, addons+"/{addon_name}", "getAddon", "Get an addon"), s.getAddon)
	huma.Register(api, operation(http.MethodPatch, addons+"/{addon_name}", "patchAddon", "Enable, disable or set up an addon"), s.patchAddon)

	// Our own extension: how much the tenant may have.
	huma.Register(api, operation(http.MethodGet, "/v1alpha0/quotas", "listQuotas", "List the tenant's quotas and what is used of them"), s.listQuotas)

	// Our own extension: who did what, in all products.
	huma.Register(api, operation(http.MethodGet, "/v1alpha0/audit", "listAuditRecords", "List the calls that may have changed something, newest first"), s.findAudit)
	huma.Register(api, operation(http.MethodGet, "/v1alpha0/audit/{record_id}", "getAuditRecord", "Get one of these calls"), s.getAudit)

	// Our own extension: what the monitoring addon measures.
	const metrics = "/v1alpha0/clusters/{cluster_id}/metrics"
	huma.Register(api, operation(http.MethodGet, metrics, "listMetrics", "List the series that a cluster has"), s.listMetrics)
	huma.Register(api, operation(http.MethodGet, metrics+"/{metric_name}", "getMetric", "Get a series over time"), s.getMetric)

	// Our own extension: how far a change has come.
	huma.Register(api, operation(http.MethodGet, "/v0/clusters/{cluster_id}/operations", "listOperations", "List a cluster's operations, newest first"), s.listOperations)
	huma.Register(api, operation(http.MethodGet, "/v0/operations/{operation_id}", "getOperation", "Get an operation"), s.getOperation)
	huma.Register(api, operation(http.MethodGet, "/v0/operations", "findOperations", "List the tenant's operations, newest first"), s.findOperations)
	huma.Register(api, events("/v0/clusters/{cluster_id}/events", "streamClusterEvents", "Follow a cluster, its node pools and their operations"), s.clusterEvents)
	huma.Register(api, events("/v0/operations/{operation_id}/events", "streamOperationEvents", "Follow an operation until it ends"), s.operationEvents)

	s.openapi.Paths["/v0/clusters"].Get.Responses["200"].Content = map[string]*huma.MediaType{
		"application/json": {Schema: s.registry.Schema(reflect.TypeFor[results[ClusterResponse]](), true, "")},
	}
	clusters, cluster := s.openapi.Paths["/v0/clusters"], s.openapi.Paths["/v0/clusters/{cluster_id}"]
	nodePools, nodePool := s.openapi.Paths[pools], s.openapi.Paths[pools+"/{node_pool_id}"]
	documentBody[clusterRequest](s, clusters.Post)
	documentBody[patchClusterRequest](s, cluster.Patch)
	documentBody[nodePoolRequest](s, nodePools.Post)
	documentBody[patchNodePoolRequest](s, nodePool.Patch)
	documentBody[patchAddonRequest](s, s.openapi.Paths[addons+"/{addon_name}"].Patch)
	documentOutcome[createClusterResponse](s, clusters.Post)
	documentOutcome[patchClusterResponse](s, cluster.Patch)
	documentOutcome[nothing](s, cluster.Delete)
	documentOutcome[nodePoolResponse](s, nodePools.Post)
	documentOutcome[nodePoolResponse](s, nodePool.Patch)
	documentOutcome[nothing](s, nodePool.Delete)
}

func operation(method, path, id, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, DefaultStatus: http.StatusOK,
		MaxBodyBytes: maxBody, SkipValidateBody: true}
}

func creation(path, id, summary string) huma.Operation {
	op := operation(http.MethodPost, path, id, summary)
	op.DefaultStatus = http.StatusCreated
	return op
}

func deletion(path, id, summary string) huma.Operation {
	op := operation(http.MethodDelete, path, id, summary)
	op.DefaultStatus = http.StatusNoContent
	return op
}

// events is an operation that answers with a stream of events.
func events(path, id, summary string) huma.Operation {
	op := operation(http.MethodGet, path, id, summary)
	op.Responses = map[string]*huma.Response{"200": {Description: "Events, each with an id, an event and data in JSON",
		Content: map[string]*huma.MediaType{eventStream: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	return op
}

// documentBody puts the schema of a body into the OpenAPI document. Handlers take bodies as bytes and use decode, which finds all
// problems at once.
func documentBody[T any](s *Server, op *huma.Operation) {
	op.RequestBody.Content["application/json"].Schema = s.registry.Schema(reflect.TypeFor[T](), true, "")
}

func (s *Server) listFlavors(context.Context, *struct{}) (*answer[results[flavorsAvailable]], error) {
	var all flavorsAvailable
	for _, f := range s.catalog.NodePoolFlavors() {
		all.NodePool = append(all.NodePool, flavorWithSKU{toFlavor(f), f.SKU})
	}
	for _, f := range s.catalog.ControlPlaneFlavors() {
		all.ControlPlane = append(all.ControlPlane, flavorWithSKU{toFlavor(f), f.SKU})
	}
	return &answer[results[flavorsAvailable]]{results[flavorsAvailable]{[]flavorsAvailable{all}}}, nil
}

func (s *Server) listVersions(context.Context, *struct{}) (*answer[results[versionResponse]], error) {
	all := []versionResponse{}
	for _, v := range s.catalog.Versions() {
		all = append(all, versionResponse{v.Version, v.Deprecated, minimumOf(v)})
	}
	return &answer[results[versionResponse]]{results[versionResponse]{all}}, nil
}
