package autoscaler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/autoscaler/nodegroup"
	"magalu.cloud/mke/internal/autoscaler/plan"
)

const (
	// coalesce is how long events are gathered before a look.
	coalesce = 50 * time.Millisecond
	// firstRetry after a look that failed; doubled up to the scan interval.
	firstRetry = 500 * time.Millisecond
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, clusterv1.AddToScheme, infrav1.AddToScheme} {
		utilruntime.Must(add(s))
	}
	return s
}

// lead watches both clusters and looks at them until ctx ends.
func (s *server) lead(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.lastLook.Store(time.Now().Unix())
	defer s.lastLook.Store(0)
	customer, err := kubernetes.NewForConfig(s.customer)
	if err != nil {
		return err
	}
	if err := waitForAPI(ctx, customer); err != nil {
		return err
	}
	a, w, err := s.build(ctx, customer)
	if err != nil {
		return err
	}
	klog.InfoS("Autoscaler looks after the cluster", "cluster", s.cluster)
	return s.loop(ctx, a, w)
}

// build makes the autoscaler with its watches, synced.
func (s *server) build(ctx context.Context, customer kubernetes.Interface) (*autoscaler, *waker, error) {
	w := &waker{signal: make(chan struct{}, 1)}
	factory := informers.NewSharedInformerFactoryWithOptions(customer, 12*time.Hour, informers.WithTransform(cache.TransformStripManagedFields()))
	seen := newWatched(factory)
	planner, err := plan.New(ctx, factory, plan.Options{
		Expander: s.opts.expanders(), BalanceSimilar: s.opts.BalanceSimilar,
		PriorityCutoff: int32(s.opts.ExpendablePriority), MaxBinpackingTime: s.opts.MaxBinpackingTime,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("planner: %w", err)
	}
	provider, err := s.provider(ctx, w)
	if err != nil {
		return nil, nil, err
	}
	preferring, err := withPriorities(ctx, planner, customer, s.opts)
	if err != nil {
		return nil, nil, err
	}
	a, err := newAutoscaler(s.opts, customer, seen, provider, preferring, s.recorder(ctx), clock.RealClock{})
	if err != nil {
		return nil, nil, err
	}
	w.touch()
	a.touched = &w.touched
	if err := seen.wake(w); err != nil {
		return nil, nil, err
	}
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return nil, nil, fmt.Errorf("watch of %s: %w", kind, context.Cause(ctx))
		}
	}
	return a, w, nil
}

// provider of node groups, with a synced cache of the cluster's machines.
func (s *server) provider(ctx context.Context, w *waker) (*nodegroup.Provider, error) {
	scheme := newScheme()
	live, err := client.New(s.management, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	cached, err := cache.New(s.management, cache.Options{
		Scheme: scheme, DefaultNamespaces: map[string]cache.Config{s.namespace: {}}, DefaultTransform: cache.TransformStripManagedFields(),
	})
	if err != nil {
		return nil, err
	}
	for _, kind := range []client.Object{&clusterv1.MachineDeployment{}, &clusterv1.Machine{}, &infrav1.MGKMachine{}, &infrav1.MGKMachineTemplate{}} {
		informer, err := cached.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(w.always()); err != nil {
			return nil, err
		}
	}
	go func() {
		if err := cached.Start(ctx); err != nil {
			klog.ErrorS(err, "The watch of machines ended")
		}
	}()
	if !cached.WaitForCacheSync(ctx) {
		return nil, context.Cause(ctx)
	}
	return &nodegroup.Provider{Client: live, Cache: cached, Namespace: s.namespace, Cluster: s.cluster}, nil
}

// recorder of events in the customer's cluster. Its client is another one: thousands of events must not hold up the rest.
func (s *server) recorder(ctx context.Context) record.EventRecorder {
	events := kubernetes.NewForConfigOrDie(s.customer)
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: events.CoreV1().Events("")})
	return broadcaster.NewRecorder(clientgoscheme.Scheme, corev1.EventSource{Component: "cluster-autoscaler"})
}

// loop looks at once when something happens, and at the latest after the scan interval.
func (s *server) loop(ctx context.Context, a *autoscaler, w *waker) error {
	retry := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		next, err := a.runOnce(ctx)
		took := time.Since(began)
		observeDuration("main", began)
		if err != nil {
			errorsTotal.WithLabelValues("look").Inc()
			klog.ErrorS(err, "A look at the cluster failed")
			next = retry
			retry = min(2*retry, s.opts.ScanInterval)
		} else {
			retry = firstRetry
			s.lastLook.Store(time.Now().Unix())
		}
		if err == nil {
			pause(ctx, w.signal, next)
		} else {
			pause(ctx, nil, next)
		}
		// Events come in swarms; and long looks leave as much time to others.
		pause(ctx, nil, max(coalesce, min(took, s.opts.ScanInterval)))
		w.clear()
	}
	return nil
}

// pause waits for the signal or the time.
func pause(ctx context.Context, signal <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-signal:
	case <-timer.C:
	}
}

// waitForAPI asks often, because the cluster is usually being made at this moment.
func waitForAPI(ctx context.Context, client kubernetes.Interface) error {
	return wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, nil
	})
}
