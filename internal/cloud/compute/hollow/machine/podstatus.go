package machine

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// step is what a node does next with a pod.
type step string

const (
	nothing  step = ""
	create   step = "create"   // → ContainerCreating
	start    step = "start"    // → Running
	gates    step = "gates"    // readiness gates changed
	complete step = "complete" // → Succeeded
	end      step = "end"      // its containers are stopped, for it is being deleted
	remove   step = "remove"   // the last step of a deletion
)

// RunForAnnotation says how long a pod that comes to an end runs.
const RunForAnnotation = "hollow.mke.magalu.cloud/run-for"

// next decides by the pod alone, as the API server has it: whoever is interrupted finds the same step again.
func next(p *corev1.Pod, b Behavior, now time.Time) (step, time.Duration) {
	terminal := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	switch {
	case p.DeletionTimestamp != nil && (terminal || len(p.Status.ContainerStatuses) == 0):
		return remove, 0
	case p.DeletionTimestamp != nil:
		grace := time.Duration(0)
		if p.DeletionGracePeriodSeconds != nil {
			grace = time.Duration(*p.DeletionGracePeriodSeconds) * time.Second
		}
		return end, min(ms(b.PodStopMS, 0), grace)
	case terminal:
		return nothing, 0
	case len(p.Status.ContainerStatuses) == 0:
		return create, 0
	case p.Status.Phase == corev1.PodPending:
		return start, ms(b.PodStartMS, b.PodJitterMS)
	case podReady(p) != hasCondition(p, corev1.PodReady):
		return gates, 0
	case p.Spec.RestartPolicy != corev1.RestartPolicyAlways:
		return complete, max(0, p.Status.StartTime.Add(runFor(p, b)).Sub(now))
	}
	return nothing, 0
}

func runFor(p *corev1.Pod, b Behavior) time.Duration {
	if d, err := time.ParseDuration(p.Annotations[RunForAnnotation]); err == nil {
		return d
	}
	return ms(b.PodRunMS, 0)
}

// podReady is whether a running pod counts as ready: its containers are, so that only its readiness gates matter.
func podReady(p *corev1.Pod) bool {
	return !slices.ContainsFunc(p.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return !hasCondition(p, g.ConditionType) })
}

func hasCondition(p *corev1.Pod, t corev1.PodConditionType) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == t && c.Status == corev1.ConditionTrue })
}

// statusAfter is the pod's status when the step is done.
func statusAfter(s step, p *corev1.Pod, node, ip string, now metav1.Time) corev1.PodStatus {
	status := corev1.PodStatus{ObservedGeneration: p.Generation, HostIP: node, HostIPs: []corev1.HostIP{{IP: node}}, StartTime: p.Status.StartTime}
	if status.StartTime == nil {
		status.StartTime = &now
	}
	if ip != "" {
		status.PodIP, status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	}
	var state corev1.ContainerState
	reason, alive, initialized := "", false, true
	switch s {
	case create:
		status.Phase, reason, initialized = corev1.PodPending, "ContainersNotReady", len(p.Spec.InitContainers) == 0
		state.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		if !initialized {
			state.Waiting.Reason = "PodInitializing"
		}
	case complete:
		status.Phase, reason = corev1.PodSucceeded, "PodCompleted"
		state.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: *status.StartTime, FinishedAt: now}
	case end:
		// What had to come to an end by itself did not.
		status.Phase, reason = corev1.PodSucceeded, "PodCompleted"
		state.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: *status.StartTime, FinishedAt: now}
		if p.Spec.RestartPolicy != corev1.RestartPolicyAlways {
			status.Phase, reason = corev1.PodFailed, "PodFailed"
			state.Terminated.Reason, state.Terminated.ExitCode = "Error", 143
		}
	default:
		status.Phase, alive = corev1.PodRunning, true
		state.Running = &corev1.ContainerStateRunning{StartedAt: *status.StartTime}
	}
	status.ContainerStatuses = containerStatuses(p, p.Spec.Containers, state, alive)
	status.InitContainerStatuses = initStatuses(p, s, state, alive, *status.StartTime)
	status.Conditions = podConditions(p, now, initialized, alive, s != create && state.Terminated == nil, reason)
	return status
}

func podConditions(p *corev1.Pod, now metav1.Time, initialized, alive, sandbox bool, reason string) []corev1.PodCondition {
	list := []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: truth(sandbox)},
		{Type: corev1.PodInitialized, Status: truth(initialized)},
		{Type: corev1.ContainersReady, Status: truth(alive), Reason: reason},
		{Type: corev1.PodReady, Status: truth(alive && podReady(p)), Reason: reason},
	}
	if alive && !podReady(p) {
		list[3].Reason = "ReadinessGatesNotReady"
	}
	for i := range list {
		list[i].LastTransitionTime, list[i].ObservedGeneration = now, p.Generation
		for _, old := range p.Status.Conditions {
			if old.Type == list[i].Type && old.Status == list[i].Status {
				list[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	return list
}

func truth(b bool) corev1.ConditionStatus {
	if b {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

func containerStatuses(p *corev1.Pod, containers []corev1.Container, state corev1.ContainerState, alive bool) []corev1.ContainerStatus {
	var list []corev1.ContainerStatus
	for i, c := range containers {
		cs := corev1.ContainerStatus{Name: c.Name, Image: c.Image, State: state, Ready: alive, Started: &alive}
		if state.Waiting == nil {
			cs.ImageID, cs.ContainerID = "hollow://"+c.Image, "hollow://"+string(p.UID)+"/"+c.Name+"/"+strconv.Itoa(i)
		}
		if state.Terminated != nil {
			terminated := *state.Terminated
			terminated.ContainerID = cs.ContainerID
			cs.State.Terminated = &terminated
		}
		list = append(list, cs)
	}
	return list
}

// initStatuses: init containers succeed before the others start; those that always restart live as long as the others.
func initStatuses(p *corev1.Pod, s step, state corev1.ContainerState, alive bool, started metav1.Time) []corev1.ContainerStatus {
	var list []corev1.ContainerStatus
	for _, c := range p.Spec.InitContainers {
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		one, ready := state, alive
		if s != create && !sidecar {
			ready = true
			one = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: started, FinishedAt: started}}
		}
		list = append(list, containerStatuses(p, []corev1.Container{c}, one, ready)...)
		if !sidecar {
			no := false
			list[len(list)-1].Started = &no
		}
	}
	return list
}
