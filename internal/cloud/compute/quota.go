package compute

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// checkQuota refuses one more instance of a tenant that has as many as it may. Those on their way out do not count.
func (s *Service) checkQuota(ctx context.Context, tx *sql.Tx, tenantID string) error {
	limit, err := store.Count(ctx, tx, `SELECT instances FROM compute_quotas WHERE tenant_id IN (?, '') ORDER BY tenant_id DESC LIMIT 1`, tenantID)
	if errors.Is(err, sql.ErrNoRows) {
		if s.InstanceQuota == 0 {
			return nil
		}
		limit, err = s.InstanceQuota, nil
	}
	if err != nil {
		return err
	}
	have, err := store.Count(ctx, tx, `SELECT count(*) FROM compute_instances WHERE tenant_id = ? AND desired <> 'deleted'`, tenantID)
	if err != nil || have < limit {
		return err
	}
	return badRequest("create_instance.quota_exceeded", "the quota of instances is exceeded: the tenant has %d and may have %d", have, limit)
}

// SetQuota takes PUT {"tenant_id", "instances"}: how many instances the tenant may have, or without a tenant all those without a
// number of their own; null takes the number back.
func (s *Service) SetQuota(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		TenantID  string `json:"tenant_id"`
		Instances *int   `json:"instances"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	statement, args := `DELETE FROM compute_quotas WHERE tenant_id = ?`, []any{body.TenantID}
	if body.Instances != nil {
		if *body.Instances < 0 {
			return httpapi.Invalid("instances: must be 0 or more, or null for no quota of its own")
		}
		statement = `INSERT INTO compute_quotas (tenant_id, instances) VALUES (?1, ?2) ON CONFLICT (tenant_id) DO UPDATE SET instances = ?2`
		args = append(args, *body.Instances)
	}
	if err := s.update(r.Context(), statement, args...); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}
