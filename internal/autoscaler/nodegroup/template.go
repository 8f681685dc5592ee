package nodegroup

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
)

// template is the node that an empty group would get: what the machines' template offers, and its MachineDeployment's annotations,
// which win; nil if neither tells cpu and memory.
func template(md *clusterv1.MachineDeployment, offer infrav1.MGKMachineTemplateStatus) (*corev1.Node, error) {
	capacity, err := capacity(md.Annotations, offer.Capacity)
	if err != nil {
		return nil, err
	}
	if capacity.Cpu().IsZero() || capacity.Memory().IsZero() {
		return nil, nil
	}
	labels, err := pairs(LabelsAnnotation, md.Annotations[LabelsAnnotation])
	if err != nil {
		return nil, err
	}
	taints, err := taints(md)
	if err != nil {
		return nil, err
	}
	name := "template-" + md.Name
	for k, v := range map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: cmp.Or(offer.NodeInfo.OperatingSystem, "linux"), corev1.LabelArchStable: cmp.Or(offer.NodeInfo.Architecture, "amd64"),
	} {
		if labels[k] == "" {
			labels[k] = v
		}
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.NodeSpec{Taints: taints},
		Status: corev1.NodeStatus{
			Capacity:    capacity,
			Allocatable: capacity.DeepCopy(),
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}, nil
}

func capacity(annotations map[string]string, offer corev1.ResourceList) (corev1.ResourceList, error) {
	out := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(defaultMaxPods, resource.DecimalSI)}
	maps.Copy(out, offer)
	for annotation, name := range map[string]corev1.ResourceName{
		CPUAnnotation: corev1.ResourceCPU, MemoryAnnotation: corev1.ResourceMemory,
		EphemeralDiskAnnotation: corev1.ResourceEphemeralStorage, MaxPodsAnnotation: corev1.ResourcePods,
	} {
		v := annotations[annotation]
		if v == "" {
			continue
		}
		q, err := resource.ParseQuantity(v)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %q is no quantity", annotation, v)
		}
		out[name] = q
	}
	return out, nil
}

// taints of the annotation and of the Machines themselves.
func taints(md *clusterv1.MachineDeployment) ([]corev1.Taint, error) {
	var out []corev1.Taint
	for _, t := range md.Spec.Template.Spec.Taints {
		out = append(out, corev1.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	for _, part := range list(md.Annotations[TaintsAnnotation]) {
		i := strings.LastIndex(part, ":")
		if i <= 0 {
			return nil, fmt.Errorf("annotation %s: %q is not key=value:effect", TaintsAnnotation, part)
		}
		key, value, _ := strings.Cut(part[:i], "=")
		t := corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(part[i+1:])}
		if !contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}

func contains(taints []corev1.Taint, t corev1.Taint) bool {
	for i := range taints {
		if taints[i].MatchTaint(&t) {
			return true
		}
	}
	return false
}

func pairs(annotation, v string) (map[string]string, error) {
	out := map[string]string{}
	for _, part := range list(v) {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("annotation %s: %q is not key=value", annotation, part)
		}
		out[key] = value
	}
	return out, nil
}

// csiNode holds how many volumes of each driver the next node takes.
func csiNode(md *clusterv1.MachineDeployment) (*storagev1.CSINode, error) {
	drivers, err := pairs(CSIDriverAnnotation, md.Annotations[CSIDriverAnnotation])
	if err != nil || len(drivers) == 0 {
		return nil, err
	}
	out := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "template-" + md.Name}}
	for name, v := range drivers {
		limit, err := strconv.ParseInt(v, 10, 32)
		if err != nil || limit < 0 {
			return nil, fmt.Errorf("annotation %s: %q is no number of volumes", CSIDriverAnnotation, v)
		}
		out.Spec.Drivers = append(out.Spec.Drivers, storagev1.CSINodeDriver{
			Name: name, NodeID: "template-" + md.Name, TopologyKeys: []string{corev1.LabelTopologyZone},
			Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To(int32(limit))},
		})
	}
	return out, nil
}
