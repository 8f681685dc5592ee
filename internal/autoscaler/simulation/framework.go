package simulation

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"k8s.io/client-go/informers"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/parallelize"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// notSimulated are default plugins that the simulation leaves out: they only rank nodes or evict pods, or (dynamic resources) need objects of
// their own. A pod with resource claims is refused by the planner instead of placed by guess.
var notSimulated = map[string]bool{
	names.DefaultPreemption:               true,
	names.DynamicResources:                true,
	names.GangScheduling:                  true,
	names.ImageLocality:                   true,
	names.NodeResourcesBalancedAllocation: true,
	names.SchedulingGates:                 true,
}

var initMetrics sync.Once

// newFramework makes the default profile of kube-scheduler, looking at snapshot instead of the scheduler's cache.
func newFramework(ctx context.Context, informers informers.SharedInformerFactory, snapshot *snapshot, csi *csiNodes) (framework.Framework, error) {
	initMetrics.Do(metrics.InitMetrics) // the framework observes them without asking whether they exist; nobody serves them
	profile, err := profile()
	if err != nil {
		return nil, err
	}
	fw, err := frameworkruntime.NewFramework(ctx, plugins.NewInTreeRegistry(), profile,
		frameworkruntime.WithInformerFactory(informers),
		frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithSharedCSIManager(csi),
		frameworkruntime.WithParallelism(min(runtime.GOMAXPROCS(0), parallelize.DefaultParallelism)),
	)
	if err != nil {
		return nil, fmt.Errorf("make the scheduler's framework: %w", err)
	}
	return fw, nil
}

func profile() (*config.KubeSchedulerProfile, error) {
	defaults, err := latest.Default()
	if err != nil {
		return nil, fmt.Errorf("read the scheduler's defaults: %w", err)
	}
	p := &defaults.Profiles[0]
	var kept []config.Plugin
	for _, plugin := range p.Plugins.MultiPoint.Enabled {
		if !notSimulated[plugin.Name] {
			kept = append(kept, plugin)
		}
	}
	p.Plugins.MultiPoint.Enabled = kept
	for i := range p.PluginConfig {
		// The default spread constraints only rank nodes: without them the plugin needs no Services and ReplicaSets.
		if args, ok := p.PluginConfig[i].Args.(*config.PodTopologySpreadArgs); ok {
			args.DefaultingType, args.DefaultConstraints = config.ListDefaulting, nil
		}
	}
	return p, nil
}
