package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// view counts nodes and pods as they change, without keeping more of them than is counted.
type view struct {
	mu    sync.Mutex
	nodes map[string]bool // ready?
	pods  map[string]corev1.PodPhase

	decided int    // nodes that the pool is to have
	said    string // by the product, of the pool
}

// watch starts to count the nodes of the pool and the pods of the load.
func watch(ctx context.Context, s *site) *view {
	v := &view{nodes: map[string]bool{}, pods: map[string]corev1.PodPhase{}}
	labelled := func(selector string) informers.SharedInformerOption {
		return informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector })
	}
	nodes := informers.NewSharedInformerFactoryWithOptions(s.kube, 0, informers.WithTransform(v.node), labelled("example.com/pool="+poolName))
	pods := informers.NewSharedInformerFactoryWithOptions(s.kube, 0, informers.WithTransform(v.pod), labelled(loadLabel))
	forget := func(o any) { v.forget(o) }
	_, _ = nodes.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: forget})
	_, _ = pods.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: forget})
	for _, f := range []informers.SharedInformerFactory{nodes, pods} {
		f.Start(ctx.Done())
		f.WaitForCacheSync(ctx.Done())
	}
	return v
}

// node and pod count what arrives and keep only its name and what was counted: of a list they get their own answers again.
func (v *view) node(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	kept := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, ResourceVersion: n.ResourceVersion}}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			kept.Status.Conditions = []corev1.NodeCondition{c}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nodes[n.Name] = len(kept.Status.Conditions) > 0
	return kept, nil
}

func (v *view) pod(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pods[p.Name] = p.Status.Phase
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, ResourceVersion: p.ResourceVersion},
		Status: corev1.PodStatus{Phase: p.Status.Phase}}, nil
}

func (v *view) forget(o any) {
	if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = unknown.Obj
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch o := o.(type) {
	case *corev1.Node:
		delete(v.nodes, o.Name)
	case *corev1.Pod:
		delete(v.pods, o.Name)
	}
}

// counts of the moment.
type counts struct{ nodes, ready, pods, pending, running int }

func (v *view) counts() (c counts) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c.nodes, c.pods = len(v.nodes), len(v.pods)
	for _, ready := range v.nodes {
		if ready {
			c.ready++
		}
	}
	for _, phase := range v.pods {
		switch phase {
		case corev1.PodPending:
			c.pending++
		case corev1.PodRunning:
			c.running++
		}
	}
	return c
}

// until shows what happens, each second, until it is done, and returns how long that took.
func (v *view) until(ctx context.Context, s *site, what string, done func(counts) bool) (time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if decided, said, err := s.says(ctx); err == nil {
				v.mu.Lock()
				v.decided, v.said = decided, said
				v.mu.Unlock()
			}
			time.Sleep(3 * time.Second)
		}
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for shown := time.Now(); ; {
		c, took := v.counts(), time.Since(begin)
		if finished := done(c); finished || time.Since(shown) > time.Second {
			v.mu.Lock()
			show(os.Stdout, fmt.Sprintf("%6.1f s  %-22s nodes decided %5d, there %5d, ready %5d | pods %6d, pending %6d, running %6d | %.70s",
				took.Seconds(), what, v.decided, c.nodes, c.ready, c.pods, c.pending, c.running, v.said), finished)
			v.mu.Unlock()
			if shown = time.Now(); finished {
				return took, nil
			}
		}
		select {
		case <-ctx.Done():
			return time.Since(begin), fmt.Errorf("%s: not done after %s: %+v", what, time.Since(begin).Round(time.Second), v.counts())
		case <-tick.C:
		}
	}
}

// show writes over the line before in a terminal, and a line each elsewhere.
func show(w io.Writer, line string, last bool) {
	info, err := os.Stdout.Stat()
	if err == nil && info.Mode()&os.ModeCharDevice != 0 && !last {
		fmt.Fprintf(w, "\r\033[K%s", line)
		return
	}
	if err == nil && info.Mode()&os.ModeCharDevice != 0 {
		line = "\r\033[K" + line
	}
	fmt.Fprintln(w, line)
}
