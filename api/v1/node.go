package v1

import corev1 "k8s.io/api/core/v1"

const (
	// FlavorLabel carries the flavor, the name of the VM's machine type, on Nodes.
	FlavorLabel = "mke.magalu.cloud/flavor"

	// VMStoppedNodeCondition is a Node's condition that is True once the cloud says that the Node's VM does not run or is gone.
	// MCCM writes it, node pools' health checks replace what has it for long.
	VMStoppedNodeCondition corev1.NodeConditionType = "VMStopped"
)
