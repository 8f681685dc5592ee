package compute

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// Register adds the published routes, relative to the product /compute.
func (s *Service) Register(r chi.Router) {
	routes := httpapi.Routes{Router: r, Shape: httpapi.SlugMessageDetails}
	change := func(method, path string, fn func(*http.Request) error) {
		httpapi.HandleEmpty(routes, method, path, http.StatusNoContent, fn)
	}
	httpapi.Get(routes, "/v1/machine-types", s.listMachineTypes)
	httpapi.Get(routes, "/v1/instance-types", s.listInstanceTypes)
	httpapi.Get(routes, "/v1/images", s.listImages)
	httpapi.Get(routes, "/v1/instances", s.list)
	httpapi.Handle(routes, "POST", "/v1/instances", http.StatusCreated, s.create)
	httpapi.Get(routes, "/v1/instances/{id}", s.get)
	change("DELETE", "/v1/instances/{id}", s.delete)
	change("PATCH", "/v1/instances/{id}/rename", s.rename)
	httpapi.Get(routes, "/v1/instances/{id}/init-logs", s.initLogs)
	change("POST", "/v1/instances/{id}/start", s.start)
	change("POST", "/v1/instances/{id}/stop", s.stop)
	change("POST", "/v1/instances/{id}/reboot", s.reboot)
	change("POST", "/v1/instances/{id}/suspend", s.suspend)
	change("POST", "/v1/instances/{id}/retype", s.retype)
	change("POST", "/v1/instances/network-interface/attach", s.attachInterface)
	change("POST", "/v1/instances/network-interface/detach", s.detachInterface)
	httpapi.RegisterUnavailable(routes, Unavailable)
}

func (s *Service) create(r *http.Request) (*idView, error) {
	ctx := r.Context()
	var body createRequest
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := body.validate(); err != nil {
		return nil, err
	}
	i, err := s.resolve(ctx, httpapi.TenantID(ctx), body)
	if err != nil {
		return nil, err
	}
	i.ID, i.Desired, i.Status, i.State = uuid.NewString(), desiredRunning, "provisioning", stateNew
	i.CreatedAt = store.Now()
	i.UpdatedAt, i.Hostname = i.CreatedAt, hostname(i.Name, i.ID)
	var volumes []string
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := s.checkQuota(ctx, tx, i.TenantID); err != nil {
			return err
		}
		if i.PortID = body.existingPort(); i.PortID != "" {
			if err := s.Network.ClaimPort(ctx, tx, i.TenantID, i.PortID, i.ID); err != nil {
				return err
			}
		} else if i.PortID, err = s.Network.CreatePort(ctx, tx, body.portRequest(i)); err != nil {
			return err
		}
		if err := insertInstance(ctx, tx, i); err != nil {
			return err
		}
		volumes, err = s.claimVolumes(ctx, tx, i, body.Volumes)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Volumes.Wake(volumes...)
	s.pool.Add(i.ID)
	return &idView{i.ID}, nil
}

// claimVolumes attaches volumes to an instance that is being created, and returns their ids.
func (s *Service) claimVolumes(ctx context.Context, tx *sql.Tx, i Instance, volumes []ref) (ids []string, err error) {
	for _, volume := range volumes {
		id, err := s.Volumes.Claim(ctx, tx, i, volume.ID, volume.Name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// own returns the caller's instance with the id of the path.
func (s *Service) own(r *http.Request, q store.Queryer) (Instance, error) {
	i, err := Find(r.Context(), q, chi.URLParam(r, "id"))
	if errors.Is(err, store.ErrNotFound) || (err == nil && i.TenantID != httpapi.TenantID(r.Context())) {
		return Instance{}, httpapi.NotFound("instance")
	}
	return i, err
}

func (s *Service) get(r *http.Request) (*instanceView, error) {
	expand := parseExpansion(r, "network", "image", "machine-type")
	i, err := s.own(r, s.db)
	if err != nil {
		return nil, err
	}
	views, err := s.views(r.Context(), expand, i)
	if err != nil {
		return nil, err
	}
	views[0].UserData = optional(i.UserData)
	return &views[0], nil
}

var instanceOrders = map[string]string{"id": "id", "name": "name", "created_at": "created_at", "updated_at": "updated_at", "state": "state", "status": "status"}

func (s *Service) list(r *http.Request) (*instanceList, error) {
	page, err := httpapi.ParsePage(r, 50, 1000)
	if err != nil {
		return nil, err
	}
	order, err := httpapi.ParseSort(r, "created_at:asc", instanceOrders)
	if err != nil {
		return nil, err
	}
	ctx, where := r.Context(), `WHERE tenant_id = ?1 AND (?2 = '' OR name = ?2)`
	args := []any{httpapi.TenantID(ctx), httpapi.TextParam(r, "name", "only those with this name")}
	expand := parseExpansion(r)
	total, err := store.Count(ctx, s.db, `SELECT count(*) FROM compute_instances `+where, args...)
	if err != nil {
		return nil, err
	}
	instances, err := store.Rows(ctx, s.db, scanInstance, fmt.Sprintf(`SELECT `+listColumns+` FROM compute_instances %s ORDER BY %s, id LIMIT %d OFFSET %d`, where, order, page.Limit, page.Offset), args...)
	if err != nil {
		return nil, err
	}
	views, err := s.views(ctx, expand, instances...)
	if err != nil {
		return nil, err
	}
	return &instanceList{views, newPageMeta(page, len(views), total)}, nil
}

func (s *Service) rename(r *http.Request) error {
	var body struct {
		Name *string `json:"name"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := validateName(body.Name); err != nil {
		return err
	}
	i, err := s.own(r, s.db)
	if err != nil {
		return err
	}
	return s.update(r.Context(), `UPDATE compute_instances SET name = ?, updated_at = ? WHERE id = ?`, *body.Name, store.Now(), i.ID)
}

// delete is allowed at any time and may be repeated.
func (s *Service) delete(r *http.Request) error {
	withIP, err := httpapi.BoolParam(r, "delete_public_ip", "whether its public IP goes too", false)
	if err != nil {
		return err
	}
	i, err := s.own(r, s.db)
	if err != nil {
		return err
	}
	if err := s.update(context.WithoutCancel(r.Context()), `UPDATE compute_instances SET desired = 'deleted', status = 'deleting_pending',
		delete_public_ip = ?, updated_at = ? WHERE id = ? AND desired <> 'deleted'`, withIP, store.Now(), i.ID); err != nil {
		return err
	}
	s.pool.Wake(i.ID)
	return nil
}

func (s *Service) initLogs(r *http.Request) (*logsView, error) {
	lines, err := httpapi.IntParam(r, "max-lines-count", "how many lines at most, the last ones", 50, 1, 5000)
	if err != nil {
		return nil, err
	}
	i, err := s.own(r, s.db)
	if err != nil {
		return nil, err
	}
	logs, err := s.driver(i).Logs(r.Context(), i.ID, lines)
	if err != nil {
		return nil, err
	}
	return &logsView{append([]string{}, logs...)}, nil
}
