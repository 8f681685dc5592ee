package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/cors"
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
