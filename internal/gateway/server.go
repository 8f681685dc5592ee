package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/cors"
)

const (
	// drainTime is how long the gateway still takes new requests after it was told to end: until nobody sends it any.
	drainTime = 2 * time.Second
	// shutdownTimeout is how long requests under way may take to finish. The pod's grace period is longer than both together.
	shutdownTimeout = 25 * time.Second
)

// newServer bounds what clients may take: header 10 s and 64 KiB, request 30 s, answer 90 s.
func newServer(address string, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr: address, Handler: handler,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 90 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug), // failed handshakes of strangers
	}
}

// serve answers requests until ctx ends, then lets those under way finish. It speaks TLS if the server has a TLS configuration.
func serve(ctx context.Context, server *http.Server, log *slog.Logger) error {
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	}()
	log.Info("serving", "address", server.Addr, "tls", server.TLSConfig != nil)
	listen := server.ListenAndServe
	if server.TLSConfig != nil {
		listen = func() error { return server.ListenAndServeTLS("", "") }
	}
	if err := listen(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// drain returns a context that ends drainTime after ctx. In between the gateway is not ready any more, so that no new connections
// come, and ends the connections it has with the next answer on each.
func drain(ctx context.Context, draining *atomic.Bool) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		draining.Store(true)
		time.AfterFunc(drainTime, cancel)
	})
	return later
}

// closing tells clients to end their connections while the gateway drains, so that none is cut under a request.
func closing(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// health answers both probes. A gateway that runs can answer, even if only to say what is not available behind it; one that drains
// is alive but not ready.
func health(draining *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if draining.Load() {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})
	return mux
}

// withCORS lets browsers call from the allowed origins. Credentials are headers that a page sets itself, never cookies.
func (c *config) withCORS(next http.Handler) http.Handler {
	if len(c.corsOrigins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: c.corsOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Accept-Language", "Idempotency-Key", "Last-Event-ID", "X-Api-Key", "X-Request-Id"},
		ExposedHeaders: []string{"X-Request-Id", "X-Mgc-Trace-Id", "Retry-After"},
		MaxAge:         600,
	}).Handler(next)
}

func checkOrigins(origins []string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.Scheme+"://"+u.Host != origin || strings.Contains(origin, "*") {
			return fmt.Errorf("--cors-origins: %q is not an origin such as https://console.example.com", origin)
		}
	}
	return nil
}
