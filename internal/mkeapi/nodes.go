package mkeapi

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

type nodeResponse struct {
	ID             string             `json:"id"`
	Name           string             `json:"name"`
	Namespace      string             `json:"namespace"`
	ClusterName    string             `json:"cluster_name"`
	NodePoolName   string             `json:"nodepool_name"`
	CreatedAt      time.Time          `json:"created_at"`
	Annotations    map[string]string  `json:"annotations"`
	Labels         map[string]string  `json:"labels"`
	Taints         []taint            `json:"taints" nullable:"false" doc:"Always present: Terraform crashes without it"`
	Addresses      []nodeAddress      `json:"addresses" nullable:"false"`
	Flavor         string             `json:"flavor"`
	Infrastructure nodeInfrastructure `json:"infrastructure"`
	Status         singleStatus       `json:"status"`
}

type nodeAddress struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

type nodeInfrastructure struct {
	Architecture            string        `json:"architecture"`
	ContainerRuntimeVersion string        `json:"containerRuntimeVersion"`
	KernelVersion           string        `json:"kernelVersion"`
	KubeProxyVersion        string        `json:"kubeProxyVersion"`
	KubeletVersion          string        `json:"kubeletVersion"`
	OperatingSystem         string        `json:"operatingSystem"`
	OSImage                 string        `json:"osImage"`
	Allocatable             nodeResources `json:"allocatable"`
	Capacity                nodeResources `json:"capacity"`
}

type nodeResources struct {
	CPU              string `json:"cpu"`
	EphemeralStorage string `json:"ephemeral_storage"`
	Hugepages1Gi     string `json:"hugepages_1Gi"`
	Hugepages2Mi     string `json:"hugepages_2Mi"`
	Memory           string `json:"memory"`
	Pods             string `json:"pods"`
}

func (s *Server) listNodes(ctx context.Context, in *NodePoolPath) (*answer[results[nodeResponse]], error) {
	clusterID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	c, p, err := s.store.GetNodePool(ctx, tenantOf(ctx), clusterID, id)
	if err != nil {
		return nil, err
	}
	machines, err := s.nodes.Machines(ctx, c.ID.String(), p.ID.String(), p.Name)
	if err != nil {
		s.log.Error("list machines", "cluster_id", c.ID, "error", err)
		return nil, problem.New(problem.Unavailable)
	}
	// A cluster that does not answer is no reason to hide its machines: they are shown without what only the cluster knows.
	nodes, err := s.nodes.Nodes(ctx, c.ID.String(), c.Name, p.Name)
	answers := err == nil
	if err != nil && !errors.Is(err, errNotReady) {
		s.log.Warn("list nodes", "cluster_id", c.ID, "error", err)
	}
	return &answer[results[nodeResponse]]{results[nodeResponse]{mergeNodes(c, p, nodes, machines, answers)}}, nil
}

// mergeNodes lists the nodes of a pool, then its machines that are not nodes yet.
func mergeNodes(c *db.Cluster, p *db.NodePool, nodes []corev1.Node, machines []Machine, answers bool) []nodeResponse {
	list := make([]nodeResponse, 0, len(nodes)+len(machines))
	byNode := make(map[string]*Machine, len(machines))
	for i := range machines {
		byNode[machines[i].NodeName] = &machines[i]
	}
	known := make(map[string]bool, len(nodes))
	for i := range nodes {
		known[nodes[i].Name] = true
		list = append(list, toNode(c, p, &nodes[i], byNode[nodes[i].Name]))
	}
	for i := range machines {
		if m := &machines[i]; m.NodeName == "" || !known[m.NodeName] {
			list = append(list, machineAsNode(c, p, m, answers))
		}
	}
	return list
}

func toNode(c *db.Cluster, p *db.NodePool, n *corev1.Node, m *Machine) nodeResponse {
	r := emptyNode(c, p)
	r.ID, r.Name, r.CreatedAt = nodeID(n), n.Name, n.CreationTimestamp.UTC()
	r.Status = nodeStatus(n, m)
	if n.Labels != nil {
		r.Labels = n.Labels
	}
	for key, value := range n.Annotations {
		if domain, _, _ := strings.Cut(key, "/"); !strings.HasSuffix(domain, "x-k8s.io") { // the platform's bookkeeping
			r.Annotations[key] = value
		}
	}
	for _, t := range n.Spec.Taints {
		r.Taints = append(r.Taints, taint{t.Key, t.Value, string(t.Effect)})
	}
	for _, a := range n.Status.Addresses {
		r.Addresses = append(r.Addresses, nodeAddress{string(a.Type), a.Address})
	}
	info := n.Status.NodeInfo
	r.Infrastructure = nodeInfrastructure{
		Architecture: info.Architecture, ContainerRuntimeVersion: info.ContainerRuntimeVersion, KernelVersion: info.KernelVersion,
		KubeProxyVersion: info.KubeletVersion, KubeletVersion: info.KubeletVersion, OperatingSystem: info.OperatingSystem,
		OSImage: info.OSImage, Allocatable: toResources(n.Status.Allocatable), Capacity: toResources(n.Status.Capacity),
	}
	return r
}

// machineAsNode shows a machine whose node is not there.
func machineAsNode(c *db.Cluster, p *db.NodePool, m *Machine, answers bool) nodeResponse {
	r := emptyNode(c, p)
	r.ID, r.Name, r.CreatedAt = m.ID, m.Name, m.CreatedAt
	if _, err := uuid.Parse(r.ID); err != nil {
		r.ID = uuid.NewSHA1(p.ID, []byte(m.Name)).String()
	}
	for _, a := range m.Addresses {
		r.Addresses = append(r.Addresses, nodeAddress{string(a.Type), a.Address})
	}
	switch {
	case m.Deleting:
		r.Status = singleStatus{"Deleting", "the machine is being removed"}
	case m.NodeName != "" && !answers:
		r.Status = singleStatus{"Unknown", "the cluster's API does not answer"}
	case m.ID != "":
		r.Status = singleStatus{"Provisioned", "waiting for the machine to join the cluster"}
	default:
		r.Status = singleStatus{"Provisioning", "waiting for the machine"}
	}
	return r
}

func emptyNode(c *db.Cluster, p *db.NodePool) nodeResponse {
	return nodeResponse{Namespace: "cluster-" + c.ID.String(), ClusterName: c.Name, NodePoolName: p.Name, Flavor: p.Flavor,
		Annotations: map[string]string{}, Labels: map[string]string{}, Taints: []taint{}, Addresses: []nodeAddress{},
		Infrastructure: nodeInfrastructure{Allocatable: toResources(nil), Capacity: toResources(nil)}}
}

// nodeID is the id of the node's instance in the cloud.
func nodeID(n *corev1.Node) string {
	id := n.Spec.ProviderID[strings.LastIndex(n.Spec.ProviderID, "/")+1:]
	if _, err := uuid.Parse(id); err == nil {
		return id
	}
	return string(n.UID)
}

func nodeStatus(n *corev1.Node, m *Machine) singleStatus {
	if m != nil && m.Deleting || !n.DeletionTimestamp.IsZero() {
		return singleStatus{"Deleting", "the machine is being removed"}
	}
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		switch c.Status {
		case corev1.ConditionTrue:
			return singleStatus{"Running", "Ready"}
		case corev1.ConditionFalse:
			return singleStatus{"Provisioned", c.Message}
		}
		return singleStatus{"Unknown", "the node has stopped reporting"}
	}
	return singleStatus{"Provisioned", "the node has not reported yet"}
}

func toResources(list corev1.ResourceList) nodeResources {
	amount := func(name corev1.ResourceName) string {
		q := list[name]
		return q.String()
	}
	return nodeResources{
		CPU: amount(corev1.ResourceCPU), Memory: amount(corev1.ResourceMemory), Pods: amount(corev1.ResourcePods),
		EphemeralStorage: amount(corev1.ResourceEphemeralStorage), Hugepages1Gi: amount("hugepages-1Gi"), Hugepages2Mi: amount("hugepages-2Mi"),
	}
}
