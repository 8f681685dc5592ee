package cloud

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/sync/errgroup"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/volume"
)

// product is one product's routes and the shape of its errors.
type product struct {
	name     string
	shape    httpapi.ErrorShape
	register func(chi.Router)
}

func (s *services) products() []product {
	return []product{
		{"compute", httpapi.SlugMessageDetails, s.compute.Register},
		{"volume", volume.ErrorList, s.volume.Register},
		{"network", httpapi.SlugMessageList, s.network.Register},
		{"load-balancer", httpapi.SlugMessage, s.loadbalancer.Register},
		{"iam", httpapi.SlugMessageOrigin, s.iam.Register},
		{"profile", httpapi.SlugMessage, s.profile.Register},
	}
}

// handler serves the products. local is what comes over the unix socket, to
// which only root has access: it may ask for the daemon's state and inject faults.
func (s *services) handler(o Options, local bool) (http.Handler, error) {
	var errs []error
	r := chi.NewRouter()
	r.Use(httpapi.RequestIDs, httpapi.Log(o.Logger), httpapi.Recover, httpapi.LimitBody, withoutRegion(o.Region))
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	if local && o.FaultInjection {
		r.Put("/internal/v1/faults", s.faults.ServeHTTP)
		r.Put("/internal/v1/quotas", httpapi.Handler(httpapi.SlugMessage, s.compute.SetQuota))
		r.Get("/internal/v1/hollow", httpapi.Handler(httpapi.SlugMessage, s.hollowBehavior))
		r.Put("/internal/v1/hollow", httpapi.Handler(httpapi.SlugMessage, s.setHollowBehavior))
	}
	for _, p := range s.products() {
		r.Route("/"+p.name, func(r chi.Router) {
			if !local {
				r.Use(s.faults.Disturb)
			}
			if p.name == "iam" {
				s.iam.RegisterPublic(r)
			}
			errs = append(errs, registerDocuments(r, p.name))
			r.Group(func(r chi.Router) {
				r.Use(httpapi.Authenticate(s.iam, p.shape), httpapi.Authorize(p.name, p.shape))
				notFound(r, p.shape)
				p.register(r)
			})
		})
	}
	notFound(r, httpapi.SlugMessage)
	return r, errors.Join(errs...)
}

func notFound(r chi.Router, shape httpapi.ErrorShape) {
	r.NotFound(httpapi.Handler(shape, func(http.ResponseWriter, *http.Request) error { return httpapi.NotFound("page") }))
	r.MethodNotAllowed(httpapi.Handler(shape, func(http.ResponseWriter, *http.Request) error {
		return &httpapi.Error{Status: http.StatusMethodNotAllowed, Slug: "method_not_allowed", Message: "this method is not allowed here"}
	}))
}

// withoutRegion lets /br-se1/compute be the same as /compute.
func withoutRegion(region string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rest, ok := strings.CutPrefix(r.URL.Path, "/"+region+"/"); ok {
				r.URL.Path, r.URL.RawPath = "/"+rest, ""
			}
			next.ServeHTTP(w, r)
		})
	}
}

const shutdownTimeout = 10 * time.Second

// serve answers on the TLS address and on the unix socket until ctx is done.
func serve(ctx context.Context, o Options, s *services) error {
	socket, err := listenUnix(o.dir("run", "cloud.sock"))
	if err != nil {
		return err
	}
	public, err := listenTLS(ctx, o)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	handlers := map[net.Listener]http.Handler{}
	for listener, local := range map[net.Listener]bool{socket: true, public: false} {
		if handlers[listener], err = s.handler(o, local); err != nil {
			return errors.Join(err, socket.Close(), public.Close())
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for listener, handler := range handlers {
		server := &http.Server{
			Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 3 * time.Minute,
			IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
			ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		}
		group.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				return server.Close() // requests that take longer are cut
			}
			return nil
		})
	}
	return group.Wait()
}

// listenUnix replaces the socket that a killed daemon left; the lock on the data
// folder says that there is no other one.
func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

func listenTLS(ctx context.Context, o Options) (net.Listener, error) {
	certificate, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Listen, err)
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	}), nil
}
