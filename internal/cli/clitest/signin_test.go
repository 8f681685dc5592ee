package clitest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type session struct {
	IAM       string    `yaml:"iam"`
	Access    string    `yaml:"access_token"`
	Refresh   string    `yaml:"refresh_token"`
	ExpiresAt time.Time `yaml:"expires_at"`
}

func (r *region) session() (s session) {
	r.t.Helper()
	path := filepath.Join(r.dir, "auth.yaml")
	data, err := os.ReadFile(path)
	if err != nil || yaml.Unmarshal(data, &s) != nil {
		r.t.Fatalf("%v: %s", err, data)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		r.t.Errorf("%s: %v, %v", path, info.Mode(), err)
	}
	return s
}

// age makes the access token old.
func (r *region) age() {
	r.t.Helper()
	s := r.session()
	s.ExpiresAt = time.Now().Add(-time.Minute)
	data, err := yaml.Marshal(s)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "auth.yaml"), data, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func field(t *testing.T, text, name string) string {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return fmt.Sprint(object[name])
}

// TestPersonAndProgram is what a person does: sign in, make a key, use and revoke it, sign out.
func TestPersonAndProgram(t *testing.T) {
	r := newRegion(t)
	if got := r.mgc("profile", "ssh-keys", "list"); got.code != 4 || !strings.Contains(got.stderr, "mgc auth login") {
		t.Errorf("nobody: exit %d, %s", got.code, got.stderr)
	}
	r.signIn()
	if state := r.must("auth", "status"); !strings.Contains(state, email) || !strings.Contains(state, "mke.write") || !strings.Contains(state, acme) {
		t.Errorf("status:\n%s", state)
	}
	made := r.must("auth", "api-key", "create", "ci", "--scopes", "gdb:ssh-pkey-r,mke.read", "--expiration", "2099-12-31", "--debug")
	key, id := field(t, made, "api_key"), field(t, made, "uuid")
	if len(key) != 36 || !strings.Contains(field(t, made, "end_validity"), "2100-01-01") {
		t.Errorf("the new key:\n%s", made)
	}
	r.must("auth", "api-key", "create", "ci2", "--scopes", "mke.read")
	if list := r.must("auth", "api-key", "list"); strings.Count(list, "mgc") != 2 || strings.Contains(list, key) {
		t.Errorf("two keys of one service account:\n%s", list)
	}
	if one := r.must("auth", "api-key", "get", "ci"); field(t, one, "uuid") != id || strings.Contains(one, key) {
		t.Errorf("get:\n%s", one)
	}

	t.Setenv("MGC_CLIENT_ID", id)
	t.Setenv("MGC_CLIENT_SECRET", key)
	r.must("profile", "ssh-keys", "list")
	if got := r.mgc("profile", "availability-zones", "list"); got.code != 4 || !strings.Contains(got.stderr, "gdb:azs-r") {
		t.Errorf("a scope that the key lacks: exit %d, %s", got.code, got.stderr)
	}
	t.Setenv("MGC_CLIENT_SECRET", "wrong")
	if got := r.mgc("profile", "ssh-keys", "list"); got.code != 4 {
		t.Errorf("a wrong secret: exit %d, %s", got.code, got.stderr)
	}
	t.Setenv("MGC_CLIENT_ID", "")
	if got := r.mgc("profile", "ssh-keys", "list"); got.code != 2 {
		t.Errorf("a secret without an id: exit %d, %s", got.code, got.stderr)
	}
	t.Setenv("MGC_CLIENT_SECRET", "")
	if got := r.mgc("auth", "api-key", "revoke", "ci"); got.code != 2 || !strings.Contains(got.stderr, "--no-confirm") {
		t.Errorf("exit %d, %s", got.code, got.stderr)
	}
	r.must("auth", "api-key", "revoke", "ci", "--no-confirm")
	t.Setenv("MGC_API_KEY", key)
	if got := r.mgc("profile", "ssh-keys", "list"); got.code != 4 {
		t.Errorf("a revoked key: exit %d, %s", got.code, got.stderr)
	}
	t.Setenv("MGC_API_KEY", "")
	if got := r.mgc("auth", "api-key", "get", "ci"); got.code != 3 {
		t.Errorf("a revoked key by name: exit %d", got.code)
	}

	s := r.session()
	r.must("auth", "logout")
	r.must("auth", "logout")
	if _, err := os.Stat(filepath.Join(r.dir, "auth.yaml")); !os.IsNotExist(err) {
		t.Error(err)
	}
	t.Setenv("MGC_ACCESS_TOKEN", s.Access)
	if got := r.mgc("profile", "ssh-keys", "list"); got.code != 4 {
		t.Errorf("a revoked token: exit %d, %s", got.code, got.stderr)
	}
	if out := r.printed.String(); strings.Contains(out, s.Access) || strings.Contains(out, s.Refresh) || strings.Count(out, key) != 1 || strings.Contains(out, password) {
		t.Error("a secret was printed")
	}
}

func TestHeadlessSignIn(t *testing.T) {
	r := newRegion(t)
	got := r.login(func(address string, in io.Writer) {
		end, _ := r.browse(address)
		fmt.Fprintln(in, end)
	}, "--headless")
	if got.code != 0 {
		t.Fatalf("exit %d\n%s", got.code, got.stderr)
	}
	r.must("profile", "ssh-keys", "list")
	if got := r.login(func(address string, in io.Writer) { fmt.Fprintln(in, "http://127.0.0.1:8095/callback?code=x&state=y") }, "--headless"); got.code != 2 || !strings.Contains(got.stderr, "another sign-in") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
	if got := r.login(func(address string, in io.Writer) { fmt.Fprintln(in, "wrong-code") }, "--headless"); got.code != 4 {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

// TestAnswersOfOthersAreIgnored: a page that knows the port cannot sign somebody else in.
func TestAnswersOfOthersAreIgnored(t *testing.T) {
	r := newRegion(t)
	got := r.login(func(address string, _ io.Writer) {
		back := callbackOf(t, address)
		for _, path := range []string{"/callback?code=theirs&state=guess", "/callback", "/other"} {
			res, err := http.Get(back + path)
			if err != nil || res.StatusCode < 400 {
				t.Errorf("%s: %v %v", path, res, err)
				continue
			}
			res.Body.Close()
		}
		r.browse(address)
	})
	if got.code != 0 {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

// TestOneRefreshForAll: a refresh token that is spent twice ends the whole sign-in.
func TestOneRefreshForAll(t *testing.T) {
	r := newRegion(t)
	r.signIn()
	before, asked := r.session(), r.requests("POST /br-se1/iam/oauth/token")
	r.age()
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if got := r.mgc("profile", "ssh-keys", "list"); got.code != 0 {
				t.Errorf("exit %d: %s", got.code, got.stderr)
			}
		})
	}
	group.Wait()
	if n := r.requests("POST /br-se1/iam/oauth/token") - asked; n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if after := r.session(); after.Refresh == before.Refresh || after.Access == before.Access || time.Until(after.ExpiresAt) < 10*time.Minute {
		t.Errorf("session until %s", after.ExpiresAt)
	}
}

// TestEndedSignIn has a sign-in that was revoked elsewhere, and a server that is away.
func TestEndedSignIn(t *testing.T) {
	r := newRegion(t)
	r.signIn()
	s := r.session()
	res, err := r.Client().PostForm(r.URL+"/br-se1/iam/oauth/revoke", map[string][]string{"token": {s.Refresh}, "client_id": {"mgc"}})
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	res.Body.Close()
	for range 2 {
		if got := r.mgc("profile", "ssh-keys", "list"); got.code != 4 || !strings.Contains(got.stderr, "mgc auth login") {
			t.Errorf("exit %d: %s", got.code, got.stderr)
		}
		r.age()
	}
	r.signIn()
	r.age()
	r.Close()
	if got := r.mgc("profile", "ssh-keys", "list"); got.code != 1 || !strings.Contains(got.stderr, "cannot") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
	if got := r.mgc("auth", "logout"); got.code != 1 || !strings.Contains(got.stderr, "signed out here") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
}

func TestWorkspacesHaveTheirOwnSignIn(t *testing.T) {
	r := newRegion(t)
	r.signIn()
	r.must("workspace", "create", "staging", "--copy", "default")
	if got := r.mgc("profile", "ssh-keys", "list", "--workspace", "staging"); got.code != 4 || !strings.Contains(got.stderr, "nobody is signed in") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
	r.must("config", "set", "apiKey", acmeKey, "--workspace", "staging")
	r.must("profile", "ssh-keys", "list", "--workspace", "staging")
	if list := r.must("config", "list", "--workspace", "staging"); strings.Contains(list, acmeKey) || !strings.Contains(list, "(secret)") {
		t.Error(list)
	}
	if got := r.mgc("profile", "ssh-keys", "list", "--server-url", "https://127.0.0.1:1/br-se1/profile"); got.code != 4 || !strings.Contains(got.stderr, "another host") {
		t.Errorf("a token is for its host only: exit %d: %s", got.code, got.stderr)
	}
}
