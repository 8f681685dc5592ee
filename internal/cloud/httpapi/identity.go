package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/access"
)

// Identity is who makes a request, and for whom.
type Identity struct {
	TenantID    string
	Subject     string   // id of the user or service account
	SubjectType string   // user | service_account | platform
	KeyID       string   // of the API key, also of the one that an access token was got with
	Scopes      []string // what the credential is for; "*" stands for all
	Permissions []string // what the person may do; "*" stands for all
	Platform    bool     // may act for any tenant, by the header x-tenant-id
}

// Allows tells whether the identity has the scope.
func (i Identity) Allows(scope string) bool { return access.Has(i.Scopes, scope) }

// Can tells whether the identity has the permission.
func (i Identity) Can(permission string) bool { return access.Has(i.Permissions, permission) }

// ErrUnknownKey is what an Authenticator returns for a key that is not valid (any more).
var ErrUnknownKey = errors.New("unknown API key")

// Authenticator finds whose an API key is.
type Authenticator interface {
	// Authenticate returns ErrUnknownKey for a key that is unknown, revoked or expired.
	Authenticate(ctx context.Context, apiKey string) (Identity, error)
}

type identityKey struct{}

// WithIdentity returns a context of a request made by id.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// IdentityOf returns who makes the request; the zero Identity outside of one.
func IdentityOf(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// TenantID returns the tenant for whom the request is made.
func TenantID(ctx context.Context) string { return IdentityOf(ctx).TenantID }

// Authenticate lets only requests with a valid API key pass and puts the
// Identity into the context. The key comes in the header X-Api-Key or as bearer token.
func Authenticate(auth Authenticator, shape ErrorShape) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := identify(r, auth)
			if err != nil {
				WriteError(w, r, shape, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(WithIdentity(r.Context(), id)))
		})
	}
}

func identify(r *http.Request, auth Authenticator) (Identity, error) {
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		key, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if key == "" {
		return Identity{}, unauthorized("an API key is required, in the header x-api-key")
	}
	id, err := auth.Authenticate(r.Context(), key)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return Identity{}, unauthorized("the API key is not valid")
	case err != nil: // a database that does not answer says nothing about the key
		return Identity{}, &Error{Status: http.StatusServiceUnavailable, Slug: "unavailable", Cause: err,
			Message: "the API key could not be checked; try again", RetryAfter: time.Second}
	}
	if tenant := r.Header.Get("x-tenant-id"); id.Platform && tenant != "" {
		id.TenantID = strings.ToLower(tenant)
	}
	return id, nil
}

func unauthorized(message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Slug: "unauthorized", Message: message}
}

// Authorize lets only those pass who have the scopes and the permission of what they ask for. What is no operation of the product
// passes: it is answered with 404 or 405, or it checks by itself.
func Authorize(product string, shape ErrorShape) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			operation, _ := access.Find(product, r.Method, pathInProduct(r))
			id := IdentityOf(r.Context())
			if scope := operation.MissingScope(id.Scopes); scope != "" {
				WriteError(w, r, shape, Forbidden("the credential lacks the scope %s", scope))
				return
			}
			if p := operation.Permission; p != "" && !id.Can(p) {
				e := Forbidden("you lack the permission %s", p)
				e.Permission, e.Product = p, product
				WriteError(w, r, shape, e)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func pathInProduct(r *http.Request) string {
	if c := chi.RouteContext(r.Context()); c != nil && c.RoutePath != "" {
		return c.RoutePath
	}
	return r.URL.Path
}
