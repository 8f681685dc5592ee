package simulation

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/controller/daemon/util"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// daemons are the pods of DaemonSets, ready to be put on nodes.
type daemons []*framework.PodInfo

func newDaemons(sets []*appsv1.DaemonSet) daemons {
	var d daemons
	for _, set := range sets {
		if set.DeletionTimestamp == nil {
			d = append(d, newPodInfo(daemonPod(set)))
		}
	}
	return d
}

// DaemonPods are the pods that the DaemonSets will put on the node as soon as it is there.
func DaemonPods(node *corev1.Node, sets []*appsv1.DaemonSet) []*framework.PodInfo {
	return slices.DeleteFunc(newDaemons(sets), func(d *framework.PodInfo) bool { return !runsOn(d.Pod, node) })
}

// complete adds the daemons that the node will get and does not have among its pods.
func (d daemons) complete(node *corev1.Node, pods []fwk.PodInfo) []fwk.PodInfo {
	present := pods
	for _, daemon := range d {
		there := slices.ContainsFunc(present, func(p fwk.PodInfo) bool {
			owner := metav1.GetControllerOfNoCopy(p.GetPod())
			return owner != nil && owner.UID == daemon.Pod.OwnerReferences[0].UID
		})
		if !there && runsOn(daemon.Pod, node) {
			pods = append(pods, daemon)
		}
	}
	return pods
}

func daemonPod(set *appsv1.DaemonSet) *corev1.Pod {
	template := set.Spec.Template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name, pod.UID = set.Namespace, set.Name, set.UID
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))}
	util.AddOrUpdateDaemonPodTolerations(&pod.Spec)
	return pod
}

// runsOn is the DaemonSet controller's rule; room is not part of it.
func runsOn(pod *corev1.Pod, node *corev1.Node) bool {
	if pod.Spec.NodeName != "" && pod.Spec.NodeName != node.Name {
		return false
	}
	if match, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !match {
		return false
	}
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(discard, node.Spec.Taints, pod.Spec.Tolerations, func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoExecute || t.Effect == corev1.TaintEffectNoSchedule
	}, false)
	return !untolerated
}
