package iam

import (
	"context"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cli/oauth"
	"magalu.cloud/mke/internal/cloud/store"
)

// browserPatience is for machines that have much else to do; on an idle one a test takes two seconds.
const browserPatience = 2 * time.Minute

const (
	emailField    = chromedp.CSS("#email")
	passwordField = chromedp.CSS("#password")
	alert         = chromedp.CSS("[role=alert]")
)

// web is IAM at an address of the loopback that a real browser can open.
type web struct {
	t       *testing.T
	service *Service
	server  *httptest.Server
	issuer  string
}

func newWeb(t *testing.T) *web {
	t.Helper()
	router := chi.NewRouter()
	w := &web{t: t, server: httptest.NewTLSServer(router)}
	t.Cleanup(w.server.Close)
	w.issuer = w.server.URL + "/br-se1/iam"
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if w.service, err = New(t.Context(), db, w.issuer); err != nil {
		t.Fatal(err)
	}
	if err := w.service.ApplyBootstrap(t.Context(), bootstrap); err != nil {
		t.Fatal(err)
	}
	router.Route("/br-se1/iam", w.service.RegisterPublic)
	return w
}

// begin begins to sign in as `mgc auth login` does.
func (w *web) begin() *oauth.Flow {
	w.t.Helper()
	server, err := oauth.Discover(w.t.Context(), w.server.Client(), w.issuer)
	if err != nil {
		w.t.Fatal(err)
	}
	flow, err := server.Begin(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return flow
}

// signedIn waits for the browser's answer and exchanges it, as mgc does.
func (w *web) signedIn(ctx context.Context, flow *oauth.Flow) *oauth.Session {
	w.t.Helper()
	code, err := flow.Wait(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	session, err := flow.Exchange(ctx, w.issuer, code)
	if err != nil {
		w.t.Fatal(err)
	}
	return session
}

// tab is a browser's tab in which pages run no scripts.
type tab struct {
	t     *testing.T
	ctx   context.Context
	mu    sync.Mutex
	hosts map[string]bool // that it asked for anything
}

func newTab(t *testing.T, o emulation.SetUserAgentOverrideParams) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Fatalf("%v: run hack/setup-test.sh", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.WSURLReadTimeout(browserPatience),
		chromedp.WindowSize(900, 700))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	b := &tab{t: t, ctx: ctx, hosts: map[string]bool{}}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	var cancel context.CancelFunc
	b.ctx, cancel = context.WithTimeout(ctx, browserPatience)
	t.Cleanup(cancel)
	o.UserAgent = "chromium"
	b.do(command(network.Enable, network.EnableParams{}), command(emulation.SetUserAgentOverride, o),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	return b
}

func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (b *tab) note(event any) {
	if e, ok := event.(*network.EventRequestWillBeSent); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		if u, err := url.Parse(e.Request.URL); err == nil {
			b.hosts[u.Hostname()] = true
		}
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// shown is what a person, or their screen reader, has before them.
type shown struct {
	Language   string   `json:"language"`
	Title      string   `json:"title"`
	Alert      string   `json:"alert"`
	Email      string   `json:"email"`
	Password   string   `json:"password"`
	Unlabelled []string `json:"unlabelled"`
	TooWide    bool     `json:"too_wide"`
}

const look = `({language: document.documentElement.lang, title: document.title, alert: document.querySelector('[role=alert]')?.innerText ?? '',
	email: document.querySelector('#email')?.value ?? '', password: document.querySelector('#password')?.value ?? '',
	unlabelled: [...document.querySelectorAll('input:not([type=hidden])')].filter(i => !i.labels.length).map(i => i.name),
	too_wide: document.documentElement.scrollWidth > innerWidth})`

// look tells what the page shows, and keeps a picture of it where "go test -artifacts" wants it.
func (b *tab) look(name string) shown {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[shown](look))
	if err != nil {
		b.t.Fatal(err)
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if len(s.Unlabelled) > 0 || s.TooWide {
		b.t.Errorf("%s: %+v", name, s)
	}
	return s
}

// A person signs in with a real browser: first with the wrong password, which changes nothing, then with theirs, and mgc has its tokens.
func TestSignInWithABrowser(t *testing.T) {
	w := newWeb(t)
	if err := w.service.SetPassword(t.Context(), email, "Acme", password); err != nil {
		t.Fatal(err)
	}
	b, flow := newTab(t, emulation.SetUserAgentOverrideParams{AcceptLanguage: "pt-BR,pt;q=0.9,en;q=0.8"}), w.begin()
	b.do(chromedp.Navigate(flow.URL), chromedp.WaitVisible(emailField+":focus")) // where one types at once
	if s := b.look("first"); s.Language != "pt" || !strings.HasPrefix(s.Title, "Entrar") || s.Alert != "" {
		t.Errorf("the page at first: %+v", s)
	}
	b.do(chromedp.SendKeys(emailField, email), chromedp.SendKeys(passwordField, "wrong\r"), chromedp.WaitVisible(alert), chromedp.WaitVisible(passwordField+":focus"))
	if s := b.look("refused"); s.Alert != texts["pt"]["wrong"] || s.Email != email || s.Password != "" {
		t.Errorf("after the wrong password: %+v", s)
	}
	if n, err := store.Count(b.ctx, w.service.db, `SELECT (SELECT count(*) FROM iam_tokens) + (SELECT count(*) FROM iam_auth_requests WHERE user_id <> '')`); n != 0 || err != nil {
		t.Errorf("the wrong password has changed something: %d, %v", n, err)
	}
	b.do(chromedp.SendKeys(passwordField, password+"\r"))
	session := w.signedIn(b.ctx, flow)
	id, err := w.service.Authenticate(b.ctx, session.AccessToken)
	if err != nil || id.TenantID != acme || id.SubjectType != "user" || session.RefreshToken == "" {
		t.Errorf("mgc got %+v, %v", id, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.hosts) != 1 || !b.hosts["127.0.0.1"] {
		t.Errorf("the browser asked %v", b.hosts)
	}
}

// Who reads English and belongs to several organizations chooses one, on a narrow screen in the dark.
func TestOrganizationIsChosenWithABrowser(t *testing.T) {
	w := newWeb(t)
	for _, organization := range []string{"Acme", "Other"} {
		if err := w.service.SetPassword(t.Context(), email, organization, password); err != nil {
			t.Fatal(err)
		}
	}
	b, flow := newTab(t, emulation.SetUserAgentOverrideParams{AcceptLanguage: "en-US,en;q=0.9"}), w.begin()
	dark := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
	b.do(chromedp.EmulateViewport(320, 560), command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: dark}),
		chromedp.Navigate(flow.URL), chromedp.WaitVisible(emailField))
	if s := b.look("first"); s.Language != "en" || !strings.HasPrefix(s.Title, "Sign in") {
		t.Errorf("the page at first: %+v", s)
	}
	b.do(chromedp.SendKeys(emailField, email), chromedp.SendKeys(passwordField, password+"\r"), chromedp.WaitVisible(chromedp.CSS("button[name=organization]")))
	if s := b.look("choice"); s.Language != "en" || s.Alert != "" {
		t.Errorf("the choice: %+v", s)
	}
	b.do(chromedp.Click(chromedp.CSS(`button[value="` + other + `"]`)))
	if id, err := w.service.Authenticate(b.ctx, w.signedIn(b.ctx, flow).AccessToken); err != nil || id.TenantID != other {
		t.Errorf("signed in to %+v, %v", id, err)
	}
}
