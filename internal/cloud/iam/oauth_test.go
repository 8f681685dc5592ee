package iam

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/crypto/bcrypt"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

const (
	email    = "maria@example.com"
	password = "correct horse battery"
	verifier = "a-verifier-that-is-as-long-as-the-standard-wants-it-to-be"
	redirect = "http://127.0.0.1:50123/callback"
)

func TestMain(m *testing.M) {
	passwordCost = bcrypt.MinCost
	os.Exit(contracttest.Run(m, "iam"))
}

// browser keeps cookies and follows nothing.

type browser struct {
	f       *fixture
	cookies []*http.Cookie
}

func (b *browser) do(method, path string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	path = strings.TrimPrefix(path, "https://198.18.0.1:8443/br-se1")
	body := ""
	if method == "POST" {
		body = form.Encode()
	} else if len(form) > 0 {
		path += "?" + form.Encode()
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	b.f.api.ServeHTTP(rec, r)
	if set := rec.Result().Cookies(); len(set) > 0 {
		b.cookies = set
	}
	return rec
}

func authorization(change ...string) url.Values {
	v := url.Values{"client_id": {"mgc"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid email mke.read mke.write"},
		"state": {"s"}, "code_challenge": {oidc.NewSHACodeChallenge(verifier)}, "code_challenge_method": {"S256"}}
	for i := 0; i+1 < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return v
}

// begin returns the id of a new sign-in.

func (b *browser) begin(change ...string) string {
	b.f.t.Helper()
	rec := b.do("GET", "/iam/oauth/authorize", authorization(change...))
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != 302 || to.Path != "/br-se1/iam/oauth/sign-in" || to.Query().Get("id") == "" {
		b.f.t.Fatalf("authorize: %d %s %s", rec.Code, to, rec.Body)
	}
	return to.Query().Get("id")
}

// signIn returns a code.

func (b *browser) signIn(change ...string) string {
	b.f.t.Helper()
	rec := b.do("POST", "/iam/oauth/sign-in", url.Values{"id": {b.begin(change...)}, "email": {email}, "password": {password}}, "Sec-Fetch-Site", "same-origin")
	return b.code(rec)
}

func (b *browser) code(rec *httptest.ResponseRecorder) string {
	b.f.t.Helper()
	if rec.Code != 303 {
		b.f.t.Fatalf("sign in: %d %s", rec.Code, rec.Body)
	}
	rec = b.do("GET", rec.Header().Get("Location"), nil)
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), redirect) || to.Query().Get("code") == "" || to.Query().Get("state") != "s" {
		b.f.t.Fatalf("callback: %d %s %s", rec.Code, to, rec.Body)
	}
	return to.Query().Get("code")
}

type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Life    int    `json:"expires_in"`
	Error   string `json:"error"`
}

func (b *browser) exchange(code string, change ...string) (int, tokens) {
	b.f.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {"mgc"}, "code_verifier": {verifier}}
	for i := 0; i+1 < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return b.token(form)
}

func (b *browser) token(form url.Values) (int, tokens) {
	b.f.t.Helper()
	rec := b.do("POST", "/iam/oauth/token", form)
	var t tokens
	if err := json.Unmarshal(rec.Body.Bytes(), &t); err != nil {
		b.f.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return rec.Code, t
}

// newPerson can sign in to Acme, where she is an owner.

func newPerson(t *testing.T) (*fixture, *browser) {
	t.Helper()
	f := newFixture(t)
	if err := f.service.SetPassword(t.Context(), email, "Acme", password); err != nil {
		t.Fatal(err)
	}
	return f, &browser{f: f}
}

func (f *fixture) refuses(token string) bool {
	_, err := f.service.Authenticate(context.Background(), token)
	return errors.Is(err, httpapi.ErrUnknownKey)
}

func TestPersonSignsIn(t *testing.T) {
	f, b := newPerson(t)
	status, got := b.exchange(b.signIn())
	if status != 200 || got.Type != "Bearer" || got.Life < 60 || got.ID == "" {
		t.Fatalf("%d %+v", status, got)
	}
	id, err := f.service.Authenticate(t.Context(), got.Access)
	if err != nil || id.TenantID != acme || id.SubjectType != "user" || !slices.Equal(id.Scopes, []string{"mke.read", "mke.write"}) || !id.Can("anything") {
		t.Errorf("%+v, %v", id, err)
	}
	if !f.refuses(got.ID) {
		t.Error("an id token is no access token")
	}
	var claims struct {
		Scope    string `json:"scope"`
		TenantID string `json:"tenant_id"`
		Issuer   string `json:"iss"`
	}
	parsed, err := jwt.ParseSigned(got.Access, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil || claims.Issuer != issuer || claims.TenantID != acme || claims.Scope != "mke.read mke.write" {
		t.Errorf("%+v, %v", claims, err)
	}
	rec := b.do("GET", "/iam/oauth/userinfo", nil, "Authorization", "Bearer "+got.Access)
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), email) {
		t.Errorf("userinfo: %d %s", rec.Code, rec.Body)
	}
	if rec := f.answer("", "GET", base+"members", "", "Authorization", "Bearer "+got.Access); rec.Code != 403 {
		t.Errorf("the token has no scope for IAM: %d %s", rec.Code, rec.Body)
	}
	b.do("POST", "/iam/oauth/revoke", url.Values{"token": {got.Access}, "client_id": {"mgc"}})
	if !f.refuses(got.Access) {
		t.Error("a revoked token")
	}
}

func TestCodesWorkOnceForWhoBegan(t *testing.T) {
	f, b := newPerson(t)
	code := b.signIn()
	if status, got := b.exchange(code, "code_verifier", "another-verifier-that-is-long-enough-for-everybody"); status != 400 || got.Access != "" {
		t.Errorf("a wrong verifier: %d", status)
	}
	if status, got := b.exchange(code, "redirect_uri", "http://127.0.0.1:1/callback"); status != 400 || got.Access != "" {
		t.Errorf("another redirect: %d", status)
	}
	if status, _ := b.exchange(code); status != 200 {
		t.Fatalf("the right one: %d", status)
	}
	if status, got := b.exchange(code); status != 400 || got.Access != "" {
		t.Errorf("the second time: %d", status)
	}
	id := b.begin()
	stranger := &browser{f: f}
	stranger.begin()
	for _, try := range []struct{ method, path string }{{"GET", "sign-in"}, {"POST", "sign-in"}, {"POST", "organization"}, {"GET", "authorize/callback"}} {
		rec := stranger.do(try.method, "/iam/oauth/"+try.path, url.Values{"id": {id}, "email": {email}, "password": {password}, "organization": {acme}})
		if rec.Code < 400 {
			t.Errorf("another browser, %s %s: %d %s", try.method, try.path, rec.Code, rec.Header())
		}
	}
	if rec := b.do("GET", "/iam/oauth/authorize/callback", url.Values{"id": {id}}); strings.Contains(rec.Header().Get("Location"), "code=") {
		t.Error("a code without a password")
	}
	f.service.now = func() time.Time { return time.Now().Add(signInLife + time.Second) }
	if rec := b.do("GET", "/iam/oauth/sign-in", url.Values{"id": {id}}); rec.Code != 400 {
		t.Errorf("a sign-in that is over: %d", rec.Code)
	}
}

func TestAuthorizationRequests(t *testing.T) {
	_, b := newPerson(t)
	for name, change := range map[string][]string{
		"unknown client":   {"client_id", "evil"},
		"other redirect":   {"redirect_uri", "https://evil.example/callback"},
		"redirect's path":  {"redirect_uri", "http://127.0.0.1:1/other"},
		"without PKCE":     {"code_challenge", ""},
		"plain PKCE":       {"code_challenge_method", "plain"},
		"token in the URL": {"response_type", "token"},
	} {
		rec := b.do("GET", "/iam/oauth/authorize", authorization(change...))
		location := rec.Header().Get("Location")
		if strings.Contains(location, "sign-in") || strings.HasPrefix(location, "https://evil") || strings.Contains(location, "/other") {
			t.Errorf("%s: %d %s", name, rec.Code, location)
		}
	}
}

func TestDiscovery(t *testing.T) {
	f := newFixture(t)
	b := &browser{f: f}
	var d oidc.DiscoveryConfiguration
	if err := json.Unmarshal(b.do("GET", "/iam/.well-known/openid-configuration", nil).Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Issuer != issuer || d.JwksURI != issuer+"/.well-known/jwks.json" || d.TokenEndpoint != issuer+"/oauth/token" ||
		!slices.Contains(d.CodeChallengeMethodsSupported, oidc.CodeChallengeMethodS256) {
		t.Errorf("got %+v", d)
	}
	for endpoint, method := range map[string]string{d.AuthorizationEndpoint: "GET", d.TokenEndpoint: "POST", d.JwksURI: "GET", d.UserinfoEndpoint: "GET",
		d.RevocationEndpoint: "POST"} {
		if rec := b.do(method, endpoint, nil); rec.Code == 404 || rec.Code == 405 || rec.Code >= 500 {
			t.Errorf("%s: %d", endpoint, rec.Code)
		}
	}
}
