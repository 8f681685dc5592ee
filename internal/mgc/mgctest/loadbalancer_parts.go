package mgctest

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

// routeBalancerParts serves changes of a living load balancer: its name, listeners, backends and health checks.
func (c *Cloud) routeBalancerParts() {
	c.handle("PUT "+lbBase+"/{id}", func(rq call) {
		var in struct{ Name, Description string }
		if rq.decode(&in) {
			c.changeBalancer(rq, func(b *balancer) {
				b.Name, b.Description = in.Name, in.Description
				rq.ok(http.StatusOK, map[string]string{"id": b.ID})
			})
		}
	})
	c.handle("POST "+lbBase+"/{id}/listeners", c.createListener)
	c.handle("DELETE "+lbBase+"/{id}/listeners/{part}", func(rq call) {
		c.changeBalancer(rq, func(b *balancer) {
			removePart(rq, &b.Listeners, "listener", func(l mgc.Listener) bool { return l.ID == rq.PathValue("part") }, nil)
		})
	})
	c.handle("POST "+lbBase+"/{id}/backends", c.createBackend)
	c.handle("DELETE "+lbBase+"/{id}/backends/{part}", func(rq call) {
		c.changeBalancer(rq, func(b *balancer) {
			removePart(rq, &b.Backends, "backend", func(x mgc.Backend) bool { return x.ID == rq.PathValue("part") }, func(x mgc.Backend) bool {
				return slices.ContainsFunc(b.Listeners, func(l mgc.Listener) bool { return l.BackendID == x.ID })
			})
		})
	})
	c.handle("POST "+lbBase+"/{id}/health-checks", func(rq call) {
		var in mgc.HealthCheck
		if rq.decode(&in) {
			c.changeBalancer(rq, func(b *balancer) {
				in.ID = uuid.NewString()
				b.HealthChecks = append(b.HealthChecks, in)
				rq.ok(http.StatusOK, in)
			})
		}
	})
	c.handle("PUT "+lbBase+"/{id}/health-checks/{part}", func(rq call) {
		var in mgc.HealthCheck
		if rq.decode(&in) {
			c.changeBalancer(rq, func(b *balancer) {
				n := slices.IndexFunc(b.HealthChecks, func(h mgc.HealthCheck) bool { return h.ID == rq.PathValue("part") })
				if n < 0 {
					rq.notFound("health check")
					return
				}
				in.ID, in.Name = b.HealthChecks[n].ID, b.HealthChecks[n].Name
				b.HealthChecks[n] = in
				rq.ok(http.StatusOK, map[string]string{"id": in.ID})
			})
		}
	})
	c.handle("DELETE "+lbBase+"/{id}/health-checks/{part}", func(rq call) {
		c.changeBalancer(rq, func(b *balancer) {
			removePart(rq, &b.HealthChecks, "health check", func(h mgc.HealthCheck) bool { return h.ID == rq.PathValue("part") }, func(h mgc.HealthCheck) bool {
				return slices.ContainsFunc(b.Backends, func(x mgc.Backend) bool { return x.HealthCheckID == h.ID })
			})
		})
	})
}

func (c *Cloud) createListener(rq call) {
	var in mgc.ListenerCreate
	if !rq.decode(&in) {
		return
	}
	c.changeBalancer(rq, func(b *balancer) {
		backend := rq.URL.Query().Get("backend_id")
		switch {
		case !slices.ContainsFunc(b.Backends, func(x mgc.Backend) bool { return x.ID == backend }):
			rq.fail(http.StatusUnprocessableEntity, "validation_error", "backend_id: there is no such backend")
		case slices.ContainsFunc(b.Listeners, func(l mgc.Listener) bool { return l.Port == in.Port || l.Name == in.Name }):
			rq.fail(http.StatusConflict, "conflict", "the port or the name is taken")
		default:
			l := mgc.Listener{ID: uuid.NewString(), Name: in.Name, BackendID: backend, Protocol: in.Protocol, Port: in.Port}
			b.Listeners = append(b.Listeners, l)
			rq.ok(http.StatusOK, l)
		}
	})
}

func (c *Cloud) createBackend(rq call) {
	var in mgc.BackendCreate
	if !rq.decode(&in) || !c.validTargets(rq, in.TargetsType, in.Targets) {
		return
	}
	c.changeBalancer(rq, func(b *balancer) {
		backend := mgc.Backend{ID: uuid.NewString(), Name: in.Name, BalanceAlgorithm: in.BalanceAlgorithm, TargetsType: in.TargetsType, Targets: c.newTargets(in.Targets)}
		for _, h := range b.HealthChecks {
			if h.Name == in.HealthCheckName {
				backend.HealthCheckID = h.ID
			}
		}
		switch {
		case in.HealthCheckName != "" && backend.HealthCheckID == "":
			rq.fail(http.StatusUnprocessableEntity, "validation_error", "health_check_name: there is no such health check")
		case slices.ContainsFunc(b.Backends, func(x mgc.Backend) bool { return x.Name == in.Name }):
			rq.fail(http.StatusConflict, "conflict", "the name is taken")
		default:
			b.Backends = append(b.Backends, backend)
			rq.ok(http.StatusOK, map[string]string{"id": backend.ID})
		}
	})
}

// removePart takes one part out unless it is in use.
func removePart[T any](rq call, parts *[]T, what string, match, used func(T) bool) {
	n := slices.IndexFunc(*parts, match)
	switch {
	case n < 0:
		rq.notFound(what)
	case used != nil && used((*parts)[n]):
		rq.fail(http.StatusConflict, "conflict", "the "+what+" is in use")
	default:
		*parts = slices.Delete(*parts, n, n+1)
		rq.ok(http.StatusOK, map[string]any{})
	}
}
