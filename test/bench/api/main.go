// Command api measures mke-api on a real PostgreSQL: get, list and create at a fixed rate with many clusters in the database.
//
// Requests start on a fixed schedule and their time counts from when they should have started, so a slow answer cannot hide the
// waiting of those behind it. The API, its outbox worker's database work excluded, runs in this process and is reached over loopback.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/testpg"
)

var (
	clusters = flag.Int("clusters", 1000, "clusters in the database, all of one tenant")
	rate     = flag.Int("rate", 50, "requests per second")
	duration = flag.Duration("duration", 10*time.Second, "duration of each part")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-api:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx := context.Background()
	fmt.Printf("mke-api: %d clusters, %d requests per second, %s each\n", *clusters, *rate, *duration)
	server, err := testpg.Start("fsync=on", "synchronous_commit=on", "full_page_writes=on")
	if err != nil {
		return err
	}
	defer server.Stop()
	dsn, err := server.NewDatabase(ctx)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, dsn+" pool_max_conns=16")
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := db.Migrate(ctx, pool); err != nil {
		return err
	}
	const plenty = 1 << 40
	quotas, err := mkeapi.NewQuotas(map[string]int64{"clusters": plenty, "nodes": plenty, "vcpus": plenty, "ram_gib": plenty})
	if err != nil {
		return err
	}
	prices, err := price.Load("", catalog.Default().NodePoolFlavors())
	if err != nil {
		return err
	}
	api := mkeapi.New(mkeapi.Options{Store: record.New(pool), Cloud: cloud{}, Catalog: catalog.Default(), Quotas: quotas, Prices: prices, Region: "br-se1",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	defer api.Wait()
	web := httptest.NewServer(api)
	defer web.Close()
	b := bench{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}, base: web.URL}
	if err := b.seed(*clusters); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, "ANALYZE"); err != nil {
		return err
	}
	return b.measure()
}

type bench struct {
	client *http.Client
	base   string
	ids    []string
}

const tenant = "7a0e3a3c-6b9e-4a55-9d5b-2f1c2b8b6f10"

func (b *bench) send(method, path, body string, want int) ([]byte, error) {
	req, err := http.NewRequest(method, b.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Mke-Tenant-Id", tenant)
	req.Header.Set("Content-Type", "application/json")
	res, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, bytes.TrimSpace(answer))
	}
	return answer, err
}

func body(name string) string {
	return `{"name":"` + name + `","node_pools":[{"name":"nodepool01","flavor":"BV4-8-40","replicas":1}]}`
}

func (b *bench) seed(n int) error {
	start := time.Now()
	for i := range n {
		answer, err := b.send(http.MethodPost, "/v0/clusters", body(fmt.Sprintf("seed-%d", i)), http.StatusCreated)
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(answer), `"id":"`)
		b.ids = append(b.ids, rest[:36])
	}
	fmt.Printf("seeded in %s\n", time.Since(start).Round(time.Millisecond))
	return nil
}

func (b *bench) measure() error {
	parts := []struct {
		name string
		call func(i int) error
	}{
		{"get", func(i int) error {
			_, err := b.send(http.MethodGet, "/v0/clusters/"+b.ids[i*7919%len(b.ids)], "", http.StatusOK)
			return err
		}},
		{"list", func(int) error {
			_, err := b.send(http.MethodGet, "/v0/clusters", "", http.StatusOK)
			return err
		}},
		{"list100", func(i int) error {
			_, err := b.send(http.MethodGet, fmt.Sprintf("/v0/clusters?_limit=100&_offset=%d", i%10*100), "", http.StatusOK)
			return err
		}},
		{"create", func(i int) error {
			_, err := b.send(http.MethodPost, "/v0/clusters", body(fmt.Sprintf("new-%d", i)), http.StatusCreated)
			return err
		}},
	}
	result := fmt.Sprintf("RESULT api clusters=%d rate=%d", *clusters, *rate)
	for _, part := range parts {
		took, err := load(*rate, *duration, part.call)
		if err != nil {
			return err
		}
		slices.Sort(took)
		at := func(percent int) float64 { return took[(len(took)-1)*percent/100].Seconds() * 1000 }
		fmt.Printf("%-8s %5d requests  p50 %7.2f ms  p99 %7.2f ms  max %7.2f ms\n", part.name, len(took), at(50), at(99), at(100))
		result += fmt.Sprintf(" %s_p50_ms=%.2f %s_p99_ms=%.2f", part.name, at(50), part.name, at(99))
	}
	fmt.Println(result)
	return nil
}

// load starts calls on schedule and returns how long after its scheduled start each one ended.
func load(rate int, d time.Duration, call func(i int) error) ([]time.Duration, error) {
	n := int(d.Seconds() * float64(rate))
	took, errs := make([]time.Duration, n), make([]error, n)
	var group sync.WaitGroup
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		group.Go(func() {
			errs[i] = call(i)
			took[i] = time.Since(due)
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

// cloud answers at once: mke-api remembers a tenant's default network, so that the cloud is not asked on every creation.
type cloud struct{}

func (cloud) DefaultNetwork(context.Context, string) (*mkeapi.Network, error) {
	n := &mkeapi.Network{VPCID: uuid.NewString()}
	for i, zone := range []string{"a", "b", "c"} {
		n.Subnets = append(n.Subnets, db.Subnet{ID: uuid.NewString(), Zone: "br-se1-" + zone, CIDR: fmt.Sprintf("172.26.%d.0/20", 16*i)})
	}
	return n, nil
}

func (cloud) Subnet(context.Context, string, string) (*mkeapi.Subnet, error) { return nil, nil }

func (cloud) Objects(context.Context, string, string) ([]mkeapi.CloudObject, error) { return nil, nil }
