package iam

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
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

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	email    = "maria@example.com"
	password = "correct horse battery"
	verifier = "a-verifier-that-is-as-long-as-the-standard-wants-it-to-be"
	redirect = "http://127.0.0.1:50123/callback"
)

func TestMain(m *testing.M) {
	passwordCost = bcrypt.MinCost
	os.Exit(m.Run())
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
func (b *browser) begin() string {
	b.f.t.Helper()
	rec := b.do("GET", "/iam/oauth/authorize", authorization())
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != 302 || to.Path != "/br-se1/iam/oauth/sign-in" || to.Query().Get("id") == "" {
		b.f.t.Fatalf("authorize: %d %s %s", rec.Code, to, rec.Body)
	}
	return to.Query().Get("id")
}

// signIn returns a code.
func (b *browser) signIn() string {
	b.f.t.Helper()
	rec := b.do("POST", "/iam/oauth/sign-in", url.Values{"id": {b.begin()}, "email": {email}, "password": {password}}, "Sec-Fetch-Site", "same-origin")
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
	Access string `json:"access_token"`
	ID     string `json:"id_token"`
	Type   string `json:"token_type"`
	Life   int    `json:"expires_in"`
	Error  string `json:"error"`
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

func TestPasswords(t *testing.T) {
	f, b := newPerson(t)
	id := b.begin()
	page := b.do("GET", "/iam/oauth/sign-in", url.Values{"id": {id}})
	if page.Code != 200 || !strings.Contains(page.Body.String(), "Senha") || page.Header().Get("X-Frame-Options") != "DENY" || page.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", page.Code, page.Header())
	}
	if page := b.do("GET", "/iam/oauth/sign-in", url.Values{"id": {id}, "lang": {"en"}}); !strings.Contains(page.Body.String(), "Password") {
		t.Error("no English page")
	}
	try := func(email, password string, headers ...string) *httptest.ResponseRecorder {
		return b.do("POST", "/iam/oauth/sign-in", url.Values{"id": {id}, "email": {email}, "password": {password}}, headers...)
	}
	if rec := try(email, password, "Sec-Fetch-Site", "cross-site"); rec.Code != 403 {
		t.Errorf("a form on another site: %d", rec.Code)
	}
	if rec := try(email, password, "Origin", "https://evil.example"); rec.Code != 403 {
		t.Errorf("another origin: %d", rec.Code)
	}
	evil := `"><script>alert(1)</script>@example.com`
	if rec := try(evil, "x"); rec.Code != 401 || strings.Contains(rec.Body.String(), "<script>") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for _, wrong := range []string{"nobody@example.com", email} {
		if rec := try(wrong, "not the password"); rec.Code != 401 || !strings.Contains(rec.Body.String(), texts["pt"]["wrong"]) {
			t.Errorf("%s: %d", wrong, rec.Code)
		}
	}
	f.addMember("joao@example.com") // without a password
	if rec := try("joao@example.com", ""); rec.Code != 401 {
		t.Errorf("no password: %d", rec.Code)
	}
	var limited bool
	for range 6 {
		rec := try(email, "guess")
		limited = limited || rec.Code == 429 && rec.Header().Get("Retry-After") != ""
	}
	if !limited {
		t.Error("guessing has no limit")
	}
	for _, bad := range []string{"short", strings.Repeat("x", 73)} {
		if f.service.SetPassword(t.Context(), email, acme, bad) == nil {
			t.Errorf("%q is no password", bad)
		}
	}
	if f.service.SetPassword(t.Context(), "new@example.com", "", password) == nil || f.service.SetPassword(t.Context(), email, acmeKey, password) == nil {
		t.Error("nobody with the address, no such organization")
	}
	hashed, err := store.Text(f.service.db.QueryRowContext(t.Context(), `SELECT password_hash FROM iam_users WHERE email = ?`, email))
	if err != nil || !strings.HasPrefix(hashed, "$2") || strings.Contains(hashed, password) {
		t.Errorf("%s, %v", hashed, err)
	}
}

func TestOrganizationIsChosen(t *testing.T) {
	f, b := newPerson(t)
	f.do(otherKey, "POST", base+"members", `{"email":"`+email+`"}`, 200, nil)
	id := b.begin()
	rec := b.do("POST", "/iam/oauth/sign-in", url.Values{"id": {id}, "email": {email}, "password": {password}})
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), other) {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if rec := b.do("POST", "/iam/oauth/organization", url.Values{"id": {id}, "organization": {platformTenant}}); rec.Code < 400 {
		t.Errorf("an organization one is no member of: %d", rec.Code)
	}
	_, got := b.exchange(b.code(b.do("POST", "/iam/oauth/organization", url.Values{"id": {id}, "organization": {other}})))
	identity, err := f.service.Authenticate(t.Context(), got.Access)
	if err != nil || identity.TenantID != other {
		t.Fatalf("%+v, %v", identity, err)
	}
	f.do(otherKey, "DELETE", base+"members/"+identity.Subject, "", 204, nil)
	if !f.refuses(got.Access) {
		t.Error("who is no member any more has no access")
	}
}

func TestProgramsGetTokens(t *testing.T) {
	f := newFixture(t)
	keys := accounts + "/" + f.account().UUID + "/api-keys"
	var key keyView
	f.do(acmeKey, "POST", keys, `{"name":"k","scopes":["network.read","network.write"]}`, 201, &key)
	b := &browser{f: f}
	form := func(change ...string) url.Values {
		v := url.Values{"grant_type": {"client_credentials"}, "client_id": {key.UUID}, "client_secret": {*key.APIKey}}
		for i := 0; i+1 < len(change); i += 2 {
			v.Set(change[i], change[i+1])
		}
		return v
	}
	status, got := b.token(form("scope", "network.read"))
	id, err := f.service.Authenticate(t.Context(), got.Access)
	if status != 200 || err != nil || id.SubjectType != "service_account" || id.TenantID != acme || !slices.Equal(id.Scopes, []string{"network.read"}) ||
		!slices.Equal(id.Permissions, []string{access.All}) {
		t.Errorf("%d %+v %v", status, id, err)
	}
	if status, got := b.token(form()); status != 200 || got.Access == "" {
		t.Errorf("all scopes of the key: %d %+v", status, got)
	}
	for name, change := range map[string][]string{"more than it has": {"scope", "network.read mke.write"}, "wrong key": {"client_secret", otherKey},
		"person's key": {"client_secret", acmeKey}, "another's id": {"client_id", acme}, "no key": {"client_secret", ""}} {
		if status, got := b.token(form(change...)); status/100 != 4 || got.Access != "" || got.Error == "" {
			t.Errorf("%s: %d %+v", name, status, got)
		}
	}
	f.do(acmeKey, "DELETE", keys+"/"+key.UUID, "", 204, nil)
	if !f.refuses(got.Access) {
		t.Error("a token is good for as long as the key it was got with")
	}
}

// sign makes a token as IAM does, but for the changes.
func sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestForgedTokensAreRefused(t *testing.T) {
	f, b := newPerson(t)
	_, good := b.exchange(b.signIn())
	key, err := f.service.currentKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(good.Access, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) map[string]any {
		changed := map[string]any{}
		for k, v := range claims {
			changed[k] = v
		}
		if changed[name] = value; value == nil {
			delete(changed, name)
		}
		return changed
	}
	if f.refuses(sign(t, jose.ES256, key.private, key.id, claims)) {
		t.Fatal("the forger must be able to make a good one")
	}
	public, err := json.Marshal(jose.JSONWebKey{Key: &key.private.PublicKey, KeyID: key.id})
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	another := signingKey{"a-key-that-iam-does-not-know", private}
	parts := strings.Split(good.Access, ".")
	encode := func(v any) string { return base64.RawURLEncoding.EncodeToString(httpapi.Encode(v)) }
	for name, text := range map[string]string{
		"alg none":              encode(map[string]string{"alg": "none", "typ": "JWT"}) + "." + parts[1] + ".",
		"alg None with kid":     encode(map[string]string{"alg": "None", "kid": key.id}) + "." + parts[1] + ".",
		"HMAC with public key":  sign(t, jose.HS256, public, key.id, claims),
		"no signature":          parts[0] + "." + parts[1] + ".",
		"changed claims":        parts[0] + "." + encode(with("tenant_id", other)) + "." + parts[2],
		"key that was made up":  sign(t, jose.ES256, another.private, key.id, claims),
		"key in the header":     sign(t, jose.ES256, another.private, another.id, claims),
		"no kid":                sign(t, jose.ES256, key.private, "", claims),
		"kid is a path":         sign(t, jose.ES256, key.private, "../../etc/passwd", claims),
		"kid is SQL":            sign(t, jose.ES256, key.private, "' OR '1'='1", claims),
		"other issuer":          sign(t, jose.ES256, key.private, key.id, with("iss", "https://evil.example/iam")),
		"other audience":        sign(t, jose.ES256, key.private, key.id, with("aud", []string{"https://198.18.0.1:8443/br-ne1"})),
		"no audience":           sign(t, jose.ES256, key.private, key.id, with("aud", nil)),
		"expired":               sign(t, jose.ES256, key.private, key.id, with("exp", time.Now().Add(-time.Minute).Unix())),
		"never expires":         sign(t, jose.ES256, key.private, key.id, with("exp", nil)),
		"not yet":               sign(t, jose.ES256, key.private, key.id, with("nbf", time.Now().Add(time.Hour).Unix())),
		"id that was not given": sign(t, jose.ES256, key.private, key.id, with("jti", "made-up")),
		"no id":                 sign(t, jose.ES256, key.private, key.id, with("jti", nil)),
		"nonsense":              "a.b.c",
		"only dots":             "..",
		"as long as a header":   strings.Repeat("a.", 30000),
	} {
		if !f.refuses(text) {
			t.Errorf("%s: accepted", name)
		}
	}
	f.service.now = func() time.Time { return time.Now().Add(tokenLife + 2*time.Second) }
	if !f.refuses(good.Access) {
		t.Error("a token that is over")
	}
}

func TestKeysRotate(t *testing.T) {
	f, b := newPerson(t)
	_, first := b.exchange(b.signIn())
	published := func() (ids []string) {
		var set jose.JSONWebKeySet
		rec := b.do("GET", "/iam/.well-known/jwks.json", nil)
		if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if !k.IsPublic() {
				t.Error("a private key was published")
			}
			ids = append(ids, k.KeyID)
		}
		return ids
	}
	old := published()
	soon := time.Now().Add(keyRotation + time.Second)
	f.service.now = func() time.Time { return soon }
	key, err := f.service.currentKey(t.Context())
	if err != nil || slices.Contains(old, key.id) {
		t.Fatalf("the same key signs for ever: %v", err)
	}
	if now := published(); len(now) != 2 {
		t.Errorf("the old key is still needed: %v", now)
	}
	f.service.now = time.Now
	if f.refuses(first.Access) {
		t.Error("rotation must not end tokens")
	}
	f.service.now = func() time.Time { return soon.Add(keyLife) }
	if now := published(); len(now) != 0 {
		t.Errorf("old keys must go: %v", now)
	}
	if _, err := f.service.currentKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := published(); len(again) != 1 {
		t.Errorf("got %v", again)
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

// Whatever people and programs sign in with, well or badly, none of it is in the log, at the finest level.
func TestSecretsAreNotLogged(t *testing.T) {
	var log strings.Builder
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })

	f, b := newPerson(t)
	code := b.signIn()
	b.exchange(code, "code_verifier", "a-wrong-verifier-that-is-long-enough-for-the-standard")
	_, got := b.exchange(code)
	b.exchange(code)
	var key keyView
	f.do(acmeKey, "POST", accounts+"/"+f.account().UUID+"/api-keys", `{"name":"k","scopes":["network.read"]}`, 201, &key)
	for _, id := range []string{key.UUID, acme} {
		b.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {*key.APIKey}})
	}
	b.do("POST", "/iam/oauth/sign-in", url.Values{"id": {b.begin()}, "email": {email}, "password": {"wrong-" + password}})
	b.do("POST", "/iam/oauth/token", url.Values{"grant_type": {"password"}, "username": {email}, "password": {password}})
	b.do("POST", "/iam/oauth/revoke", url.Values{"token": {got.Access}, "client_id": {"evil"}})
	f.service.db.Close() // everything that goes wrong on our side
	b.do("POST", "/iam/oauth/sign-in", url.Values{"id": {"x"}, "email": {email}, "password": {password}})
	b.exchange(code)
	f.answer(acmeKey, "GET", base+"members", "")
	f.answer("", "GET", base+"members", "", "Authorization", "Bearer "+got.Access)

	if !strings.Contains(log.String(), "invalid_grant") || !strings.Contains(log.String(), "database is closed") {
		t.Errorf("too little was logged: %s", log.String())
	}
	for name, secret := range map[string]string{"password": password, "code": code, "verifier": verifier, "access token": got.Access, "id token": got.ID,
		"API key": *key.APIKey, "organization's key": acmeKey, "cookie": b.cookies[0].Value} {
		if strings.Contains(log.String(), secret) || strings.Contains(log.String(), url.QueryEscape(secret)) {
			t.Errorf("the log has the %s", name)
		}
	}
}
