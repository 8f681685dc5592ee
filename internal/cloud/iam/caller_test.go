package iam

import (
	"net/url"
	"testing"

	"magalu.cloud/mke/internal/audit"
)

// The gateway learns whom a sign-in or a token is about, whether it succeeds or not. Nobody else does.
func TestGatewayLearnsWhomASignInIsAbout(t *testing.T) {
	f, b := newPerson(t)
	once := func(path string, form url.Values, headers ...string) audit.Caller {
		return audit.ParseCaller(b.do("POST", path, form, append(headers, "X-Api-Key", platformKey)...).Header().Get(audit.CallerHeader))
	}
	ask := func(path string, form url.Values, headers ...string) audit.Caller {
		t.Helper()
		headers = append(headers, "Sec-Fetch-Site", "same-origin")
		for _, key := range []string{"", acmeKey, "nonsense"} {
			if told := b.do("POST", path, form, append(headers, "X-Api-Key", key)...).Header().Get(audit.CallerHeader); told != "" {
				t.Errorf("%s with the key %q tells %q", path, key, told)
			}
		}
		return once(path, form, headers...)
	}
	signIn := func(email, password string) audit.Caller {
		t.Helper()
		f.service.limits = newSignInLimits()
		return ask("/iam/oauth/sign-in", url.Values{"id": {b.begin()}, "email": {email}, "password": {password}})
	}
	token := func(form url.Values) audit.Caller { t.Helper(); return ask("/iam/oauth/token", form) }

	var userID string
	if err := f.service.db.QueryRowContext(t.Context(), `SELECT id FROM iam_users WHERE email = ?`, email).Scan(&userID); err != nil {
		t.Fatal(err)
	}
	person := audit.Caller{TenantID: acme, SubjectType: "user", Subject: userID, SubjectName: email}
	account := f.account()
	var key keyView
	f.do(acmeKey, "POST", accounts+"/"+account.UUID+"/api-keys", `{"name":"k","scopes":["mke.read"]}`, 201, &key)
	program := audit.Caller{TenantID: acme, SubjectType: "service_account", Subject: account.UUID, SubjectName: account.Name, KeyID: key.UUID}
	credentials := func(secret string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {key.UUID}, "client_secret": {secret}}
	}
	_, stay := b.exchange(b.signIn("scope", "openid offline_access mke.read"))
	wrongVerifier := url.Values{"grant_type": {"authorization_code"}, "code": {b.signIn()}, "redirect_uri": {redirect}, "client_id": {"mgc"}, "code_verifier": {"no"}}
	for what, c := range map[string]struct{ got, want audit.Caller }{
		"signs in":                 {signIn(email, password), person},
		"has the wrong password":   {signIn(email, "wrong"), person},
		"is unknown":               {signIn("nobody@example.com", "wrong"), audit.Caller{}},
		"has the wrong verifier":   {token(wrongVerifier), person},
		"has a wrong code":         {token(url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {"mgc"}}), audit.Caller{}},
		"stays signed in":          {once("/iam/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {stay.Refresh}, "client_id": {"mgc"}}), person},
		"is a program":             {token(credentials(*key.APIKey)), program},
		"is a program, wrong key":  {token(credentials("11111111-2222-4111-8111-111111111111")), program},
		"is a program, unknown id": {token(url.Values{"grant_type": {"client_credentials"}, "client_id": {"x"}, "client_secret": {"y"}}), audit.Caller{}},
	} {
		if c.got != c.want {
			t.Errorf("who %s\n got %+v\nwant %+v", what, c.got, c.want)
		}
	}
	_, leave := b.exchange(b.signIn("scope", "openid offline_access mke.read"))
	if got := once("/iam/oauth/revoke", url.Values{"token": {leave.Refresh}, "client_id": {"mgc"}}); got != person {
		t.Errorf("who signs out: %+v", got)
	}
}

// Introspection tells names and keys, for audit records.
func TestIntrospectionNames(t *testing.T) {
	f := newFixture(t)
	account := f.account()
	var key keyView
	f.do(acmeKey, "POST", accounts+"/"+account.UUID+"/api-keys", `{"name":"k"}`, 201, &key)
	var got introspection
	f.do(platformKey, "POST", "/internal/v1/introspect", `{"api_key":"`+*key.APIKey+`"}`, 200, &got)
	if got.Name != account.Name || got.KeyID != key.UUID {
		t.Errorf("got %+v", got)
	}
	f.do(platformKey, "POST", "/internal/v1/introspect", `{"api_key":"`+acmeKey+`"}`, 200, &got)
	if got.Name != "Acme" || got.KeyID == "" || got.KeyID == key.UUID {
		t.Errorf("an organization's own key: %+v", got)
	}
}
