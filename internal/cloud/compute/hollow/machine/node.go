package machine

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	cloudproviderapi "k8s.io/cloud-provider/api"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/catalog"
)

// settings are what of the kubelet's configuration matters here, with the kubelet's defaults but for the lease.
type settings struct {
	maxPods              int64
	leaseDuration        time.Duration // twice a kubelet's: the leases of 2,000 Nodes would be 200 writes a second
	statusReport         time.Duration
	reservedCPU          resource.Quantity
	reservedMemory       resource.Quantity
	allocatableDiskShare int64 // per cent
}

func (id identity) settings() (settings, error) {
	var config kubeletv1beta1.KubeletConfiguration
	s := settings{maxPods: 110, leaseDuration: 80 * time.Second, statusReport: 5 * time.Minute, allocatableDiskShare: 90}
	if err := yaml.Unmarshal(id.Kubelet, &config); err != nil {
		return s, err
	}
	if config.NodeLeaseDurationSeconds > 0 {
		s.leaseDuration = time.Duration(config.NodeLeaseDurationSeconds) * time.Second
	}
	if config.NodeStatusReportFrequency.Duration > 0 {
		s.statusReport = config.NodeStatusReportFrequency.Duration
	}
	if config.MaxPods > 0 {
		s.maxPods = int64(config.MaxPods)
	}
	if n, err := strconv.Atoi(id.Join.NodeRegistration.KubeletExtraArgs["max-pods"]); err == nil {
		s.maxPods = int64(n)
	}
	for _, reserved := range []map[string]string{config.KubeReserved, config.SystemReserved} {
		for name, sum := range map[string]*resource.Quantity{"cpu": &s.reservedCPU, "memory": &s.reservedMemory} {
			if q, err := resource.ParseQuantity(reserved[name]); err == nil {
				sum.Add(q)
			}
		}
	}
	eviction := "100Mi"
	if config.EvictionHard != nil {
		eviction = config.EvictionHard["memory.available"]
	}
	if q, err := resource.ParseQuantity(eviction); err == nil {
		s.reservedMemory.Add(q)
	}
	return s, nil
}

// newNode is the Node as the kubelet registers it.
func newNode(s Spec, id identity, set settings) *corev1.Node {
	args := id.Join.NodeRegistration.KubeletExtraArgs
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: id.Node, Labels: map[string]string{
		corev1.LabelHostname: id.Node, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
		catalog.HollowLabel: "true", corev1.LabelNodeExcludeBalancers: "true", // nobody answers there
	}}}
	if wanted, err := labels.ConvertSelectorToLabelsMap(args["node-labels"]); err == nil {
		maps.Copy(node.Labels, wanted)
	}
	node.Spec.ProviderID = args["provider-id"]
	node.Spec.Taints = id.Join.NodeRegistration.Taints
	node.Annotations = map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
	if args["cloud-provider"] == "external" {
		node.Spec.Taints = append(node.Spec.Taints[:len(node.Spec.Taints):len(node.Spec.Taints)],
			corev1.Taint{Key: cloudproviderapi.TaintExternalCloudProvider, Value: "true", Effect: corev1.TaintEffectNoSchedule})
		node.Annotations[cloudproviderapi.AnnotationAlphaProvidedIPAddr] = s.Address.String()
	}
	node.Status = nodeStatus(s, set)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: s.Address.String()}, {Type: corev1.NodeHostName, Address: id.Node}}
	return node
}

// nodeStatus is what does not change while the machine runs. Addresses are not in it: the cloud controller manager's count.
func nodeStatus(s Spec, set settings) corev1.NodeStatus {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(s.VCPUs), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(int64(s.RAMMB)<<20, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(s.DiskGB)<<30, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(set.maxPods, resource.DecimalSI),
		"hugepages-1Gi":                 *resource.NewQuantity(0, resource.DecimalSI),
		"hugepages-2Mi":                 *resource.NewQuantity(0, resource.DecimalSI),
	}
	allocatable := capacity.DeepCopy()
	for name, reserved := range map[corev1.ResourceName]resource.Quantity{corev1.ResourceCPU: set.reservedCPU, corev1.ResourceMemory: set.reservedMemory} {
		q := allocatable[name]
		q.Sub(reserved)
		allocatable[name] = q
	}
	allocatable[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(s.DiskGB)<<30/100*set.allocatableDiskShare, resource.BinarySI)
	return corev1.NodeStatus{Capacity: capacity, Allocatable: allocatable, NodeInfo: corev1.NodeSystemInfo{
		MachineID: strings.ReplaceAll(s.ID, "-", ""), SystemUUID: s.ID, BootID: uuid.NewString(), KernelVersion: kernel(),
		OSImage: "MKE hollow VM", ContainerRuntimeVersion: "hollow://1.0", KubeletVersion: s.Version,
		OperatingSystem: "linux", Architecture: "amd64",
	}}
}

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// conditions of a Node; what did not change keeps its time.
func conditions(before []corev1.NodeCondition, ready bool, now metav1.Time) []corev1.NodeCondition {
	list := []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	}
	if !ready {
		list[3].Status, list[3].Reason, list[3].Message = corev1.ConditionFalse, "KubeletNotReady", "container runtime network not ready"
	}
	for i := range list {
		list[i].LastHeartbeatTime, list[i].LastTransitionTime = now, now
		for _, old := range before {
			if old.Type == list[i].Type && old.Status == list[i].Status {
				list[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return list
}
