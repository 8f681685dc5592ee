// Package cloud is what both reconcilers of the provider know about the cloud: names, credentials, and what to do about its errors.
package cloud

import (
	"fmt"
	"slices"
	"strings"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc/owned"
)

// Roles of security groups.
const (
	ControlPlane = "cp"
	Node         = "node"
)

// Mark is the text that every cloud object of a cluster carries as label or in its description.
func Mark(clusterID string) string { return owned.Mark(clusterID) }

// MachineLabel is the label of a machine's VM.
func MachineLabel(m *infrav1.MGKMachine) string { return "mke.machine=" + m.Namespace + "/" + m.Name }

// LoadBalancerName of the cluster's API load balancer.
func LoadBalancerName(clusterID string) string { return "mke-" + clusterID + "-api" }

// SecurityGroupName of the machines with this role.
func SecurityGroupName(clusterID, role string) string { return "mke-" + clusterID + "-" + role }

// Marked is true if a name or description says that the object belongs to the cluster.
func Marked(clusterID string, texts ...string) bool {
	for _, t := range texts {
		if slices.Contains(strings.Fields(t), Mark(clusterID)) || strings.HasPrefix(t, "mke-"+clusterID+"-") {
			return true
		}
	}
	return false
}

// ProviderID of an instance.
func ProviderID(zone, instanceID string) string {
	return fmt.Sprintf("magalu://%s/%s", zone, instanceID)
}
