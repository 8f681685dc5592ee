// Package clitest tests mgc against the local cloud's real IAM: only tests, for mgc itself knows nothing but HTTP.
package clitest

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cli"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/iam"
	"magalu.cloud/mke/internal/cloud/profile"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	acme     = "22222222-2222-4222-8222-222222222222"
	acmeKey  = "33333333-3333-4333-8333-333333333333"
	email    = "maria@example.com"
	password = "correct horse battery"
)

// region has IAM and profile behind TLS, as the gateway shows them, and a configuration of mgc that leads there.
type region struct {
	*httptest.Server
	t   *testing.T
	dir string // of mgc's configuration

	mu      sync.Mutex
	seen    []string // requests, method and path
	printed bytes.Buffer
}

func newRegion(t *testing.T) *region {
	t.Helper()
	r := &region{t: t, dir: filepath.Join(t.TempDir(), "mgc")}
	router := chi.NewRouter()
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		router.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	people, err := iam.New(t.Context(), db, r.URL+"/br-se1/iam")
	if err != nil {
		t.Fatal(err)
	}
	err = people.ApplyBootstrap(t.Context(), iam.Bootstrap{PlatformAPIKey: "11111111-1111-4111-8111-111111111111",
		Tenants: []iam.BootstrapTenant{{ID: acme, Name: "Acme", APIKey: acmeKey}}})
	if err == nil {
		err = people.SetPassword(t.Context(), email, "Acme", password)
	}
	if err != nil {
		t.Fatal(err)
	}
	keys, err := profile.New(t.Context(), db, "br-se1", []string{"br-se1-a"})
	if err != nil {
		t.Fatal(err)
	}
	router.Route("/br-se1/iam", func(router chi.Router) {
		people.RegisterPublic(router)
		router.With(httpapi.Authenticate(people, httpapi.SlugMessageOrigin), httpapi.Authorize("iam", httpapi.SlugMessageOrigin)).Group(people.Register)
	})
	router.Route("/br-se1/profile", func(router chi.Router) {
		router.With(httpapi.Authenticate(people, httpapi.SlugMessage), httpapi.Authorize("profile", httpapi.SlugMessage)).Group(keys.Register)
	})
	r.configure()
	return r
}

func (r *region) configure() {
	ca := filepath.Join(r.t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := cli.WriteConfig(r.dir, cli.Config{ServerURL: r.URL + "/br-se1/kubernetes", CAFile: ca}); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{"MGC_API_KEY", "MGC_ACCESS_TOKEN", "MGC_CLIENT_ID", "MGC_CLIENT_SECRET", "MGC_SERVERURL", "MGC_WORKSPACE", "DISPLAY", "WAYLAND_DISPLAY"} {
		r.t.Setenv(name, "")
	}
	r.t.Setenv("MGC_CONFIG_DIR", r.dir)
}

type outcome struct {
	stdout, stderr string
	code           int
}

// mgc runs a command without a person.
func (r *region) mgc(args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := cli.Main(r.t.Context(), cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, args)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.printed.WriteString(stdout.String() + stderr.String())
	return outcome{stdout.String(), stderr.String(), code}
}

// must is mgc that has to succeed.
func (r *region) must(args ...string) string {
	r.t.Helper()
	got := r.mgc(args...)
	if got.code != 0 {
		r.t.Fatalf("mgc %q: exit %d\n%s", args, got.code, got.stderr)
	}
	return got.stdout
}

func (r *region) requests(line string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.seen {
		if s == line {
			n++
		}
	}
	return n
}

var formField = regexp.MustCompile(`name="id" value="([^"]+)"`)

// browse signs in at an address as a browser does, and returns where it ended and what that page says.
func (r *region) browse(address string) (end *url.URL, text string) {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: r.Client().Transport, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if req.URL.Host == "127.0.0.1:8095" { // the person's machine is another one
			return http.ErrUseLastResponse
		}
		return nil
	}}
	res, err := browser.Get(address)
	if err != nil {
		r.t.Fatal(err)
	}
	form := read(r.t, res)
	id := formField.FindStringSubmatch(form)
	if id == nil {
		r.t.Fatalf("no form at %s: %s", res.Request.URL, form)
	}
	res, err = browser.PostForm(res.Request.URL.String(), url.Values{"id": {id[1]}, "email": {email}, "password": {password}})
	if err != nil {
		r.t.Fatal(err)
	}
	end = res.Request.URL
	if to, err := res.Location(); err == nil {
		end = to
	}
	return end, read(r.t, res)
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var address = regexp.MustCompile(`https://\S+/oauth/authorize\S+`)

// login runs mgc auth login; person is given the address it prints and may write to its standard input.
func (r *region) login(person func(address string, in io.Writer), args ...string) outcome {
	r.t.Helper()
	inRead, inWrite := io.Pipe()
	errRead, errWrite := io.Pipe()
	var stdout, stderr bytes.Buffer
	done := make(chan int, 1)
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	go func() {
		code := cli.Main(ctx, cli.Streams{In: inRead, Out: &stdout, Err: errWrite}, append([]string{"auth", "login"}, args...))
		errWrite.Close()
		done <- code
	}()
	found := false
	buffer := make([]byte, 4096)
	for {
		n, err := errRead.Read(buffer)
		stderr.Write(buffer[:n])
		if to := address.FindString(stderr.String()); to != "" && !found && strings.Contains(stderr.String(), to+"\n") {
			found = true
			go person(to, inWrite)
		}
		if err != nil {
			break
		}
	}
	code := <-done
	r.mu.Lock()
	defer r.mu.Unlock()
	r.printed.WriteString(stdout.String() + stderr.String())
	return outcome{stdout.String(), stderr.String(), code}
}

// signIn is a person who signs in at once.
func (r *region) signIn() {
	r.t.Helper()
	got := r.login(func(address string, _ io.Writer) {
		if _, text := r.browse(address); !strings.Contains(text, "signed in") {
			r.t.Errorf("the browser's last page: %s", text)
		}
	})
	if got.code != 0 || !strings.Contains(got.stderr, "Signed in as "+email+" in the organization "+acme) {
		r.t.Fatalf("login: exit %d\n%s", got.code, got.stderr)
	}
}

// callbackOf is where a sign-in is answered, without the path.
func callbackOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(u.Query().Get("redirect_uri"), "/callback")
}
