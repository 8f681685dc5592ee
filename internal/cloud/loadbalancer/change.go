package loadbalancer

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func isNotFound(err error) bool {
	var e *httpapi.Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// tenantLB returns a load balancer of the tenant, else a 404.
func tenantLB(ctx context.Context, q store.Queryer, tenantID, id string) (LoadBalancer, error) {
	lb, err := byID(ctx, q, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && lb.TenantID != tenantID {
		return LoadBalancer{}, httpapi.NotFound("load balancer")
	}
	return lb, err
}

// change lets fn change a load balancer, records the result and has it applied.
func (s *Service) change(ctx context.Context, tenantID, id string, fn func(q store.Queryer, lb *LoadBalancer) error) error {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		lb, err := tenantLB(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		if lb.Status == StatusDeleting {
			return httpapi.Conflict("the load balancer is being deleted")
		}
		if err := fn(tx, &lb); err != nil {
			return err
		}
		if lb.Status == StatusRunning {
			lb.Status = StatusUpdating
		}
		document, err := json.Marshal(lb.Document)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE lb_load_balancers SET name = ?, status = ?, document = ?, generation = generation + 1, updated_at = ?
			WHERE id = ?`, lb.Name, lb.Status, string(document), store.Now(), id)
		return err
	})
	if err == nil {
		s.pool.Add(id)
	}
	return err
}

// delete marks a load balancer for removal; doing it again succeeds until it is gone.
func (s *Service) delete(ctx context.Context, tenantID, id string, removePublicIP bool) error {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		lb, err := tenantLB(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE lb_load_balancers SET status = ?, delete_public_ip = ?, generation = generation + 1, updated_at = ?
			WHERE id = ?`, StatusDeleting, lb.DeletePublicIP || removePublicIP, store.Now(), id)
		return err
	})
	if err == nil {
		s.pool.Add(id)
	}
	return err
}

func (d *Document) backend(id string) (*Backend, error) {
	i := slices.IndexFunc(d.Backends, func(b Backend) bool { return b.ID == id })
	if i < 0 {
		return nil, httpapi.NotFound("backend")
	}
	return &d.Backends[i], nil
}

func (d *Document) listener(id string) (*Listener, error) {
	i := slices.IndexFunc(d.Listeners, func(l Listener) bool { return l.ID == id })
	if i < 0 {
		return nil, httpapi.NotFound("listener")
	}
	return &d.Listeners[i], nil
}

func (d *Document) healthCheck(id string) (*HealthCheck, error) {
	i := slices.IndexFunc(d.HealthChecks, func(c HealthCheck) bool { return c.ID == id })
	if i < 0 {
		return nil, httpapi.NotFound("health check")
	}
	return &d.HealthChecks[i], nil
}

// setHealthCheck gives a backend another health check, none for "".
func (d *Document) setHealthCheck(backend *Backend, id string) error {
	if id != "" {
		if _, err := d.healthCheck(id); err != nil {
			return httpapi.Invalid("health_check_id: there is no health check %s", id)
		}
	}
	backend.HealthCheckID = id
	return nil
}

func (d *Document) removeBackend(id string) error {
	if _, err := d.backend(id); err != nil {
		return err
	}
	for _, l := range d.Listeners {
		if l.BackendID == id {
			return httpapi.Conflict("the backend is in use by listener %s", l.Name)
		}
	}
	d.Backends = slices.DeleteFunc(d.Backends, func(b Backend) bool { return b.ID == id })
	return nil
}

func (d *Document) removeListener(id string) error {
	if _, err := d.listener(id); err != nil {
		return err
	}
	d.Listeners = slices.DeleteFunc(d.Listeners, func(l Listener) bool { return l.ID == id })
	return nil
}

func (d *Document) removeHealthCheck(id string) error {
	if _, err := d.healthCheck(id); err != nil {
		return err
	}
	for _, b := range d.Backends {
		if b.HealthCheckID == id {
			return httpapi.Conflict("the health check is in use by backend %s", b.Name)
		}
	}
	d.HealthChecks = slices.DeleteFunc(d.HealthChecks, func(c HealthCheck) bool { return c.ID == id })
	return nil
}

func (d *Document) removeACL(id string) error {
	before := len(d.ACLs)
	d.ACLs = slices.DeleteFunc(d.ACLs, func(a ACL) bool { return a.ID == id })
	if len(d.ACLs) == before {
		return httpapi.NotFound("ACL")
	}
	return nil
}

// addTargets leaves out those that are there already, so that a repeated request does no harm.
func (b *Backend) addTargets(targets []Target) error {
	for _, target := range targets {
		if !slices.ContainsFunc(b.Targets, target.same) {
			b.Targets = append(b.Targets, target)
		}
	}
	if len(b.Targets) > maxTargets {
		return httpapi.Invalid("targets: at most %d", maxTargets)
	}
	return nil
}

// replaceTargets keeps the ids of those that stay, and with them their connections.
func (b *Backend) replaceTargets(targets []Target) {
	for i, target := range targets {
		if j := slices.IndexFunc(b.Targets, target.same); j >= 0 {
			targets[i] = b.Targets[j]
		}
	}
	b.Targets = targets
}

func (b *Backend) removeTarget(id string) error {
	before := len(b.Targets)
	b.Targets = slices.DeleteFunc(b.Targets, func(t Target) bool { return t.ID == id })
	if len(b.Targets) == before {
		return httpapi.NotFound("target")
	}
	return nil
}
