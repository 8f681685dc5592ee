package loadbalancer

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/loadbalancer/haproxy"
	"magalu.cloud/mke/internal/cloud/store"
)

const columns = `id, tenant_id, vpc_id, name, status, error, delete_public_ip, generation, document, created_at, updated_at`

func scan(row store.Scanner) (lb LoadBalancer, err error) {
	var document string
	err = row.Scan(&lb.ID, &lb.TenantID, &lb.VPCID, &lb.Name, &lb.Status, &lb.Error, &lb.DeletePublicIP, &lb.Generation,
		&document, &lb.CreatedAt, &lb.UpdatedAt)
	if err != nil {
		return lb, err
	}
	return lb, json.Unmarshal([]byte(document), &lb.Document)
}

func where(ctx context.Context, q store.Queryer, condition string, args ...any) ([]LoadBalancer, error) {
	return store.Rows(ctx, q, scan, `SELECT `+columns+` FROM lb_load_balancers WHERE `+condition, args...)
}

func byID(ctx context.Context, q store.Queryer, id string) (LoadBalancer, error) {
	return store.Row(ctx, q, scan, `SELECT `+columns+` FROM lb_load_balancers WHERE id = ?`, id)
}

// reconcile makes the machine agree with the row of a load balancer.
func (s *Service) reconcile(ctx context.Context, id string) error {
	lb, err := byID(ctx, s.db, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.clean(ctx, id)
	case err != nil:
		return err
	case lb.Status == StatusDeleting:
		return s.remove(ctx, lb)
	}
	if err := s.bring(ctx, lb); err != nil {
		_, recordErr := s.db.Exec(ctx, `UPDATE lb_load_balancers SET error = ? WHERE id = ?`,
			"the load balancer could not be configured yet; it is being tried again", id)
		return errors.Join(err, recordErr)
	}
	if lb.Status == StatusRunning && lb.Error == "" {
		return nil
	}
	_, err = s.db.Exec(ctx, `UPDATE lb_load_balancers SET status = ?, error = '' WHERE id = ? AND generation = ? AND status <> ?`,
		StatusRunning, id, lb.Generation, StatusDeleting)
	return err
}

// bring applies the addresses, then the process that listens on them.
func (s *Service) bring(ctx context.Context, lb LoadBalancer) error {
	if err := s.cfg.Network.Converge(ctx, lb.VPCID); err != nil {
		return err
	}
	process, err := s.process(lb)
	if err != nil {
		return err
	}
	addresses, err := s.targetAddresses(ctx, lb)
	if err != nil {
		return err
	}
	want := spec(lb, func(nicID string) (netip.Addr, bool) {
		ip, known := addresses[nicID]
		return ip, known
	})
	if err := process.Apply(ctx, want); err != nil {
		return err
	}
	return s.follow(lb.ID, process.PID())
}

// targetAddresses leaves out ports that do not exist any more.
func (s *Service) targetAddresses(ctx context.Context, lb LoadBalancer) (map[string]netip.Addr, error) {
	addresses := map[string]netip.Addr{}
	for _, backend := range lb.Document.Backends {
		for _, target := range backend.Targets {
			if target.NICID == "" {
				continue
			}
			ip, err := s.cfg.Network.PortAddress(ctx, s.db, lb.VPCID, target.NICID)
			var missing *httpapi.Error
			if errors.As(err, &missing) && missing.Status == http.StatusNotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			addresses[target.NICID] = ip
		}
	}
	return addresses, nil
}

// remove ends the process, then gives the addresses back with the row.
func (s *Service) remove(ctx context.Context, lb LoadBalancer) error {
	if err := s.clean(ctx, lb.ID); err != nil {
		return err
	}
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := s.cfg.Network.ReleaseOwner(ctx, tx, lb.ID, lb.DeletePublicIP); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM lb_load_balancers WHERE id = ?`, lb.ID)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.cfg.Network.Converge(ctx, lb.VPCID); err != nil {
		s.log.Error("take the addresses of a load balancer away, the network will try again", "load_balancer", lb.ID, "error", err)
	}
	return nil
}

// clean ends the processes of a load balancer and removes its folder.
func (s *Service) clean(ctx context.Context, id string) error {
	s.mu.Lock()
	s.unwatch(id)
	s.mu.Unlock()
	return haproxy.Process{Dir: filepath.Join(s.cfg.DataDir, id)}.Stop(ctx)
}
