package loadbalancer

import (
	"context"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/mgc"
)

// step is one change of a living load balancer.
type step struct {
	name string
	do   func(context.Context, *mgc.LoadBalancerClient) error
}

// next returns the next difference between what is and what shall be, nil for none. What others
// use is made before its users and removed after them; ACLs come before the listeners that they protect.
func next(lb *mgc.LoadBalancer, w *want) *step {
	for _, find := range []func(*mgc.LoadBalancer, *want) *step{
		rename, removeListener, replaceACLs, makeCheck, makeBackend, replaceTargets, makeListener, removeBackend, removeCheck,
	} {
		if s := find(lb, w); s != nil {
			return s
		}
	}
	return nil
}

func rename(lb *mgc.LoadBalancer, w *want) *step {
	if lb.Name == w.name && lb.Description == w.description {
		return nil
	}
	return &step{"rename", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
		return c.Update(ctx, lb.ID, w.name, w.description)
	}}
}

func removeListener(lb *mgc.LoadBalancer, w *want) *step {
	for _, l := range lb.Listeners {
		p := w.part(l.Name)
		if b := backendNamed(lb, l.Name); p != nil && l.Port == p.port && b != nil && l.BackendID == b.ID {
			continue
		}
		return &step{"remove_listener", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
			return c.DeleteListener(ctx, lb.ID, l.ID)
		}}
	}
	return nil
}

func replaceACLs(lb *mgc.LoadBalancer, w *want) *step {
	if slices.Equal(aclKeys(lb.ACLs), aclKeys(w.acls)) {
		return nil
	}
	return &step{"replace_acls", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
		return c.ReplaceACLs(ctx, lb.ID, w.acls)
	}}
}

func aclKeys(acls []mgc.ACL) []string {
	var keys []string
	for _, a := range acls {
		keys = append(keys, a.Action+" "+a.RemoteIPPrefix)
	}
	slices.Sort(keys)
	return keys
}

func makeCheck(lb *mgc.LoadBalancer, w *want) *step {
	for _, p := range w.parts {
		have := checkNamed(lb, p.name)
		if have == nil {
			return &step{"make_health_check", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
				_, err := c.CreateHealthCheck(ctx, lb.ID, p.check)
				return err
			}}
		}
		id := have.ID
		if same := *have; !sameCheck(same, p.check) {
			return &step{"change_health_check", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
				return c.UpdateHealthCheck(ctx, lb.ID, id, p.check)
			}}
		}
	}
	return nil
}

// sameCheck ignores the id, and the path where it has no meaning.
func sameCheck(a, b mgc.HealthCheck) bool {
	a.ID, b.ID = "", ""
	if a.Protocol == "tcp" {
		a.Path = b.Path
	}
	return a == b
}

func makeBackend(lb *mgc.LoadBalancer, w *want) *step {
	for _, p := range w.parts {
		if backendNamed(lb, p.name) == nil {
			return &step{"make_backend", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
				_, err := c.CreateBackend(ctx, lb.ID, w.backend(p))
				return err
			}}
		}
	}
	return nil
}

// replaceTargets sets all nodes of a backend at once, however many came and went.
func replaceTargets(lb *mgc.LoadBalancer, w *want) *step {
	for _, p := range w.parts {
		b, check := backendNamed(lb, p.name), checkNamed(lb, p.name)
		if b == nil || check == nil {
			continue // only where just the targets are being updated
		}
		wanted := w.targets(p)
		if b.HealthCheckID == check.ID && b.TargetsType == mgc.TargetsInstance && slices.Equal(targetKeys(b.Targets), targetKeys(wanted)) {
			continue
		}
		return &step{"replace_targets", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
			return c.ReplaceBackendTargets(ctx, lb.ID, b.ID, mgc.TargetsInstance, wanted, check.ID)
		}}
	}
	return nil
}

func targetKeys(targets []mgc.Target) []mgc.Target {
	keys := make([]mgc.Target, 0, len(targets))
	for _, t := range targets {
		keys = append(keys, mgc.Target{NICID: t.NICID, Port: t.Port})
	}
	slices.SortFunc(keys, func(a, b mgc.Target) int {
		if n := strings.Compare(a.NICID, b.NICID); n != 0 {
			return n
		}
		return a.Port - b.Port
	})
	return keys
}

func makeListener(lb *mgc.LoadBalancer, w *want) *step {
	for _, p := range w.parts {
		if slices.ContainsFunc(lb.Listeners, func(l mgc.Listener) bool { return l.Name == p.name }) {
			continue
		}
		backend := backendNamed(lb, p.name).ID // makeBackend came before
		return &step{"make_listener", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
			_, err := c.CreateListener(ctx, lb.ID, backend, mgc.ListenerCreate{Name: p.name, Protocol: "tcp", Port: p.port})
			return err
		}}
	}
	return nil
}

func removeBackend(lb *mgc.LoadBalancer, w *want) *step {
	for _, b := range lb.Backends {
		if w.part(b.Name) == nil {
			return &step{"remove_backend", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
				return c.DeleteBackend(ctx, lb.ID, b.ID)
			}}
		}
	}
	return nil
}

func removeCheck(lb *mgc.LoadBalancer, w *want) *step {
	for _, h := range lb.HealthChecks {
		if w.part(h.Name) == nil {
			return &step{"remove_health_check", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
				return c.DeleteHealthCheck(ctx, lb.ID, h.ID)
			}}
		}
	}
	return nil
}

func backendNamed(lb *mgc.LoadBalancer, name string) *mgc.Backend {
	if n := slices.IndexFunc(lb.Backends, func(b mgc.Backend) bool { return b.Name == name }); n >= 0 {
		return &lb.Backends[n]
	}
	return nil
}

func checkNamed(lb *mgc.LoadBalancer, name string) *mgc.HealthCheck {
	if n := slices.IndexFunc(lb.HealthChecks, func(h mgc.HealthCheck) bool { return h.Name == name }); n >= 0 {
		return &lb.HealthChecks[n]
	}
	return nil
}
