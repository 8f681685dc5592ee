package iam

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/zitadel/oidc/v3/pkg/op"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// newProvider is the OAuth 2.0 and OpenID Connect server: authorization code with PKCE for people, client credentials for programs.
func (s *Service) newProvider() (http.Handler, error) {
	config := &op.Config{CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true,
		SupportedScopes: append([]string{"openid", "profile", "email", "offline_access"}, allScopes()...)}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil { // makes codes unguessable; they are found by their hash, so it need not last
		return nil, err
	}
	es256 := string(signingKey{}.SignatureAlgorithm())
	provider, err := op.NewProvider(config, oauthStorage{s}, op.StaticIssuer(s.issuer),
		op.WithCustomEndpoints(op.NewEndpoint("oauth/authorize"), op.NewEndpoint("oauth/token"), op.NewEndpoint("oauth/userinfo"),
			op.NewEndpoint("oauth/revoke"), op.NewEndpoint("oauth/end_session"), op.NewEndpoint(".well-known/jwks.json")),
		op.WithAccessTokenVerifierOpts(op.WithSupportedAccessTokenSigningAlgorithms(es256)),
		op.WithIDTokenHintVerifierOpts(op.WithSupportedIDTokenHintSigningAlgorithms(es256)),
		op.WithCORSOptions(nil))
	if err != nil {
		return nil, fmt.Errorf("issuer %q: %w", s.issuer, err)
	}
	return provider, nil
}

// audience is whom access tokens are for: every product of the region.
func (s *Service) audience() string { return strings.TrimSuffix(s.issuer, "/iam") }

// RegisterPublic adds what works without a credential: signing in, and what tokens are made and verified with.
func (s *Service) RegisterPublic(r chi.Router) {
	r = r.With(s.tellCallers)
	provider := outOfChi(s.provider).ServeHTTP
	r.Get("/.well-known/openid-configuration", provider)
	r.Get("/.well-known/jwks.json", provider)
	r.With(wellFormed).Post("/oauth/token", provider)
	r.With(wellFormed).Post("/oauth/revoke", provider)
	r.Get("/oauth/userinfo", provider)
	r.Group(func(r chi.Router) {
		r.Use(http.NewCrossOriginProtection().Handler, browsers, securePage)
		r.Get("/oauth/authorize", provider)
		r.Get("/oauth/authorize/callback", provider)
		r.Get("/oauth/sign-in", s.signInPage)
		r.Post("/oauth/sign-in", s.signIn)
		r.Post("/oauth/organization", s.chooseOrganization)
	})
}

// outOfChi hides the router we are in from the provider, which has one of its own.
func outOfChi(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(context.WithValue(r.Context(), chi.RouteCtxKey, nil))
		inner.URL.Path, inner.URL.RawPath = chi.RouteContext(r.Context()).RoutePath, ""
		next.ServeHTTP(w, inner)
	})
}

// wellFormed refuses what is no form, before the provider meets it.
func wellFormed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			httpapi.JSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": "the body is not a form"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

type browserKey struct{}

const browserCookie = "__Host-mke-sign-in"

// browsers recognizes browsers by a cookie: only the one that began to sign in can go on, so nobody can have another person finish.
func browsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(browserCookie)
		if err != nil {
			cookie = &http.Cookie{Name: browserCookie, Value: rand.Text(), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
			http.SetCookie(w, cookie)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), browserKey{}, hash(cookie.Value))))
	})
}

func browserOf(ctx context.Context) string {
	browser, _ := ctx.Value(browserKey{}).(string)
	return browser
}

// securePage lets browsers neither frame, cache nor run anything.
func securePage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
			"X-Frame-Options":         "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}
