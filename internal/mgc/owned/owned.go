// Package owned knows by which names and descriptions the objects are told that a cluster made in the cloud for what runs in it.
package owned

import (
	"regexp"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/mgc"
)

// retainIP is the word in a load balancer's description with which its public IP outlives it.
const retainIP = "public-ip=retain"

// Mark is the word in the description of an object of the cluster.
func Mark(clusterID string) string { return "mke.cluster-id=" + clusterID }

// ServiceLoadBalancer says whether a load balancer was made for a Service of the cluster. It leaves out the API server's.
func ServiceLoadBalancer(lb *mgc.LoadBalancer, clusterID string) bool {
	return lb.Status != mgc.LoadBalancerDeleted && slices.Contains(strings.Fields(lb.Description), Mark(clusterID)) &&
		!strings.HasPrefix(lb.Name, "mke-"+clusterID+"-")
}

var apiName = regexp.MustCompile(`^mke-([0-9a-f-]{36})-api$`)

// APILoadBalancer says whether a load balancer is that of a cluster's API server.
func APILoadBalancer(lb *mgc.LoadBalancer) bool {
	m := apiName.FindStringSubmatch(lb.Name)
	return m != nil && slices.Contains(strings.Fields(lb.Description), Mark(m[1]))
}

// KeepsPublicIP says whether the public IP of a Service's load balancer stays when that goes.
func KeepsPublicIP(lb *mgc.LoadBalancer) bool {
	return slices.Contains(strings.Fields(lb.Description), retainIP)
}

// Service is the Service (namespace/name) that a load balancer was made for, empty if its description does not say.
func Service(lb *mgc.LoadBalancer) string {
	for _, word := range strings.Fields(lb.Description) {
		if name, ok := strings.CutPrefix(word, "service="); ok {
			return name
		}
	}
	return ""
}

// storageName is how the volume driver names volumes and snapshots; those through which it clones have a c.
var storageName = regexp.MustCompile(`^mke-([0-9a-f]{8})-c?[a-z0-9-]{36}$`)

// Storage says whether the volume driver of the cluster gave this name to a volume or snapshot. No two clusters of a region have the
// same first 8 characters of their ids.
func Storage(name, clusterID string) bool {
	m := storageName.FindStringSubmatch(name)
	return m != nil && strings.HasPrefix(clusterID, m[1]+"-")
}
