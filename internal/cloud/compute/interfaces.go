package compute

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// interfaceBody is what attaching and detaching a network interface take.
type interfaceBody struct {
	Instance *ref `json:"instance"`
	Network  *struct {
		Interface *struct {
			ID string `json:"id"`
		} `json:"interface"`
	} `json:"network"`
}

func (b interfaceBody) validate() error {
	if err := validateRef("instance", b.Instance); err != nil {
		return err
	}
	if b.Network == nil || b.Network.Interface == nil || b.Network.Interface.ID == "" {
		return httpapi.Invalid("network.interface.id: Field required")
	}
	if len(b.Network.Interface.ID) > maxName {
		return httpapi.Invalid("network.interface.id: String should have at most %d characters", maxName)
	}
	return nil
}

func (s *Service) attachInterface(r *http.Request) error {
	return s.changeInterface(r, "attach_nic_pending", s.Network.AddInstancePort)
}

func (s *Service) detachInterface(r *http.Request) error {
	return s.changeInterface(r, "detach_nic_pending", s.Network.RemoveInstancePort)
}

// changeInterface records the change together with the instance's status. The
// reconciler plugs and unplugs; a stopped instance gets its interfaces when it starts.
func (s *Service) changeInterface(r *http.Request, status string,
	change func(ctx context.Context, tx *sql.Tx, tenantID, portID, instanceID string) error) error {
	var body interfaceBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := body.validate(); err != nil {
		return err
	}
	ctx := r.Context()
	var i Instance
	err := s.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		if i, err = tenantInstance(ctx, tx, httpapi.TenantID(ctx), *body.Instance); err != nil {
			return err
		}
		if err := mayBegin(i, "changed", []string{stateRunning, stateStopped}); err != nil {
			return err
		}
		if err := change(ctx, tx, i.TenantID, body.Network.Interface.ID, i.ID); err != nil || i.State == stateStopped {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE compute_instances SET status = ?, updated_at = ? WHERE id = ?`, status, store.Now(), i.ID)
		return err
	})
	if err != nil {
		return err
	}
	s.pool.Wake(i.ID)
	return nil
}

// tenantInstance returns the tenant's instance with the id, or without an id the only one with the name.
func tenantInstance(ctx context.Context, q store.Queryer, tenantID string, r ref) (Instance, error) {
	if r.ID != "" {
		i, err := Find(ctx, q, r.ID)
		if errors.Is(err, store.ErrNotFound) || (err == nil && i.TenantID != tenantID) {
			return Instance{}, httpapi.NotFound("instance")
		}
		return i, err
	}
	named, err := queryInstances(ctx, q, `WHERE tenant_id = ? AND name = ? LIMIT 2`, tenantID, r.Name)
	switch {
	case err != nil:
		return Instance{}, err
	case len(named) == 0:
		return Instance{}, httpapi.NotFound("instance")
	case len(named) > 1:
		return Instance{}, httpapi.Conflict("several instances are named %q: use the id", r.Name)
	}
	return named[0], nil
}

// connectInterfaces plugs what an instance has besides its primary port, and frees what leaves it.
func (s *Service) connectInterfaces(ctx context.Context, i Instance, netns string) error {
	ports, err := s.Network.InstancePorts(ctx, i.ID)
	if err != nil {
		return err
	}
	for _, port := range ports {
		switch {
		case port.Leaving:
			err = s.Network.FreeInstancePort(ctx, port.ID)
		case netns != "":
			err = s.Network.PlugPort(ctx, port.ID, netns)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// freeInterfaces gives ports besides the primary one back to the tenant: those that leave, or all of them.
func (s *Service) freeInterfaces(ctx context.Context, i Instance, all bool) error {
	ports, err := s.Network.InstancePorts(ctx, i.ID)
	if err != nil {
		return err
	}
	for _, port := range ports {
		if !all && !port.Leaving {
			continue
		}
		if err := s.Network.FreeInstancePort(ctx, port.ID); err != nil {
			return err
		}
	}
	return nil
}
