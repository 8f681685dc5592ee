package machine

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// pods are those of one node. It keeps of them only what it still has to do.
type pods struct {
	*kubelet
	ctx    context.Context //nolint:containedctx // of the steps, which timers begin
	cancel context.CancelFunc

	mu      sync.Mutex
	known   map[types.UID]*pod
	used    map[netip.Addr]bool
	stopped bool
	steps   sync.WaitGroup
}

type pod struct {
	uid    types.UID
	ip     netip.Addr
	latest *corev1.Pod // nil when there is nothing to do
	doing  step
	timer  *time.Timer
	tries  int
}

func newPods(k *kubelet) *pods {
	p := &pods{kubelet: k, known: map[types.UID]*pod{}, used: map[netip.Addr]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// stop ends all steps and waits for them.
func (p *pods) stop() {
	p.cancel()
	p.mu.Lock()
	p.stopped = true
	for _, one := range p.known {
		one.halt()
	}
	p.mu.Unlock()
	p.steps.Wait()
}

// watch follows the node's pods until ctx is done.
func (p *pods) watch(ctx context.Context) {
	mine := fields.OneTermEqualSelector("spec.nodeName", p.id.Node).String()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = mine
			var list corev1.PodList
			return &list, p.api.Load().core.Get().Resource("pods").VersionedParams(&o, scheme.ParameterCodec).Do(ctx).Into(&list)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector, o.Watch = mine, true
			return p.api.Load().core.Get().Resource("pods").VersionedParams(&o, scheme.ParameterCodec).
				Timeout(time.Duration(ptr.Deref(o.TimeoutSeconds, 0)) * time.Second).Watch(ctx)
		},
	}
	cache.NewReflectorWithOptions(lw, &corev1.Pod{}, p, cache.ReflectorOptions{Name: "hollow"}).RunWithContext(ctx)
}

// Add, Update, Delete, Replace and Resync make it the reflector's store.
func (p *pods) Add(obj any) error { return p.Update(obj) }

// Update looks at a pod again.
func (p *pods) Update(obj any) error {
	if o, ok := obj.(*corev1.Pod); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.observe(o)
	}
	return nil
}

// Delete forgets a pod.
func (p *pods) Delete(obj any) error {
	if o, ok := obj.(*corev1.Pod); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.forget(o.UID)
	}
	return nil
}

// Replace takes the list of all pods.
func (p *pods) Replace(list []any, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := map[types.UID]bool{}
	for _, obj := range list {
		if o, ok := obj.(*corev1.Pod); ok {
			there[o.UID] = true
			p.observe(o)
		}
	}
	for uid := range p.known {
		if !there[uid] {
			p.forget(uid)
		}
	}
	return nil
}

// Resync has nothing to do.
func (p *pods) Resync() error { return nil }

func (p *pods) forget(uid types.UID) {
	one := p.known[uid]
	if one == nil {
		return
	}
	one.halt()
	delete(p.used, one.ip)
	delete(p.known, uid)
}

func (o *pod) halt() {
	if o.timer != nil {
		o.timer.Stop()
	}
}

// observe plans the next step of a pod, unless it is planned already.
func (p *pods) observe(o *corev1.Pod) {
	if p.stopped {
		return
	}
	one := p.known[o.UID]
	if one == nil {
		one = &pod{uid: o.UID}
		p.known[o.UID] = one
	}
	if ip, err := netip.ParseAddr(o.Status.PodIP); err == nil && !o.Spec.HostNetwork {
		one.ip, p.used[ip] = ip, true
	}
	todo, after := next(o, p.behavior(), time.Now())
	switch todo {
	case nothing:
		one.halt()
		one.doing, one.latest, one.timer, one.tries = nothing, nil, nil, 0
	case one.doing:
		one.latest = o
	default:
		one.halt()
		one.doing, one.latest, one.tries = todo, o, 0
		p.plan(one, after)
	}
}

func (p *pods) plan(one *pod, after time.Duration) {
	one.timer = time.AfterFunc(after, func() { p.step(one.uid) })
}

// step does what is planned for a pod, and plans it again when that failed.
func (p *pods) step(uid types.UID) {
	p.mu.Lock()
	one := p.known[uid]
	if one == nil || one.latest == nil || p.stopped {
		p.mu.Unlock()
		return
	}
	p.steps.Add(1)
	defer p.steps.Done()
	todo, o := one.doing, one.latest
	var ip string
	var err error
	if todo != create {
		ip, err = p.address(one, o)
	}
	p.mu.Unlock()
	if err == nil {
		err = p.do(todo, o, ip)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped || p.known[uid] != one || one.doing != todo:
	case err == nil && todo == gates:
		one.doing = nothing // it may come again
	case err != nil && !apierrors.IsNotFound(err):
		one.tries = min(one.tries+1, 7)
		p.plan(one, 100*time.Millisecond<<one.tries)
	}
}

var errHung = errors.New("the kubelet hangs")

func (p *pods) do(todo step, o *corev1.Pod, ip string) error {
	if p.behavior().Silent {
		return errHung
	}
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	core := p.api.Load().core
	if todo == remove {
		return core.Delete().Namespace(o.Namespace).Resource("pods").Name(o.Name).
			Body(&metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &o.UID}}).Do(ctx).Error()
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": o.UID}, // another pod of that name is a conflict
		"status":   statusAfter(todo, o, p.spec.Address.String(), ip, metav1.Now()),
	})
	if err != nil {
		return err
	}
	return core.Patch(types.StrategicMergePatchType).Namespace(o.Namespace).Resource("pods").Name(o.Name).SubResource("status").Body(patch).Do(ctx).Error()
}

// podRange is the shared address space of RFC 6598: nothing else here uses it. It is not the node's podCIDR, for in that range
// Calico gives addresses to real pods, on whatever node they are.
var podRange = netip.MustParsePrefix("100.64.0.0/10")

var errNoAddress = errors.New("no free pod address")

// address of a pod: one of the 254 that belong to the node, found by the low 14 bits of the node's own address.
func (p *pods) address(one *pod, o *corev1.Pod) (string, error) {
	if o.Spec.HostNetwork {
		return p.spec.Address.String(), nil
	}
	if one.ip.IsValid() {
		return one.ip.String(), nil
	}
	node, base := p.spec.Address.As4(), podRange.Addr().As4()
	base[1] |= node[2] & 0x3f
	base[2] = node[3]
	for host := 1; host < 255; host++ {
		base[3] = byte(host)
		if ip := netip.AddrFrom4(base); !p.used[ip] {
			one.ip, p.used[ip] = ip, true
			return ip.String(), nil
		}
	}
	return "", errNoAddress
}
