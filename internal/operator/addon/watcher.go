package addon

import (
	"context"
	"net/http"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
)

// watcher sees what happens to the addons' objects in one API server. Of most kinds it keeps only metadata.
type watcher struct {
	client client.Client
	cache  cache.Cache
	// seen is called for every event.
	seen func(seen)
	stop context.CancelFunc

	mu        sync.Mutex
	informers map[schema.GroupVersionKind]cache.Informer
}

// seen is an event of an addon's object.
type seen struct {
	mkev1.AddonObject
	addon             string
	mark              mark
	deleted, workload bool
}

// newWatcher needs an HTTP client without a time limit.
func newWatcher(cfg *rest.Config, hc *http.Client, c client.Client) (*watcher, error) {
	ofAddons, err := labels.NewRequirement(mkev1.AddonLabel, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	objects, err := cache.New(cfg, cache.Options{
		HTTPClient: hc, Scheme: c.Scheme(), Mapper: c.RESTMapper(),
		DefaultLabelSelector: labels.NewSelector().Add(*ofAddons),
		DefaultTransform:     cache.TransformStripManagedFields(),
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { _ = objects.Start(ctx) }() // it only ends with the context
	return &watcher{client: c, cache: objects, stop: stop, informers: map[schema.GroupVersionKind]cache.Informer{}}, nil
}

// blank returns an empty object of the kind: of those that make Pods with their status, of others only the metadata.
func blank(gvk schema.GroupVersionKind) (o client.Object, workload bool) {
	if gvk.Group == appsv1.GroupName {
		switch gvk.Kind {
		case "Deployment":
			return &appsv1.Deployment{}, true
		case "DaemonSet":
			return &appsv1.DaemonSet{}, true
		case "StatefulSet":
			return &appsv1.StatefulSet{}, true
		}
	}
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(gvk)
	return m, false
}

// watch begins to watch a kind, once.
func (w *watcher) watch(ctx context.Context, location mkev1.AddonLocation, gvk schema.GroupVersionKind) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.informers[gvk] != nil {
		return nil
	}
	obj, workload := blank(gvk)
	informer, err := w.cache.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	tell := func(obj any, deleted bool) {
		if last, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = last.Obj
		}
		if o, ok := obj.(client.Object); ok {
			w.seen(seen{
				AddonObject: mkev1.AddonObject{Location: location, APIVersion: apiVersion, Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()},
				addon:       o.GetLabels()[mkev1.AddonLabel], mark: markOf(o), deleted: deleted, workload: workload,
			})
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { tell(o, false) },
		UpdateFunc: func(_, o any) { tell(o, false) },
		DeleteFunc: func(o any) { tell(o, true) },
	})
	if err == nil {
		w.informers[gvk] = informer
	}
	return err
}

// workload returns an object that makes Pods, nil if it is none or not seen yet.
func (w *watcher) workload(ctx context.Context, object mkev1.AddonObject) client.Object {
	gvk := schema.FromAPIVersionAndKind(object.APIVersion, object.Kind)
	w.mu.Lock()
	informer := w.informers[gvk]
	w.mu.Unlock()
	o, _ := blank(gvk)
	if informer == nil || !informer.HasSynced() || w.cache.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Name}, o) != nil {
		return nil
	}
	return o
}
