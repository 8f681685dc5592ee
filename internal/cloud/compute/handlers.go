package compute

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// Register adds the published routes, relative to the product /compute.
func (s *Service) Register(r chi.Router) {
	handle := func(fn func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
		return httpapi.Handler(httpapi.SlugMessageDetails, fn)
	}
	r.Get("/v1/machine-types", handle(s.listMachineTypes("machine_types")))
	r.Get("/v1/instance-types", handle(s.listMachineTypes("instance_types")))
	r.Get("/v1/images", handle(s.listImages))
	r.Get("/v1/instances", handle(s.list))
	r.Post("/v1/instances", handle(s.create))
	r.Get("/v1/instances/{id}", handle(s.get))
	r.Delete("/v1/instances/{id}", handle(s.delete))
	r.Patch("/v1/instances/{id}/rename", handle(s.rename))
	r.Get("/v1/instances/{id}/init-logs", handle(s.initLogs))
	r.Post("/v1/instances/{id}/start", handle(s.start))
	r.Post("/v1/instances/{id}/stop", handle(s.stop))
	r.Post("/v1/instances/{id}/reboot", handle(s.reboot))
	r.Post("/v1/instances/{id}/suspend", handle(s.suspend))
	r.Post("/v1/instances/{id}/retype", handle(s.retype))
	r.Post("/v1/instances/network-interface/attach", handle(s.attachInterface))
	r.Post("/v1/instances/network-interface/detach", handle(s.detachInterface))
	httpapi.RegisterUnavailable(r, httpapi.SlugMessageDetails, Unavailable)
}

func (s *Service) create(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	var body createRequest
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := body.validate(); err != nil {
		return err
	}
	i, err := s.resolve(ctx, httpapi.TenantID(ctx), body)
	if err != nil {
		return err
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
		return err
	}
	s.Volumes.Wake(volumes...)
	s.pool.Add(i.ID)
	httpapi.JSON(w, http.StatusCreated, idView{i.ID})
	return nil
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

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	i, err := s.own(r, s.db)
	if err != nil {
		return err
	}
	views, err := s.views(r.Context(), parseExpansion(r, "network", "image", "machine-type"), i)
	if err != nil {
		return err
	}
	views[0].UserData = optional(i.UserData)
	httpapi.JSON(w, http.StatusOK, views[0])
	return nil
}

var instanceOrders = map[string]string{"id": "id", "name": "name", "created_at": "created_at", "updated_at": "updated_at", "state": "state", "status": "status"}

func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	page, err := httpapi.ParsePage(r, 50, 1000)
	if err != nil {
		return err
	}
	order, err := httpapi.ParseSort(r, "created_at:asc", instanceOrders)
	if err != nil {
		return err
	}
	ctx, where := r.Context(), `WHERE tenant_id = ?1 AND (?2 = '' OR name = ?2)`
	args := []any{httpapi.TenantID(ctx), r.URL.Query().Get("name")}
	total, err := store.Count(ctx, s.db, `SELECT count(*) FROM compute_instances `+where, args...)
	if err != nil {
		return err
	}
	instances, err := store.Rows(ctx, s.db, scanInstance, fmt.Sprintf(`SELECT `+listColumns+` FROM compute_instances %s ORDER BY %s, id LIMIT %d OFFSET %d`, where, order, page.Limit, page.Offset), args...)
	if err != nil {
		return err
	}
	views, err := s.views(ctx, parseExpansion(r), instances...)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"instances": views, "meta": newPageMeta(page.Limit, page.Offset, len(views), total)})
	return nil
}

func (s *Service) rename(w http.ResponseWriter, r *http.Request) error {
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
	if err := s.update(r.Context(), `UPDATE compute_instances SET name = ?, updated_at = ? WHERE id = ?`, *body.Name, store.Now(), i.ID); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

// delete is allowed at any time and may be repeated.
func (s *Service) delete(w http.ResponseWriter, r *http.Request) error {
	withIP, err := httpapi.BoolParam(r, "delete_public_ip", false)
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
	httpapi.NoContent(w)
	return nil
}

func (s *Service) initLogs(w http.ResponseWriter, r *http.Request) error {
	lines := 50
	if text := r.URL.Query().Get("max-lines-count"); text != "" {
		var err error
		if lines, err = strconv.Atoi(text); err != nil || lines < 1 || lines > 5000 {
			return httpapi.Invalid("max-lines-count: Input should be an integer between 1 and 5000")
		}
	}
	i, err := s.own(r, s.db)
	if err != nil {
		return err
	}
	logs, err := s.driver(i).Logs(r.Context(), i.ID, lines)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"logs": append([]string{}, logs...)})
	return nil
}
