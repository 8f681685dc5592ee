package main

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/plan"
)

type vector struct{ milliCPU, memory, pods int64 }

// floor packs the pods by first-fit on what present nodes have left and then on as many new ones as it takes, by resources alone.
func floor(s plan.State, pending []*corev1.Pod) (newNodes int, took time.Duration) {
	start := time.Now()
	whole := capacity(s.Groups[0].Templates[0])
	room := make([]vector, 0, len(s.Nodes))
	index := make(map[string]int, len(s.Nodes))
	for i, n := range s.Nodes {
		room, index[n.Name] = append(room, capacity(n)), i
	}
	for _, p := range s.Pods {
		if p.Spec.NodeName != "" {
			take(&room[index[p.Spec.NodeName]], request(p))
		}
	}
	for _, p := range pending {
		want := request(p)
		i := 0
		for i < len(room) && !fits(room[i], want) {
			i++
		}
		if i == len(room) {
			room = append(room, whole)
		}
		take(&room[i], want)
	}
	return len(room) - len(s.Nodes), time.Since(start)
}

func capacity(n *corev1.Node) vector {
	a := n.Status.Allocatable
	return vector{a.Cpu().MilliValue(), a.Memory().Value(), a.Pods().Value()}
}

func request(p *corev1.Pod) vector {
	r := p.Spec.Containers[0].Resources.Requests
	return vector{r.Cpu().MilliValue(), r.Memory().Value(), 1}
}

func fits(room, want vector) bool {
	return room.milliCPU >= want.milliCPU && room.memory >= want.memory && room.pods >= want.pods
}

func take(room *vector, want vector) {
	room.milliCPU -= want.milliCPU
	room.memory -= want.memory
	room.pods -= want.pods
}
