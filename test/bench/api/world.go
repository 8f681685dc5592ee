package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/testpg"
)

const region = "br-se1"

// sizes are how many clusters the tenants have; each has an API key.
var sizes = []int{10, 1000, 10_000}

// world is what is measured.
type world struct {
	dir       string
	postgres  *testpg.Server
	dsn       string
	pool      *pgxpool.Pool
	queries   *db.Queries
	iam       *httptest.Server
	keys      map[int]string // by size of the tenant
	tenants   map[string]string
	ids       []uuid.UUID // clusters of the tenant of 1,000
	client    *http.Client
	api, bare string // base URLs
	processes []process
}

type process struct {
	name string
	pid  int
	cmd  *exec.Cmd
}

func start(ctx context.Context, dir string) (*world, error) {
	w := &world{dir: dir, keys: map[int]string{}, tenants: map[string]string{}}
	if err := w.startDatabase(ctx); err != nil {
		return w, err
	}
	if err := w.seed(ctx); err != nil {
		return w, err
	}
	roots, err := w.writeCertificate()
	if err != nil {
		return w, err
	}
	w.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 500, DisableCompression: true}}
	w.startIAM()
	if err := w.startServers(ctx); err != nil {
		return w, err
	}
	pg, err := w.postgresPID(ctx)
	w.processes = append(w.processes, process{name: "postgres", pid: pg}, process{name: "this load", pid: os.Getpid()})
	return w, err
}

func (w *world) startDatabase(ctx context.Context) (err error) {
	if w.postgres, err = testpg.Start("fsync=on", "synchronous_commit=on", "full_page_writes=on"); err != nil {
		return err
	}
	if w.dsn, err = w.postgres.NewDatabase(ctx); err != nil {
		return err
	}
	if w.pool, err = pgxpool.New(ctx, w.dsn+" pool_max_conns=16"); err != nil {
		return err
	}
	w.queries = db.New(w.pool)
	return db.Migrate(ctx, w.pool)
}

// seed records clusters with a node pool and an operation each.
func (w *world) seed(ctx context.Context) error {
	for _, size := range sizes {
		tenant := uuid.NewString()
		w.keys[size] = uuid.NewString()
		w.tenants[w.keys[size]] = tenant
		_, err := w.pool.Exec(ctx, `
			WITH c AS (INSERT INTO clusters (id, tenant_id, name, description, region, version, allowed_cidrs, pods_cidr, services_cidr, vpc_id, subnets,
				control_plane_flavor, control_plane_replicas, state, message, request_hash, created_at)
			SELECT gen_random_uuid(), $1, 'cluster-' || n, '', 'br-se1', 'v1.34.2', '{}', '192.168.0.0/16', '10.96.0.0/12', gen_random_uuid()::text,
				'[{"id":"7a0e3a3c-6b9e-4a55-9d5b-2f1c2b8b6f10","zone":"br-se1-a","cidr":"172.26.0.0/20"},{"id":"7a0e3a3c-6b9e-4a55-9d5b-2f1c2b8b6f11","zone":"br-se1-b","cidr":"172.26.16.0/20"}]',
				'BV2-4-40', 1, 'Running', 'Ready', '', now() - make_interval(secs => $2 - n) FROM generate_series(1, $2::int) AS n RETURNING id),
			p AS (INSERT INTO node_pools (id, cluster_id, name, flavor, version, initial_replicas, replicas, max_pods, labels, taints, tags, subnets, state, message, request_hash)
			SELECT gen_random_uuid(), id, 'nodepool01', 'BV4-8-40', 'v1.34.2', 1, 1, 110, '{}', '[]', '{}',
				'[{"id":"7a0e3a3c-6b9e-4a55-9d5b-2f1c2b8b6f10","zone":"br-se1-a","cidr":"172.26.0.0/20"}]', 'Running', 'ready', '' FROM c)
			INSERT INTO operations (id, tenant_id, cluster_id, kind, state, percentage, phases, finished_at)
			SELECT gen_random_uuid(), $1, id, 'CreateCluster', 'Succeeded', 100, '[]', now() FROM c`, tenant, size)
		if err != nil {
			return err
		}
	}
	rows, err := w.queries.ListClusterVersions(ctx, db.ListClusterVersionsParams{TenantID: w.tenants[w.keys[1000]], Limit: 1000})
	for _, r := range rows {
		w.ids = append(w.ids, r.ID)
	}
	if err == nil {
		_, err = w.pool.Exec(ctx, "VACUUM ANALYZE")
	}
	return err
}

// startIAM knows whose the keys are.
func (w *world) startIAM() {
	w.iam = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var in struct {
			APIKey string `json:"api_key"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		tenant := w.tenants[in.APIKey]
		_ = json.NewEncoder(rw).Encode(mgc.Identity{Active: tenant != "", TenantID: tenant, Subject: "maria", SubjectType: "user",
			Scopes: []string{"mke.read", "mke.write", "pa:sa:manage"}, Permissions: []string{"*"}})
	}))
}

func (w *world) startServers(ctx context.Context) error {
	gateway, api, bare := freeAddress(), freeAddress(), freeAddress()
	w.api, w.bare = "https://"+gateway+"/"+region+"/kubernetes", "http://"+bare
	if err := os.WriteFile(filepath.Join(w.dir, "key"), []byte(uuid.NewString()), 0o600); err != nil {
		return err
	}
	if err := errors.Join(
		w.startServer("gateway", "--listen", gateway, "--tls-cert", filepath.Join(w.dir, "tls.crt"), "--tls-key", filepath.Join(w.dir, "tls.key"),
			"--api-url", "http://"+api, "--cloud-endpoint", w.iam.URL+"/"+region, "--cloud-api-key-file", filepath.Join(w.dir, "key"),
			"--health-addr", freeAddress(), "--metrics-addr", freeAddress(), "--audit-dir", filepath.Join(w.dir, "audit"),
			"--rate-limit", "1000000", "--write-limit", "1000000"),
		w.startServer("api", api)); err != nil {
		return err
	}
	answer, err := w.untilAnswer(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "answer"), answer, 0o600); err != nil {
		return err
	}
	if err := w.startServer("bare", bare); err != nil {
		return err
	}
	return w.untilListens(ctx, bare)
}

// logs are the ends of what the servers said.
func (w *world) logs() string {
	var all strings.Builder
	for _, p := range w.processes {
		text, _ := os.ReadFile(filepath.Join(w.dir, p.name+".log"))
		fmt.Fprintf(&all, "%s: …%s\n", p.name, text[max(0, len(text)-1000):])
	}
	return all.String()
}
