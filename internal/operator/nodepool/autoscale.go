package nodepool

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/operator/apply"
)

// capacityPrefix of the annotations that tell autoscalers what a node of an empty group has.
const capacityPrefix = "capacity.cluster-autoscaler.kubernetes.io/"

// replicas wanted. On an autoscaled pool the number is the autoscaler's, within the bounds, unless somebody has set another one since.
func replicas(s *scope) int32 {
	spec := s.pool.Spec
	n := ptr.Deref(spec.Replicas, spec.InitialReplicas)
	if spec.AutoScale == nil {
		return n
	}
	if d := s.deployment; d != nil && d.Spec.Replicas != nil && resized(s.pool, d) {
		n = *d.Spec.Replicas
	}
	return min(max(n, spec.AutoScale.MinReplicas), spec.AutoScale.MaxReplicas)
}

// resized says whether the machines have got the number of nodes that somebody set last on an autoscaled pool.
func resized(p *mkev1.MGCNodePool, d *clusterv1.MachineDeployment) bool {
	return p.Spec.ReplicasRevision == 0 || d.Annotations[mkev1.ReplicasRevisionAnnotation] == replicasRevision(p)
}

func replicasRevision(p *mkev1.MGCNodePool) string {
	return strconv.FormatInt(p.Spec.ReplicasRevision, 10)
}

// reconcileSize pulls the number of machines to where it must be. It changes only the version that it has seen: if somebody else, such as
// the autoscaler, has changed the number meanwhile, that is an event and looked at again.
func (r *Reconciler) reconcileSize(ctx context.Context, s *scope) error {
	d := s.deployment
	if d == nil || !d.DeletionTimestamp.IsZero() {
		return nil
	}
	to := d.DeepCopy()
	to.Spec.Replicas = ptr.To(replicas(s))
	switch {
	case s.pool.Spec.AutoScale == nil:
		delete(to.Annotations, mkev1.AutoscalerStatusAnnotation)
		delete(to.Annotations, mkev1.ReplicasRevisionAnnotation)
	case s.pool.Spec.ReplicasRevision > 0:
		if to.Annotations == nil {
			to.Annotations = map[string]string{}
		}
		to.Annotations[mkev1.ReplicasRevisionAnnotation] = replicasRevision(s.pool)
	}
	if ptr.Equal(d.Spec.Replicas, to.Spec.Replicas) && maps.Equal(d.Annotations, to.Annotations) {
		return nil
	}
	err := r.Client.Patch(ctx, to, client.MergeFromWithOptions(d, client.MergeFromWithOptimisticLock{}), client.FieldOwner(apply.FieldOwner))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		ctrl.LoggerFrom(ctx).Info("Resized the node pool", "from", d.Spec.Replicas, "to", to.Spec.Replicas)
		s.deployment = to
	}
	return err
}

// autoscalerAnnotations tell the autoscaler the bounds and, for as long as the pool has no node to look at, what a node will be like.
func autoscalerAnnotations(s *scope) map[string]string {
	bounds := s.pool.Spec.AutoScale
	if bounds == nil {
		return nil
	}
	out := map[string]string{
		clusterv1.AutoscalerMinSizeAnnotation: strconv.Itoa(int(bounds.MinReplicas)),
		clusterv1.AutoscalerMaxSizeAnnotation: strconv.Itoa(int(bounds.MaxReplicas)),
		capacityPrefix + "maxPods":            strconv.Itoa(int(maxPods(s.pool))),
		capacityPrefix + "labels":             joinMap(futureLabels(s)),
		mkev1.ZonesAnnotation:                 strings.Join(zones(s), ","),
	}
	if flavor, known := catalog.Default().WithHollow().Flavor(s.pool.Spec.MachineType); known {
		capacity := flavor.Capacity()
		out[capacityPrefix+"cpu"] = capacity.Cpu().String()
		out[capacityPrefix+"memory"] = capacity.Memory().String()
		out[capacityPrefix+"ephemeral-disk"] = capacity.StorageEphemeral().String()
	}
	if taints := s.pool.Spec.Taints; len(taints) > 0 {
		out[capacityPrefix+"taints"] = joinTaints(taints)
	}
	if price := s.pool.Spec.PricePerHour; price != "" {
		out[mkev1.PricePerHourAnnotation] = price
	}
	return out
}

// futureLabels are what a new node gets from Cluster API, the kubelet and the cloud controller manager, but for its name and zone.
func futureLabels(s *scope) map[string]string {
	out := nodeLabels(s)
	out[corev1.LabelInstanceTypeStable] = s.pool.Spec.MachineType
	out[corev1.LabelTopologyRegion] = s.mgc.Spec.Region
	out[corev1.LabelArchStable], out[corev1.LabelOSStable] = "amd64", "linux"
	return out
}

func joinMap(m map[string]string) string {
	pairs := make([]string, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, key+"="+m[key])
	}
	return strings.Join(pairs, ",")
}

func joinTaints(taints []corev1.Taint) string {
	list := make([]string, len(taints))
	for i, t := range taints {
		list[i] = fmt.Sprintf("%s=%s:%s", t.Key, t.Value, t.Effect)
	}
	return strings.Join(list, ",")
}

// zones in the order in which the provider fills them: first those with the fewest machines. While machines are coming or going the order
// stays as it was: each of them would change it.
func zones(s *scope) []string {
	subnets := s.pool.Spec.Subnets
	if len(subnets) == 0 {
		subnets = s.mgc.Spec.Network.Subnets
	}
	count := map[string]int{}
	for i := range s.instances {
		count[s.instances[i].Status.FailureDomain]++
	}
	names := make([]string, len(subnets))
	for i, subnet := range subnets {
		names[i] = subnet.Zone
	}
	if d := s.deployment; d != nil && (count[""] > 0 || !settled(s)) {
		before := strings.Split(d.Annotations[mkev1.ZonesAnnotation], ",")
		if slices.Equal(slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(names))) {
			return before
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(count[a], count[b]) })
	return names
}

// maxStatusMessage is how much of the autoscaler's words is kept.
const maxStatusMessage = 1024

// autoscalerStatus is what the autoscaler says about the pool, nil if it has said nothing that can be understood.
func autoscalerStatus(s *scope) *mkev1.AutoscalerStatus {
	if s.pool.Spec.AutoScale == nil || s.deployment == nil {
		return nil
	}
	var status mkev1.AutoscalerStatus
	if json.Unmarshal([]byte(s.deployment.Annotations[mkev1.AutoscalerStatusAnnotation]), &status) != nil {
		return nil
	}
	known := []mkev1.AutoscalerState{mkev1.AutoscalerScalingUp, mkev1.AutoscalerScalingDown, mkev1.AutoscalerBlocked, mkev1.AutoscalerIdle}
	if !slices.Contains(known, status.State) {
		return nil
	}
	if len(status.Message) > maxStatusMessage {
		status.Message = strings.ToValidUTF8(status.Message[:maxStatusMessage], "")
	}
	return &status
}
