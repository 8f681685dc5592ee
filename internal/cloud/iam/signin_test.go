package iam

import (
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/store"
)

// Strangers may send anything to what needs no credential.
func TestNonsenseIsRefused(t *testing.T) {
	f, b := newPerson(t)
	id := b.begin()
	for _, path := range []string{"oauth/token", "oauth/revoke", "oauth/sign-in", "oauth/organization", "oauth/authorize", "oauth/userinfo", "oauth/authorize/callback"} {
		for _, body := range []string{"", "%zz", "grant_type=refresh_token&%zz", "grant_type=authorization_code&%zz", "grant_type=client_credentials", "grant_type=refresh_token",
			"grant_type=authorization_code&code=" + strings.Repeat("x", 100_000), "grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x", "grant_type=password",
			"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=a.b.c", "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=x",
			"client_id=mgc&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=a.b.c&token=x", "token=a.b.c&client_id=mgc",
			"id=" + id + "&email=%00&password=%00", "id=" + id + "&organization=%00", "id=%27%20OR%201=1", "client_id=mgc&redirect_uri=" + url.QueryEscape(redirect) + "&scope=%00&request=a.b.c",
			`{"grant_type":"client_credentials"}`, "\xff\xfe"} {
			for _, method := range []string{"GET", "POST"} {
				target := "/iam/" + path
				if method == "GET" {
					target += "?x=1"
				}
				r := httptest.NewRequest(method, target, strings.NewReader(body))
				r.URL.RawQuery = map[string]string{"GET": body}[method]
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Authorization", "Basic %zz")
				for _, c := range b.cookies {
					r.AddCookie(c)
				}
				rec := httptest.NewRecorder()
				f.api.ServeHTTP(rec, r)
				// Revoking what is no token is done, as the standard says, and the page is for everybody who begins.
				fine := path == "oauth/revoke" || path == "oauth/sign-in" && method == "GET" || rec.Code == 302
				if rec.Code >= 500 || rec.Code < 400 && !fine || strings.Contains(rec.Header().Get("Location"), "code=") {
					t.Errorf("%s %s %.80q: %d %.200s", method, path, body, rec.Code, rec.Body)
				}
			}
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
