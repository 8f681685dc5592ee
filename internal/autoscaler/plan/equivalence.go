package plan

import (
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// A class is pods that the scheduler's filters cannot tell apart: of one controller, with equal labels and an equal spec where it matters.
type class struct {
	pods     []*corev1.Pod
	priority int32
	social   bool   // has wishes about other pods
	size     int64  // what one asks for, to order by
	refusal  string // why no node at all can take them, known without asking the scheduler
}

// perPodLabels differ between the pods of one StatefulSet or indexed Job without meaning anything to the scheduler.
var perPodLabels = []string{"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index"}

// classKey finds pods that may be equal fast; same has the last word.
type classKey struct {
	namespace  string
	controller types.UID
	labels     uint64
	requests   uint64
}

// classify groups pods, in the order of their first.
func classify(pods []*corev1.Pod) []*class {
	seed := maphash.MakeSeed()
	byKey := map[classKey][]*class{}
	var all []*class
	for _, pod := range pods {
		key := keyOf(pod, seed)
		i := slices.IndexFunc(byKey[key], func(c *class) bool { return same(c.pods[0], pod) })
		if i >= 0 {
			c := byKey[key][i]
			c.pods = append(c.pods, pod)
			continue
		}
		c := &class{pods: []*corev1.Pod{pod}, priority: priority(pod), social: simulation.MindsOthers(pod), refusal: notSimulated(pod)}
		byKey[key] = append(byKey[key], c)
		all = append(all, c)
	}
	return all
}

// notSimulated names what the simulation cannot judge: such pods get no node by guess.
func notSimulated(pod *corev1.Pod) string {
	if len(pod.Spec.ResourceClaims) > 0 {
		return "pods with resource claims are not simulated"
	}
	return ""
}

func keyOf(pod *corev1.Pod, seed maphash.Seed) classKey {
	key := classKey{namespace: pod.Namespace}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		key.controller = owner.UID
	}
	for k, v := range pod.Labels {
		if !slices.Contains(perPodLabels, k) {
			key.labels += maphash.String(seed, k) ^ 3*maphash.String(seed, v) // a sum: maps have no order
		}
	}
	for i := range pod.Spec.Containers {
		for name, q := range pod.Spec.Containers[i].Resources.Requests {
			key.requests += maphash.String(seed, string(name)) ^ uint64(q.MilliValue())
		}
	}
	return key
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// same compares what the scheduler's filters read. Names of volumes are left out: each pod's token volume has its own.
func same(a, b *corev1.Pod) bool {
	x, y := &a.Spec, &b.Spec
	return priority(a) == priority(b) && x.HostNetwork == y.HostNetwork && x.SchedulerName == y.SchedulerName &&
		a.Status.NominatedNodeName == b.Status.NominatedNodeName &&
		sameLabels(a.Labels, b.Labels) && maps.Equal(x.NodeSelector, y.NodeSelector) &&
		equalOrEmpty(x.Affinity, y.Affinity) && equalOrEmpty(x.Tolerations, y.Tolerations) &&
		equalOrEmpty(x.TopologySpreadConstraints, y.TopologySpreadConstraints) &&
		equalOrEmpty(x.ResourceClaims, y.ResourceClaims) &&
		equalOrEmpty(x.Resources, y.Resources) && sameList(x.Overhead, y.Overhead) &&
		slices.EqualFunc(x.Containers, y.Containers, sameContainer) && slices.EqualFunc(x.InitContainers, y.InitContainers, sameContainer) &&
		slices.EqualFunc(volumes(a), volumes(b), func(v, w corev1.Volume) bool { return reflect.DeepEqual(v.VolumeSource, w.VolumeSource) })
}

func sameLabels(a, b map[string]string) bool {
	if maps.Equal(a, b) {
		return true
	}
	return maps.Equal(withoutPerPod(a), withoutPerPod(b))
}

func withoutPerPod(labels map[string]string) map[string]string {
	shared := maps.Clone(labels)
	for _, key := range perPodLabels {
		delete(shared, key)
	}
	return shared
}

func equalOrEmpty[T any](a, b T) bool {
	v, w := reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()
	return empty(v) && empty(w) || reflect.DeepEqual(a, b)
}

func empty(v reflect.Value) bool { return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 }

func sameList(a, b corev1.ResourceList) bool {
	return maps.EqualFunc(a, b, func(q, r resource.Quantity) bool { return q.Cmp(r) == 0 })
}

func sameContainer(a, b corev1.Container) bool {
	return sameList(a.Resources.Requests, b.Resources.Requests) && equalOrEmpty(a.Resources.Claims, b.Resources.Claims) &&
		equalOrEmpty(a.Ports, b.Ports) && equalOrEmpty(a.RestartPolicy, b.RestartPolicy)
}

// volumes are those that may bind a pod to a place.
func volumes(pod *corev1.Pod) []corev1.Volume {
	var found []corev1.Volume
	for _, v := range pod.Spec.Volumes {
		if v.Ephemeral != nil {
			// The claim is named after the pod: there are no two alike.
			v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pod.Name + "-" + v.Name}
		}
		local := v.EmptyDir != nil || v.Projected != nil || v.Secret != nil || v.ConfigMap != nil || v.DownwardAPI != nil || v.HostPath != nil
		if !local {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(v, w corev1.Volume) int { return strings.Compare(v.Name, w.Name) })
	return found
}
