package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/db"
)

func (w *world) parts() []part {
	bare := func(ctx context.Context, _ int) error { return w.ask(ctx, w.bare, "", http.StatusOK) }
	get := func(ctx context.Context, i int) error {
		return w.ask(ctx, w.api+"/v0/clusters/"+w.id(i).String(), w.keys[1000], http.StatusOK)
	}
	list := func(size int, query string) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			return w.ask(ctx, w.api+"/v0/clusters"+query, w.keys[size], http.StatusOK)
		}
	}
	many := *workers
	return []part{
		{"floor-http", 1, bare}, {"floor-sql", 1, w.sql}, {"get", 1, get},
		{"floor-http-many", many, bare}, {"floor-sql-many", many, w.sql}, {"get-many", many, get},
		{"get-open", 0, get},
		{"kubeconfig", many, func(ctx context.Context, i int) error {
			return w.ask(ctx, w.api+"/v0/clusters/"+w.id(i).String()+"/kubeconfig", w.keys[1000], http.StatusOK)
		}},
		{"list-10", many, list(10, "")}, {"list-1000", many, list(1000, "")}, {"list-10000", many, list(10_000, "")},
		{"list-10000-first-100", many, list(10_000, "?_limit=100")}, {"list-10000-last-100", many, list(10_000, "?_limit=100&_offset=9900")},
		{"create", many, w.create(10)}, {"create-beside-10000", many, w.create(10_000)},
	}
}

func (w *world) id(i int) uuid.UUID { return w.ids[i*7919%len(w.ids)] }

// sql is what a GET of a cluster asks the database.
func (w *world) sql(ctx context.Context, i int) error {
	if _, err := w.queries.GetCluster(ctx, db.GetClusterParams{ID: w.id(i), TenantID: w.tenants[w.keys[1000]]}); err != nil {
		return err
	}
	_, err := w.queries.ListNodePools(ctx, w.id(i))
	return err
}

func (w *world) create(size int) func(context.Context, int) error {
	return func(ctx context.Context, i int) error {
		_, err := w.send(ctx, http.MethodPost, w.api+"/v0/clusters", w.keys[size],
			fmt.Sprintf(`{"name":"new-%d","node_pools":[{"name":"nodepool01","flavor":"BV4-8-40","replicas":1}]}`, i), http.StatusCreated)
		return err
	}
}

func (w *world) ask(ctx context.Context, url, key string, want int) error {
	_, err := w.send(ctx, http.MethodGet, url, key, "", want)
	return err
}

func (w *world) send(ctx context.Context, method, url, key, body string, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("X-Api-Key", key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("%s %s: %d %s", method, url, res.StatusCode, bytes.TrimSpace(answer))
	}
	return answer, err
}
