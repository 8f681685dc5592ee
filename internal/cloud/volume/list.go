package volume

import (
	"context"
	"fmt"
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

const maxLimit = 1000

// orders are the columns by which volumes and snapshots can be sorted.
var orders = map[string]string{"id": "id", "name": "name", "size": "size", "created_at": "created_at", "updated_at": "updated_at",
	"state": "state", "status": "status"}

// list answers a request for the tenant's objects of a kind, which names both their table and the list. orders are
// the columns by which it can be sorted, filters parameters that must be equal to the column of the same name.
func list[T, V any](s *Service, w http.ResponseWriter, r *http.Request, kind string, orders map[string]string, filters []string,
	query func(ctx context.Context, q store.Queryer, tail string, args ...any) ([]T, error),
	views func(ctx context.Context, objects []T, expand []string) ([]V, error)) error {
	page, err := httpapi.ParsePage(r, 50, maxLimit)
	if err != nil {
		return err
	}
	order, err := httpapi.ParseSort(r, "created_at:asc", orders)
	if err != nil {
		return err
	}
	ctx, where := r.Context(), `WHERE tenant_id = ?`
	args := []any{httpapi.TenantID(ctx)}
	for _, column := range filters {
		if value := r.URL.Query().Get(column); value != "" {
			where, args = where+` AND `+column+` = ?`, append(args, value)
		}
	}
	total, err := store.Count(ctx, s.db, `SELECT count(*) FROM volume_`+kind+` `+where, args...)
	if err != nil {
		return err
	}
	objects, err := query(ctx, s.db, fmt.Sprintf(`%s ORDER BY %s, id LIMIT %d OFFSET %d`, where, order, page.Limit, page.Offset), args...)
	if err != nil {
		return err
	}
	shown, err := views(ctx, objects, expansion(r))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{kind: shown, "meta": map[string]any{
		"page": pageView{Offset: page.Offset, Limit: page.Limit, Count: len(shown), Total: total, MaxLimit: maxLimit}}})
	return nil
}

type pageView struct {
	Offset   int `json:"offset"`
	Limit    int `json:"limit"`
	Count    int `json:"count"`
	Total    int `json:"total"`
	MaxLimit int `json:"max_limit"`
}
