package iam

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

func TestPeopleStaySignedIn(t *testing.T) {
	f, b := newPerson(t)
	refresh := func(token string, change ...string) (int, tokens) {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {"mgc"}}
		for i := 0; i+1 < len(change); i += 2 {
			form.Set(change[i], change[i+1])
		}
		return b.token(form)
	}
	stay := func() tokens {
		_, got := b.exchange(b.signIn("scope", "openid offline_access mke.read mke.write"))
		if got.Refresh == "" {
			t.Fatalf("got %+v", got)
		}
		return got
	}
	first := stay()
	status, second := refresh(first.Refresh)
	id, err := f.service.Authenticate(t.Context(), second.Access)
	if status != 200 || err != nil || id.TenantID != acme || !id.Allows("mke.write") || second.Refresh == first.Refresh {
		t.Fatalf("%d %+v %+v %v", status, second, id, err)
	}
	status, fewer := refresh(second.Refresh, "scope", "mke.read")
	if id, err := f.service.Authenticate(t.Context(), fewer.Access); status != 200 || err != nil || id.Allows("mke.write") {
		t.Errorf("fewer scopes: %d %+v %v", status, id, err)
	}
	if status, got := refresh(fewer.Refresh, "scope", "network.write"); status != 400 || got.Access != "" {
		t.Errorf("scopes that nobody agreed to: %d", status)
	}
	if status, got := refresh(second.Refresh); status != 400 || got.Access != "" {
		t.Errorf("a refresh token works once: %d", status)
	}
	if status, _ := refresh(fewer.Refresh); status != 400 || !f.refuses(fewer.Access) {
		t.Error("one that was copied ends all that came of it")
	}

	third := stay()
	b.do("POST", "/iam/oauth/revoke", url.Values{"token": {third.Refresh}, "client_id": {"mgc"}})
	if status, _ := refresh(third.Refresh); status != 400 || !f.refuses(third.Access) {
		t.Error("signing out ends everything")
	}

	fourth := stay()
	if _, err := f.service.db.Exec(t.Context(), `DELETE FROM iam_members`); err != nil {
		t.Fatal(err)
	}
	if status, got := refresh(fourth.Refresh); status != 400 || got.Access != "" {
		t.Errorf("who is no member any more: %d", status)
	}
	f.service.now = func() time.Time { return time.Now().Add(refreshLife + time.Second) }
	if status, _ := refresh(fourth.Refresh); status != 400 {
		t.Errorf("a refresh token that is over: %d", status)
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
