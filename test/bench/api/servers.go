package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/gateway"
	"magalu.cloud/mke/internal/mkeapi"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// The environment makes this program one of the servers.
const (
	roleVariable     = "MKE_BENCH_API_ROLE"
	profileVariable  = "MKE_BENCH_API_PROFILE"
	databaseVariable = "MKE_BENCH_API_DATABASE"
	answerVariable   = "MKE_BENCH_API_ANSWER" // file with what the bare handler answers
)

func serveRole(role string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if file := os.Getenv(profileVariable); file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	switch role {
	case "gateway":
		cmd := gateway.NewCommand()
		cmd.SetArgs(os.Args[1:])
		return cmd.ExecuteContext(ctx)
	case "api":
		return serveAPI(ctx, os.Args[1])
	case "bare":
		return serveBare(ctx, os.Args[1])
	}
	return fmt.Errorf("no server is named %q", role)
}

// serveAPI is mke-api without what follows from its writes: no outbox worker, no management cluster.
func serveAPI(ctx context.Context, address string) error {
	pool, err := pgxpool.New(ctx, os.Getenv(databaseVariable)+" pool_max_conns=16")
	if err != nil {
		return err
	}
	defer pool.Close()
	const plenty = 1 << 40
	quotas, err := mkeapi.NewQuotas(map[string]int64{"clusters": plenty, "nodes": plenty, "vcpus": plenty, "ram_gib": plenty, "disk_gib": plenty})
	if err != nil {
		return err
	}
	prices, err := price.Load("", catalog.Default().NodePoolFlavors())
	if err != nil {
		return err
	}
	api := mkeapi.New(mkeapi.Options{Store: record.New(pool), Cloud: cloud{}, Nodes: clusters{}, Catalog: catalog.Default(), Quotas: quotas,
		Prices: prices, Region: region, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	defer api.Wait()
	return serve(ctx, address, api)
}

// serveBare answers the same JSON to everything.
func serveBare(ctx context.Context, address string) error {
	body, err := os.ReadFile(os.Getenv(answerVariable))
	if err != nil {
		return err
	}
	return serve(ctx, address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
}

func serve(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

// cloud answers at once: mke-api remembers a tenant's default network, so that the cloud is not asked on every creation.
type cloud struct{}

func (cloud) DefaultNetwork(context.Context, string) (*mkeapi.Network, error) {
	n := &mkeapi.Network{VPCID: uuid.NewString()}
	for i, zone := range []string{"a", "b", "c"} {
		n.Subnets = append(n.Subnets, db.Subnet{ID: uuid.NewString(), Zone: region + "-" + zone, CIDR: fmt.Sprintf("172.26.%d.0/20", 16*i)})
	}
	return n, nil
}

func (cloud) Subnet(context.Context, string, string) (*mkeapi.Subnet, error) { return nil, nil }

func (cloud) Objects(context.Context, string, string) ([]mkeapi.CloudObject, error) { return nil, nil }

// clusters have the kubeconfig at hand.
type clusters struct{ mkeapi.Clusters }

var kubeconfig = make([]byte, 5600) // as large as one is

func (clusters) Kubeconfig(context.Context, string, string) ([]byte, error) { return kubeconfig, nil }
