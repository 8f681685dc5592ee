package autoscaler

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/autoscaler/plan"
)

// priorityConfigMap holds the preferences of the expander priority in its key priorities, as upstream's does.
const priorityConfigMap = "cluster-autoscaler-priority-expander"

// prioritized is the planner with the newest preferences.
type prioritized struct {
	*plan.Planner
	changed atomic.Pointer[plan.Priorities]
}

// ScaleUp plans with the preferences of this moment; a planner must not be changed while it plans.
func (p *prioritized) ScaleUp(ctx context.Context, s plan.State, pending []*corev1.Pod) (plan.ScaleUp, error) {
	if changed := p.changed.Swap(nil); changed != nil {
		p.SetPriorities(*changed)
	}
	return p.Planner.ScaleUp(ctx, s, pending)
}

// withPriorities watches the ConfigMap if the expander needs it.
func withPriorities(ctx context.Context, planner *plan.Planner, client kubernetes.Interface, o Options) (*prioritized, error) {
	p := &prioritized{Planner: planner}
	if !slices.Contains(o.expanders(), "priority") {
		return p, nil
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 12*time.Hour, informers.WithNamespace(o.StatusNamespace),
		informers.WithTweakListOptions(func(l *metav1.ListOptions) {
			l.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, priorityConfigMap).String()
		}))
	read := func(o any) {
		priorities, err := parsePriorities(o.(*corev1.ConfigMap).Data["priorities"])
		if err != nil { // the ones before stay
			klog.ErrorS(err, "Preferences of the expander priority cannot be read", "configMap", priorityConfigMap)
			return
		}
		p.changed.Store(&priorities)
	}
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: read, UpdateFunc: func(_, after any) { read(after) }, DeleteFunc: func(any) { p.changed.Store(&plan.Priorities{}) },
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return p, nil
}

// parsePriorities reads lists of patterns by priority.
func parsePriorities(v string) (plan.Priorities, error) {
	var lists map[int][]string
	if err := yaml.Unmarshal([]byte(v), &lists); err != nil {
		return nil, fmt.Errorf("priorities: %w", err)
	}
	out := plan.Priorities{}
	for priority, patterns := range lists {
		for _, pattern := range patterns {
			re, err := regexp.Compile(pattern)
			if err != nil {
				return nil, fmt.Errorf("priority %d: %w", priority, err)
			}
			out[priority] = append(out[priority], re)
		}
	}
	return out, nil
}
