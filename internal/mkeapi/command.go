package mkeapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/graceful"
	"magalu.cloud/mke/internal/logging"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	mkesync "magalu.cloud/mke/internal/mkeapi/sync"
)

const (
	outboxWorkers = 4
	// databasePatience is how long a database that does not answer is waited for at the start.
	databasePatience = 2 * time.Minute
	databasePause    = 250 * time.Millisecond
	// readyTimeout is shorter than what the chart's probe waits.
	readyTimeout = 2 * time.Second
	// kubeQPS is high: priority and fairness in the API server protects it, a client-side limit would only add waiting.
	kubeQPS, kubeBurst = 100, 200
)

type config struct {
	listen, healthAddr, metricsAddr string
	databaseURL                     string
	region                          string
	cloudEndpoint, cloudCAFile      string
	cloudAPIKeyFile                 string
	kubeconfig                      string
	quotas                          map[string]int64
	pricesFile                      string
	auditDays                       int
	logLevel                        string
	hollowFlavors                   bool
}

// NewCommand is `mke api`.
func NewCommand() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Serve the Kubernetes product's API",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.listen, "listen", ":8080", "address of the API; only the gateway may reach it")
	f.StringVar(&c.healthAddr, "health-addr", ":8081", "address of /healthz and /readyz")
	f.StringVar(&c.metricsAddr, "metrics-addr", ":8082", "address of /metrics, 0 for none")
	f.StringVar(&c.databaseURL, "database-url", os.Getenv("DATABASE_URL"), "PostgreSQL connection string (env DATABASE_URL)")
	f.StringVar(&c.region, "region", cmp.Or(os.Getenv("MKE_REGION"), "br-se1"), "region that clusters are created in (env MKE_REGION)")
	f.StringVar(&c.cloudEndpoint, "cloud-endpoint", os.Getenv("MKE_CLOUD_ENDPOINT"), "base URL of the cloud's regional products (env MKE_CLOUD_ENDPOINT)")
	f.StringVar(&c.cloudCAFile, "cloud-ca-file", os.Getenv("MKE_CLOUD_CA_FILE"), "PEM file with the CA of the cloud (env MKE_CLOUD_CA_FILE)")
	f.StringVar(&c.cloudAPIKeyFile, "cloud-api-key-file", os.Getenv("MKE_CLOUD_API_KEY_FILE"), "file with the platform's API key (env MKE_CLOUD_API_KEY_FILE)")
	f.StringVar(&c.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig of the management cluster; empty inside of it (env KUBECONFIG)")
	f.StringToInt64Var(&c.quotas, "quotas", nil, "limits of tenants that have none of their own, name=limit: clusters, node_pools_per_cluster, nodes, vcpus, ram_gib, disk_gib, load_balancers, public_ips, volumes, volume_gib")
	f.StringVar(&c.pricesFile, "prices-file", "", "YAML file with prices for estimates of cost; empty for made up ones")
	f.IntVar(&c.auditDays, "audit-retention-days", 90, "days that audit records are kept")
	f.BoolVar(&c.hollowFlavors, "hollow-flavors", false, "offer flavors of hollow machines (HL...) too, for regions that have them")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (c *config) run(ctx context.Context) error {
	log, err := newLogger(c.logLevel)
	if err != nil {
		return err
	}
	quotas, err := NewQuotas(c.quotas)
	if err != nil {
		return fmt.Errorf("--quotas: %w", err)
	}
	if c.auditDays < 1 {
		return fmt.Errorf("--audit-retention-days must be at least 1, not %d", c.auditDays)
	}
	offered := catalog.Default()
	if c.hollowFlavors {
		offered = offered.WithHollow()
	}
	prices, err := price.Load(c.pricesFile, offered.NodePoolFlavors())
	if err != nil {
		return fmt.Errorf("--prices-file: %w", err)
	}
	pool, err := c.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	cloud, err := c.openCloud()
	if err != nil {
		return err
	}
	kubeConfig, err := c.kubeConfig()
	if err != nil {
		return fmt.Errorf("find the management cluster: %w", err)
	}
	store := record.New(pool)
	mgr, err := c.manager(kubeConfig, store, log)
	if err != nil {
		return err
	}
	// The manager's own client caches what it reads; deletion is decided by what the API server says now.
	live, err := client.New(kubeConfig, client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return fmt.Errorf("connect to the management cluster: %w", err)
	}
	if err := (&mkesync.Observer{Store: store, Kube: mgr.GetClient(), Live: live}).Setup(mgr); err != nil {
		return err
	}
	metrics.Registry.MustRegister(requestSeconds, recordCollector{store})
	if err := store.EnqueueDeletions(ctx); err != nil {
		return fmt.Errorf("resume deletions: %w", err)
	}
	api := New(Options{Store: store, Cloud: cloud, Inventory: cloud, Nodes: NewClusters(live, mgr.GetClient()), Catalog: offered, Quotas: quotas, Prices: prices,
		Region: c.region, Log: log})
	worker := &mkesync.Worker{Store: store, Kube: live, Log: log, Prices: prices}

	// The API serves from the record also while the management cluster is away, so it does not wait for the manager's caches.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, c.listen, api, log) })
	group.Go(func() error { return worker.Run(ctx, outboxWorkers) })
	group.Go(func() error { return mgr.Start(ctx) })
	group.Go(func() error { return api.Tidy(ctx, time.Duration(c.auditDays)*24*time.Hour) })
	group.Go(func() error { return api.Listen(ctx) })
	group.Go(func() error { return api.CollectSignIns(ctx, cloud) })
	err = group.Wait()
	api.Wait()
	return err
}

func newLogger(level string) (*slog.Logger, error) {
	log, err := logging.New(level)
	if err == nil {
		ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	}
	return log, err
}

func (c *config) openDatabase(ctx context.Context) (*pgxpool.Pool, error) {
	if c.databaseURL == "" {
		return nil, errors.New("--database-url or DATABASE_URL is needed")
	}
	pool, err := db.Open(ctx, c.databaseURL)
	if err != nil {
		return nil, fmt.Errorf("--database-url: %w", err)
	}
	err = waitForDatabase(ctx, pool)
	if err == nil {
		err = db.Migrate(ctx, pool)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// waitForDatabase lets a database come up that was started at the same time.
func waitForDatabase(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	for {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the database does not answer: %w", err)
		case <-time.After(databasePause):
		}
	}
}

func (c *config) openCloud() (CloudClient, error) {
	key, err := os.ReadFile(c.cloudAPIKeyFile)
	if err != nil {
		return nil, fmt.Errorf("--cloud-api-key-file: %w", err)
	}
	return NewCloud(c.cloudEndpoint, c.cloudCAFile, strings.TrimSpace(string(key)), c.region)
}

func (c *config) kubeConfig() (*rest.Config, error) {
	var config *rest.Config
	var err error
	if c.kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	} else {
		config, err = rest.InClusterConfig()
	}
	if err == nil {
		config.QPS, config.Burst, config.UserAgent = kubeQPS, kubeBurst, "mke-api"
	}
	return config, err
}

// Scheme knows every kind that mke-api reads or writes.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mkev1.AddToScheme, clusterv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // a programming error
		}
	}
	return scheme
}

func (c *config) manager(kubeConfig *rest.Config, store *record.Store, log *slog.Logger) (ctrl.Manager, error) {
	mgr, err := ctrl.NewManager(kubeConfig, ctrl.Options{
		Scheme:                 Scheme(),
		Metrics:                metricsserver.Options{BindAddress: c.metricsAddr},
		HealthProbeBindAddress: c.healthAddr,
		Logger:                 logr.FromSlogHandler(log.Handler()),
		// Objects are read back from the informers' caches; their managed fields are of no use here.
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		// The priority queue of controller-runtime v0.23 may hang when it is shut down (its issue 3538).
		Controller: ctrlconfig.Controller{UsePriorityQueue: ptr.To(false)},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the management cluster: %w", err)
	}
	ready := func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		return store.Ping(ctx)
	}
	return mgr, errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("database", ready))
}

// serve answers requests until ctx ends, then lets those under way finish.
func serve(ctx context.Context, addr string, api *Server, log *slog.Logger) error {
	var draining atomic.Bool
	server := &http.Server{Addr: addr, Handler: graceful.Closing(&draining, api), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	server.RegisterOnShutdown(api.EndStreams)
	return graceful.Serve(graceful.Drain(ctx, &draining), server, log)
}
