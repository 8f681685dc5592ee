// Package mkeapi is the Kubernetes product's public API: what the published OpenAPI document of Magalu Cloud describes, and the
// operations that people follow. It records wishes in PostgreSQL; package sync carries them to the management cluster.
package mkeapi

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/openapi"
	"magalu.cloud/mke/internal/problem"
)

const (
	// maxBody is what huma takes as the first size that is too large.
	maxBody = 1<<20 + 1
	// maxPage bounds lists that grow for ever: they say where they go on.
	maxPage = 1000
)

// Options is what a Server works with.
type Options struct {
	Store *record.Store
	Cloud Cloud
	// Inventory counts what tenants have in the cloud; without it quotas of that are neither shown nor checked.
	Inventory Inventory
	Nodes     Clusters
	Catalog   *catalog.Catalog
	Quotas    Quotas
	Prices    *price.Table
	Region    string
	Log       *slog.Logger
}

// Server is the API. It is an http.Handler.
type Server struct {
	store     *record.Store
	cloud     Cloud
	inventory Inventory
	nodes     Clusters
	catalog   *catalog.Catalog
	quotas    Quotas
	prices    *price.Table
	region    string
	log       *slog.Logger

	router   chi.Router
	registry huma.Registry
	openapi  *huma.OpenAPI
	site     *openapi.Site
	items    itemCache
	hub      *hub
	answers  sync.WaitGroup
}

// New returns the API.
func New(o Options) *Server {
	s := &Server{store: o.Store, cloud: o.Cloud, inventory: o.Inventory, nodes: o.Nodes, catalog: o.Catalog, quotas: o.Quotas, prices: o.Prices, region: o.Region, log: o.Log, router: chi.NewRouter(), hub: newHub()}
	s.router.Use(s.measure, s.recoverPanics, s.public)
	s.router.Post(audit.Path, s.takeAudit)
	s.router.NotFound(s.refuse(problem.NotFound))
	s.router.MethodNotAllowed(s.refuse(problem.MethodNotAllowed))
	config := huma.DefaultConfig("Kubernetes", "0.1.0")
	config.CreateHooks = nil // no $schema members and Link headers: the published answers have none
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.Transformers = []huma.Transformer{translate}
	useCatalogue(s.log)
	api := humachi.New(s.router.With(s.identify, s.noteAnswers, whole, s.idempotent), config)
	s.openapi, s.registry = api.OpenAPI(), api.OpenAPI().Components.Schemas
	s.routes(api)
	site, err := document(s.openapi)
	if err != nil {
		panic(err) // a programming error: it is made of routes and types
	}
	s.site = site
	return s
}

// ServeHTTP answers one request of the gateway.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.router.ServeHTTP(w, r) }

// Wait returns when all that requests have left to do is done.
func (s *Server) Wait() { s.answers.Wait() }

// useCatalogue replaces huma's own errors. They are a variable of huma's package; every Server sets the same.
func useCatalogue(log *slog.Logger) {
	huma.NewError = func(status int, message string, causes ...error) huma.StatusError {
		switch status {
		case http.StatusRequestEntityTooLarge:
			return problem.New(problem.BodyTooLarge)
		case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestTimeout:
			return problem.New(problem.BodyMissing)
		}
		if slices.ContainsFunc(causes, db.Unavailable) {
			log.Warn("the database is not available", "errors", causes)
			return problem.New(problem.Unavailable)
		}
		if status >= http.StatusInternalServerError { // huma also calls this when routes are registered
			log.Error("request failed", "message", message, "errors", causes)
		}
		return problem.New(problem.Internal)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, causes ...error) huma.StatusError {
		err := huma.NewError(status, message, causes...)
		if e, ok := err.(*problem.Error); ok { // huma looks for headers only on what handlers return
			for name := range e.GetHeaders() {
				ctx.SetHeader(name, e.GetHeaders().Get(name))
			}
		}
		return err
	}
}

// translate says errors in the client's language.
func translate(ctx huma.Context, _ string, v any) (any, error) {
	if e, ok := v.(*problem.Error); ok {
		return e.In(problem.LangOf(ctx.Header("Accept-Language"))), nil
	}
	return v, nil
}

type tenantKey struct{}

// tenantOf is the tenant that the gateway vouches for.
func tenantOf(ctx context.Context) string { return ctx.Value(tenantKey{}).(string) }

// identify trusts the gateway's headers: nobody else can reach this server.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant := r.Header.Get("X-Mke-Tenant-Id")
		if tenant == "" {
			problem.Write(w, r, problem.New(problem.Unauthorized))
			return
		}
		for _, name := range []string{"X-Request-Id", "X-Mgc-Trace-Id"} {
			if id := r.Header.Get(name); id != "" {
				w.Header().Set(name, id)
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, tenant)))
	})
}

// refuse answers what no route takes, to those who may ask.
func (s *Server) refuse(kind *problem.Kind) http.HandlerFunc {
	return s.identify(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { problem.Write(w, r, problem.New(kind)) })).ServeHTTP
}

func (s *Server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(cause)
				}
				s.log.Error("panic", "path", r.URL.Path, "cause", cause)
				problem.Write(w, r, problem.New(problem.Internal))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

type answerKey struct{}

// created notes that the answer to this request names something new, see noteAnswers.
func created(ctx context.Context, id uuid.UUID) {
	if p, ok := ctx.Value(answerKey{}).(*uuid.UUID); ok {
		*p = id
	}
}

// noteAnswers records that the creation of something was answered in full. As long as it was not, an identical request is taken for
// the client's repetition and gets the same answer; afterwards it meets a taken name.
func (s *Server) noteAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id uuid.UUID
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), answerKey{}, &id)))
		if id == uuid.Nil || r.Context().Err() != nil {
			return
		}
		s.answers.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
			defer cancel()
			if err := s.store.Answered(ctx, id); err != nil {
				s.log.Warn("note that a creation was answered", "id", id, "error", err)
			}
		})
	})
}

// Page is the part of a list that a client asks for. Unknown parameters such as _sort and expand are ignored.
type Page struct {
	Limit  string `query:"_limit" doc:"Items per page, at least 1"`
	Offset string `query:"_offset" doc:"Items to skip"`
}

// parse reads which part it is: all of it, unless the client says otherwise, as the published document knows no pages.
func (p Page) parse() (limit, offset int, err error) {
	var l problem.List
	limit, offset = math.MaxInt32, 0
	if p.Limit != "" {
		limit = parseAtLeast(&l, "_limit", p.Limit, 1)
	}
	if p.Offset != "" {
		offset = parseAtLeast(&l, "_offset", p.Offset, 0)
	}
	return limit, offset, l.Err()
}

func parseAtLeast(l *problem.List, field, value string, least int64) int {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < least {
		l.Add(field, problem.InvalidPage, least)
	}
	return int(n)
}

// parseID reads an id of a path. What is no UUID names nothing.
func parseID(id string, kind *problem.Kind) (uuid.UUID, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return parsed, problem.New(kind)
	}
	return parsed, nil
}

func hexOf(id uuid.UUID) string { return hex.EncodeToString(id[:]) }
