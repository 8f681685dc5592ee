package controller

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/mgc"
)

// Options of the controller.
type Options struct {
	Endpoint       string
	ClusterID      string
	CloudEndpoint  string
	CloudCAFile    string
	CredentialsDir string
	HealthAddr     string
	MetricsAddr    string
}

var callSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "mke_csi_call_duration_seconds",
	Help:    "How long the controller took for calls of the sidecars, by method and gRPC code.",
	Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
}, []string{"method", "code"})

// Run serves until ctx ends. There is one replica: two would only get in each other's way.
func Run(ctx context.Context, o Options) error {
	if len(o.ClusterID) < 8 {
		return errors.New("--cluster-id must be the cluster's id: without it other clusters' volumes would be taken for this one's")
	}
	hc, err := mgc.NewHTTPClient(o.CloudCAFile)
	if err != nil {
		return err
	}
	credentials := &cloud.Credentials{Dir: o.CredentialsDir, Endpoint: o.CloudEndpoint, HTTPClient: hc}
	ready := func() bool {
		_, err := credentials.Connect()
		return err == nil
	}
	c := New(cloud.Idempotent{Storage: cloud.NewClient(credentials.Connect)}, o.ClusterID)
	go c.janitor.run(ctx)
	go serveHTTP(ctx, o.MetricsAddr, promhttp.Handler())
	go serveHTTP(ctx, o.HealthAddr, healthHandler(ready))
	return driver.Serve(ctx, o.Endpoint, func(s *grpc.Server) {
		csi.RegisterIdentityServer(s, driver.Identity{Ready: ready})
		csi.RegisterControllerServer(s, c)
	}, measure)
}

func measure(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	res, err := handler(ctx, req)
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	callSeconds.WithLabelValues(method, status.Code(err).String()).Observe(time.Since(start).Seconds())
	return res, err
}

func healthHandler(ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "the cloud's API key cannot be read", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})
	return mux
}

func serveHTTP(ctx context.Context, addr string, handler http.Handler) {
	server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		slog.Error("cannot serve", "addr", addr, "error", err)
	}
}
