package secrets

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

const (
	email         = "maria@example.com"
	password      = "correct-horse-battery"
	wrongPassword = "incorrect-horse-battery"
	verifier      = "a-verifier-that-is-as-long-as-the-standard-wants-it-to-be"
	redirect      = "http://127.0.0.1:50123/callback"
)

// TestNothingSecretIsLogged makes every call that carries a secret, right and wrong, and then looks for the secrets in what all servers
// logged, at the level debug, and in the audit.
func TestNothingSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	secrets := map[string]string{"organization's key": tenantKey, "platform's key": platformKey, "password": password, "wrong password": wrongPassword, "kubeconfig": kubeconfig,
		"PKCE verifier": verifier}
	keyID, key := w.makeKey()
	secrets["key of a service account"] = key
	secrets["token of a program"] = w.programToken(keyID, key)
	for name, text := range w.personTokens() {
		secrets[name] = text
	}
	w.useCluster(key, secrets["token of a program"])
	maps.Copy(secrets, w.goWrong(keyID, key))

	logged, recorded := w.journal.String(), w.records()
	for name, text := range secrets {
		if len(text) < 12 {
			t.Fatalf("%s: %q is no secret", name, text)
		}
		for where, all := range map[string]string{"log": logged, "audit": recorded} {
			if i := strings.Index(all, text); i >= 0 {
				t.Errorf("%s is in the %s: %.300s", name, where, all[max(0, i-200):])
			}
		}
	}
	for _, want := range []string{"signed in", `"msg":"audit"`, `"msg":"request"`, "ask IAM"} {
		if !strings.Contains(logged, want) {
			t.Errorf("the log has no line with %s: it was not captured", want)
		}
	}
	for _, want := range []string{"POST /oauth/token", "POST /oauth/sign-in", "POST /api/v1/service-accounts/{sa_uuid}/api-keys", "POST /v0/clusters", email, keyID} {
		if !strings.Contains(recorded, want) {
			t.Errorf("the audit has nothing about %s: %s", want, recorded)
		}
	}
}

func (w *world) decode(raw []byte, v any) {
	w.t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		w.t.Fatalf("%v: %s", err, raw)
	}
}

func (w *world) makeKey() (id, key string) {
	const accounts = "/iam/api/v1/service-accounts"
	var account, made struct {
		UUID   string
		APIKey string `json:"api_key"`
	}
	w.decode(w.do(http.MethodPost, accounts, `{"name":"ci","description":"d","email":"ci@example.com"}`, 201, "X-Api-Key", tenantKey).Body.Bytes(), &account)
	w.decode(w.do(http.MethodPost, accounts+"/"+account.UUID+"/api-keys", `{"name":"k","scopes":["mke.read","mke.write","pa:sa:manage"]}`, 201, "Authorization", "Bearer "+tenantKey).Body.Bytes(), &made)
	return made.UUID, made.APIKey
}

type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
}

func (w *world) programToken(id, key string) string {
	var got tokens
	w.decode(w.form("/iam/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {key}}, 200).Body.Bytes(), &got)
	return got.Access
}

// personTokens signs a person in, at first with a wrong password, and out.
func (w *world) personTokens() map[string]string {
	begin := url.Values{"client_id": {"mgc"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid offline_access mke.read"}, "state": {"a-state"},
		"code_challenge": {oidc.NewSHACodeChallenge(verifier)}, "code_challenge_method": {"S256"}}
	at := w.parse(w.do(http.MethodGet, "/iam/oauth/authorize?"+begin.Encode(), "", 302).Header().Get("Location"))
	signIn := url.Values{"id": {at.Query().Get("id")}, "email": {email}, "password": {wrongPassword}}
	w.form("/iam/oauth/sign-in", signIn, 401)
	signIn.Set("password", password)
	at = w.parse(w.form("/iam/oauth/sign-in", signIn, 303).Header().Get("Location"))
	code := w.parse(w.do(http.MethodGet, "/iam/oauth/authorize/callback?"+at.RawQuery, "", 302).Header().Get("Location")).Query().Get("code")
	exchange := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {"mgc"}, "code_verifier": {verifier}}
	var first, second tokens
	w.decode(w.form("/iam/oauth/token", exchange, 200).Body.Bytes(), &first)
	w.form("/iam/oauth/token", exchange, 400)
	w.decode(w.form("/iam/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}, "client_id": {"mgc"}}, 200).Body.Bytes(), &second)
	w.do(http.MethodGet, "/iam/oauth/userinfo", "", 200, "Authorization", "Bearer "+second.Access)
	w.form("/iam/oauth/revoke", url.Values{"token": {second.Refresh}, "client_id": {"mgc"}}, 200)
	return map[string]string{"code": code, "access token": first.Access, "id token": first.ID, "refresh token": first.Refresh, "second refresh token": second.Refresh, "second access token": second.Access}
}

func (w *world) useCluster(key, token string) {
	var made struct{ ID string }
	w.decode(w.do(http.MethodPost, "/v0/clusters", `{"name":"c"}`, 201, "X-Api-Key", key).Body.Bytes(), &made)
	if got := w.do(http.MethodGet, "/v0/clusters/"+made.ID+"/kubeconfig", "", 200, "Authorization", "Bearer "+token).Body.String(); !strings.Contains(got, kubeconfig) {
		w.t.Errorf("kubeconfig: %q", got)
	}
	w.do(http.MethodDelete, "/v0/clusters/"+made.ID, "", 204, "Authorization", "Bearer "+token)
}

// goWrong gives secrets where they do not belong, and to servers that are away.
func (w *world) goWrong(keyID, key string) map[string]string {
	unknownKey, lateKey, inBody := uuid.NewString(), uuid.NewString(), "a-secret-in-a-broken-body"
	w.do(http.MethodDelete, "/v0/clusters/x", "", 401, "X-Api-Key", unknownKey)
	w.do(http.MethodDelete, "/v0/clusters/x?api_key="+key+"&access_token="+key, "", 401, "Authorization", "Basic "+key)
	w.do(http.MethodPost, "/v0/clusters", `{"name":"x","password":"`+inBody+`"`, 400, "X-Api-Key", key)
	w.do(http.MethodPost, "/v0/clusters", `{"name":"x","`+inBody+`":1}`, 400, "X-Api-Key", key)
	w.do(http.MethodPost, "/iam/api/v1/service-accounts", `{"name":7,"x":"`+inBody+`"`, 422, "X-Api-Key", tenantKey)
	w.form("/iam/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {keyID}, "client_secret": {unknownKey}}, 401)
	w.form("/iam/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {inBody}, "client_id": {"mgc"}}, 400)
	w.iam.Close()
	w.do(http.MethodDelete, "/v0/clusters/x", "", 503, "X-Api-Key", lateKey)
	w.form("/iam/oauth/token", url.Values{"client_secret": {key}}, 503)
	return map[string]string{"key that nobody has": unknownKey, "key that nobody could check": lateKey, "in a broken body": inBody}
}
