package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Identity is who makes a request, and for whom.
type Identity struct {
	TenantID    string
	Subject     string   // id of the user or service account
	SubjectType string   // user | service_account | platform
	Scopes      []string // "*" stands for all
	Platform    bool     // may act for any tenant, by the header x-tenant-id
}

// Allows tells whether the identity has the scope.
func (i Identity) Allows(scope string) bool {
	return slices.Contains(i.Scopes, "*") || slices.Contains(i.Scopes, scope)
}

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

// RequireScopes lets reading requests (GET, HEAD) pass with one of the scopes
// read and write, and all others with the scope write.
func RequireScopes(read, write string, shape ErrorShape) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, missing := IdentityOf(r.Context()), write
			allowed := id.Allows(write)
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				missing = read
				allowed = allowed || id.Allows(read)
			}
			if !allowed {
				WriteError(w, r, shape, Forbidden("the API key lacks the scope %s", missing))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
