// Package graceful ends HTTP servers that are replaced, without cutting a request.
package graceful

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// drainTime is how long a server still takes new requests after it was told to end: until nobody sends it any.
	drainTime = 2 * time.Second
	// shutdownTimeout is how long requests under way may take to finish. A pod's grace period is longer than both together.
	shutdownTimeout = 25 * time.Second
)

// Serve answers requests until ctx ends, then lets those under way finish. It speaks TLS if the server has a TLS configuration.
func Serve(ctx context.Context, server *http.Server, log *slog.Logger) error {
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

// Drain returns a context that ends drainTime after ctx. In between the server is not ready any more, so that no new connections
// come, and ends the connections it has with the next answer on each.
func Drain(ctx context.Context, draining *atomic.Bool) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		draining.Store(true)
		time.AfterFunc(drainTime, cancel)
	})
	return later
}

// Closing tells clients to end their connections while the server drains, so that none is cut under a request.
func Closing(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
