package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const callbackPath = "/callback"

// Flow is one sign-in that has begun.
type Flow struct {
	URL string // where the person signs in

	server          *Server
	state, verifier string
	redirect        string
	listener        net.Listener // nil when the person brings the answer
}

// Begin begins a sign-in that is answered on a port of the loopback.
func (s *Server) Begin(ctx context.Context) (*Flow, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("nothing can listen for the browser's answer (use --headless): %w", err)
	}
	f := s.begin("http://" + listener.Addr().String() + callbackPath)
	f.listener = listener
	return f, nil
}

// BeginHeadless begins a sign-in with a browser elsewhere: it ends at an address that does not answer, which the person copies.
func (s *Server) BeginHeadless() *Flow { return s.begin("http://127.0.0.1:8095" + callbackPath) }

func (s *Server) begin(redirect string) *Flow {
	f := &Flow{server: s, redirect: redirect, state: rand.Text(), verifier: oauth2.GenerateVerifier()}
	f.URL = s.config(redirect).AuthCodeURL(f.state, oauth2.S256ChallengeOption(f.verifier))
	return f
}

// Answer reads what the person copied: the address where the browser ended, or the code in it.
func (f *Flow) Answer(text string) (code string, err error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		if text == "" || strings.ContainsAny(text, " \t?&=") {
			return "", errors.New("this is neither the address where the browser ended nor a code")
		}
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("this is no address: %w", err)
	}
	return f.codeIn(u.Query())
}

// codeIn takes only the answer to this sign-in.
func (f *Flow) codeIn(answer url.Values) (string, error) {
	if subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(f.state)) != 1 {
		return "", errors.New("this answers another sign-in")
	}
	if code := answer.Get("error"); code != "" {
		return "", &Refused{Code: code, Description: answer.Get("error_description")}
	}
	if answer.Get("code") == "" {
		return "", errors.New("the answer has no code")
	}
	return answer.Get("code"), nil
}

// Wait waits for the browser.
func (f *Flow) Wait(ctx context.Context) (code string, err error) {
	type result struct {
		code string
		err  error
	}
	results := make(chan result, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != callbackPath {
			http.NotFound(w, r)
			return
		}
		code, err := f.codeIn(r.URL.Query())
		var refused *Refused
		if err != nil && !errors.As(err, &refused) { // whatever it is, the sign-in goes on
			page(w, http.StatusBadRequest, "Isto não é a resposta esperada.", err.Error())
			return
		}
		if err != nil {
			page(w, http.StatusOK, "Não foi possível entrar.", err.Error())
		} else {
			page(w, http.StatusOK, "Pronto: volte ao terminal.", "You are signed in: go back to the terminal.")
		}
		select {
		case results <- result{code, err}:
		default: // a page that is loaded again
		}
	})}
	go func() { _ = server.Serve(f.listener) }()
	defer func() {
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(brief) // the page is still being sent
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-results:
		return r.code, r.err
	}
}

func page(w http.ResponseWriter, status int, lines ...string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprint(w, "<!doctype html><title>mgc</title><style>body{font:16px system-ui;margin:3rem}</style>")
	for _, line := range lines {
		fmt.Fprintf(w, "<p>%s</p>", html.EscapeString(line))
	}
}

// Exchange makes a session of a code.
func (f *Flow) Exchange(ctx context.Context, iam, code string) (*Session, error) {
	token, err := f.server.config(f.redirect).Exchange(f.server.context(ctx), code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return nil, plain(err)
	}
	return newSession(iam, token), nil
}
