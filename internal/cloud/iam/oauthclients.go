package iam

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"magalu.cloud/mke/internal/cloud/store"
)

// client is a program that gets tokens. It implements op.Client.
type client struct {
	id        string
	grants    []oidc.GrantType
	method    oidc.AuthMethod
	redirects []string
	loginURL  string
}

// cliClient is `mgc` on a person's machine: public, so with PKCE, and answered on a port of the loopback.
var cliClient = client{id: "mgc", grants: []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}, method: oidc.AuthMethodNone, redirects: []string{"http://127.0.0.1/callback"}}

// keyClient is a program with an API key of a service account.
func keyClient(id string) op.Client {
	return client{id: id, grants: []oidc.GrantType{oidc.GrantTypeClientCredentials}, method: oidc.AuthMethodBasic}
}

func (s oauthStorage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != cliClient.id {
		return nil, store.ErrNotFound
	}
	c := cliClient
	c.loginURL = s.issuer + "/oauth/sign-in"
	return c, nil
}

func (c client) GetID() string                       { return c.id }
func (c client) RedirectURIs() []string              { return c.redirects }
func (c client) PostLogoutRedirectURIs() []string    { return nil }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (c client) AuthMethod() oidc.AuthMethod         { return c.method }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType         { return c.grants }
func (c client) LoginURL(id string) string            { return c.loginURL + "?" + url.Values{"id": {id}}.Encode() }
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (c client) IDTokenLifetime() time.Duration       { return tokenLife }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(scope string) bool     { return slices.Contains(allScopes(), scope) }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return 0 }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}
