package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"magalu.cloud/mke/internal/mgc"
)

// issuer signs tokens and publishes its keys, as IAM does.
type issuer struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	kid  string
	url  *url.URL
	away atomic.Bool
	asks atomic.Int32
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t, key: newKey(t), kid: "one"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asks.Add(1)
		if i.away.Load() || r.URL.Path != "/br-se1/iam/.well-known/jwks.json" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: i.kid, Algorithm: "ES256", Use: "sig"}}})
	}))
	t.Cleanup(server.Close)
	var err error
	if i.url, err = url.Parse(server.URL + "/br-se1"); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *issuer) claims() map[string]any {
	return map[string]any{"iss": i.url.String() + "/iam", "aud": []string{i.url.String()}, "sub": "maria", "jti": "1",
		"iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
}

func sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAccessTokens(t *testing.T) {
	i := newIssuer(t)
	w := newWorld(t, func(o *Options) { o.CloudURL = i.url })
	get := func(token string) int {
		return w.do("GET", "/v0/clusters", "", "X-Api-Key", "", "Authorization", "Bearer "+token).StatusCode
	}
	good := sign(t, jose.ES256, i.key, i.kid, i.claims())
	w.iam.keys[good] = &mgc.Identity{Active: true, TenantID: "tenant-1", Subject: "maria", Scopes: []string{"mke.read"}, Permissions: []string{"*"}}
	if status := get(good); status != 200 {
		t.Fatalf("a good token: %d", status)
	}
	if s := w.seen.Load(); s.header.Get("X-Mke-Subject") != "maria" || s.header.Get("Authorization") != "" {
		t.Errorf("mke-api got %v", s.header)
	}
	asked := w.iam.calls
	with := func(name string, value any) map[string]any {
		claims := maps.Clone(i.claims())
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
		return claims
	}
	public, err := json.Marshal(jose.JSONWebKey{Key: i.key.Public(), KeyID: i.kid})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"alg none":             base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"one"}`)) + "." + parts[1] + ".",
		"HMAC with public key": sign(t, jose.HS256, public, i.kid, i.claims()),
		"another's key":        sign(t, jose.ES256, newKey(t), i.kid, i.claims()),
		"unknown key":          sign(t, jose.ES256, newKey(t), "two", i.claims()),
		"no kid":               sign(t, jose.ES256, i.key, "", i.claims()),
		"changed":              parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root"}`)) + "." + parts[2],
		"other issuer":         sign(t, jose.ES256, i.key, i.kid, with("iss", "https://evil.example")),
		"other audience":       sign(t, jose.ES256, i.key, i.kid, with("aud", "https://evil.example")),
		"expired":              sign(t, jose.ES256, i.key, i.kid, with("exp", time.Now().Add(-time.Minute).Unix())),
		"never expires":        sign(t, jose.ES256, i.key, i.kid, with("exp", nil)),
		"not yet":              sign(t, jose.ES256, i.key, i.kid, with("nbf", time.Now().Add(time.Hour).Unix())),
		"nonsense":             "a.b.c",
	} {
		if status := get(token); status != 401 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if w.iam.calls != asked {
		t.Errorf("IAM was asked %d times about forged tokens", w.iam.calls-asked)
	}
	if n := i.asks.Load(); n > 2 {
		t.Errorf("the keys were asked for %d times", n)
	}
	if status := get(sign(t, jose.ES256, i.key, i.kid, i.claims())); status != 401 {
		t.Errorf("a token that IAM does not have on record: %d", status)
	}
}

func TestRevokedTokensEnd(t *testing.T) {
	i := newIssuer(t)
	w := newWorld(t, func(o *Options) { o.CloudURL = i.url })
	now := time.Now()
	w.gateway.identities.now = func() time.Time { return now }
	good := sign(t, jose.ES256, i.key, i.kid, i.claims())
	w.iam.keys[good] = &mgc.Identity{Active: true, TenantID: "t", Scopes: []string{"*"}, Permissions: []string{"*"}}
	get := func() int {
		return w.do("GET", "/v0/clusters", "", "X-Api-Key", "", "Authorization", "Bearer "+good).StatusCode
	}
	if status := get(); status != 200 {
		t.Fatal(status)
	}
	delete(w.iam.keys, good)
	if now = now.Add(5 * time.Second); get() != 401 {
		t.Error("a revoked token works after 5 s")
	}
}

func TestIssuerIsAwayOrRotatesKeys(t *testing.T) {
	i := newIssuer(t)
	now := time.Now()
	tokens := newTokens(i.url, http.DefaultTransport)
	tokens.now = func() time.Time { return now }
	i.away.Store(true)
	good := sign(t, jose.ES256, i.key, i.kid, i.claims())
	if err := tokens.verify(t.Context(), good); err == nil || errors.Is(err, errNoIdentity) {
		t.Errorf("without keys nobody can tell: %v", err)
	}
	i.away.Store(false)
	if err := tokens.verify(t.Context(), good); err != nil {
		t.Error(err)
	}
	i.away.Store(true)
	if now = now.Add(keysTTL); tokens.verify(t.Context(), good) != nil {
		t.Error("an old key is better than none")
	}
	i.away.Store(false)
	i.key, i.kid = newKey(t), "two"
	if now = now.Add(keysPause); tokens.verify(t.Context(), sign(t, jose.ES256, i.key, "two", i.claims())) != nil {
		t.Error("a new key must be learnt")
	}
	if !errors.Is(tokens.verify(t.Context(), good), errNoIdentity) {
		t.Error("a key that is not published any more")
	}
}

// Signing in needs no credential; everything else of IAM does.
func TestPublicPaths(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.FailureLimit = 40 })
	for path, want := range map[string]int{"/iam/.well-known/jwks.json": 200, "/br-se1/iam/oauth/authorize": 200, "/iam/oauth/token": 200, "/iam/oauth": 401,
		"/iam/oauthx/token": 401, "/profile/oauth/token": 401, "/iam/oauth/../api/v1/members": 401, "/iam/api/v1/oauth/": 401, "/iam/oauth/internal/v1": 401} {
		if res := w.do("POST", path, "a=b", "X-Api-Key", ""); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	var limited bool
	for range 80 {
		limited = limited || w.do("POST", "/iam/oauth/token", "", "X-Api-Key", "").StatusCode == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("strangers have no limit")
	}
}
