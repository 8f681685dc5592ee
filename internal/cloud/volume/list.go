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

// filter is a parameter that must be equal to the column of the same name.
type filter struct{ column, about string }

var byName = filter{"name", "only those with this name"}

// listing says how a kind of objects is listed; the kind names their table.
type listing[T, V any] struct {
	kind    string
	orders  map[string]string // the columns by which it can be sorted
	filters []filter
	expand  []string // what can be expanded
	query   func(ctx context.Context, q store.Queryer, tail string, args ...any) ([]T, error)
	views   func(ctx context.Context, objects []T, expand []string) ([]V, error)
}

// list finds the part of the tenant's objects that a request asks for.
func list[T, V any](s *Service, r *http.Request, l listing[T, V]) ([]V, listMeta, error) {
	page, err := httpapi.ParsePage(r, 50, maxLimit)
	if err != nil {
		return nil, listMeta{}, err
	}
	order, err := httpapi.ParseSort(r, "created_at:asc", l.orders)
	if err != nil {
		return nil, listMeta{}, err
	}
	ctx, where := r.Context(), `WHERE tenant_id = ?`
	args := []any{httpapi.TenantID(ctx)}
	for _, f := range l.filters {
		if value := httpapi.TextParam(r, f.column, f.about); value != "" {
			where, args = where+` AND `+f.column+` = ?`, append(args, value)
		}
	}
	var expand []string
	if l.expand != nil {
		expand = httpapi.ExpandParam(r, l.expand)
	}
	total, err := store.Count(ctx, s.db, `SELECT count(*) FROM volume_`+l.kind+` `+where, args...)
	if err != nil {
		return nil, listMeta{}, err
	}
	objects, err := l.query(ctx, s.db, fmt.Sprintf(`%s ORDER BY %s, id LIMIT %d OFFSET %d`, where, order, page.Limit, page.Offset), args...)
	if err != nil {
		return nil, listMeta{}, err
	}
	shown, err := l.views(ctx, objects, expand)
	return shown, listMeta{pageView{Offset: page.Offset, Limit: page.Limit, Count: len(shown), Total: total, MaxLimit: maxLimit}}, err
}

type listMeta struct {
	Page pageView `json:"page"`
}

type pageView struct {
	Offset   int `json:"offset"`
	Limit    int `json:"limit"`
	Count    int `json:"count"`
	Total    int `json:"total"`
	MaxLimit int `json:"max_limit"`
}
