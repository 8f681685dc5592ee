package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"magalu.cloud/mke/internal/graceful"
)

var quiet = slog.New(slog.DiscardHandler)

// listen serves on a free port of the loopback until the test ends.
func listen(t *testing.T, server *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

// say sends bytes and returns everything that comes back until the server ends the connection.
func say(t *testing.T, address, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("the server keeps a client that says %.40q: %v", text, err)
	}
	return string(answer)
}

func TestSlowClientsAreCut(t *testing.T) {
	w := newWorld(t, nil)
	server := newServer("", w.gateway, quiet)
	for name, limit := range map[string]time.Duration{"header": server.ReadHeaderTimeout, "request": server.ReadTimeout,
		"answer": server.WriteTimeout, "idle": server.IdleTimeout} {
		if limit <= 0 || limit > 2*time.Minute {
			t.Errorf("%s: %s", name, limit)
		}
	}
	server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout = 50*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	address := listen(t, server)
	say(t, address, "")
	say(t, address, "GET /v0/clusters HTTP/1.1\r\nHost: x\r\nX-Slow")
	say(t, address, "POST /v0/clusters HTTP/1.1\r\nHost: x\r\nX-Api-Key: "+goodKey+"\r\nContent-Length: 100\r\n\r\n{")
	if w.seen.Load() != nil {
		t.Error("half a request was forwarded")
	}
}

func TestHostileRequests(t *testing.T) {
	w := newWorld(t, nil)
	address := listen(t, newServer("", w.gateway, quiet))
	const end = "\r\nConnection: close\r\nX-Api-Key: " + goodKey + "\r\n\r\n"
	for text, want := range map[string]string{
		"GET /v0/clusters HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", 80<<10) + end:                      "431",
		"GET /v0/clusters HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\rb" + end:                                           "400",
		"GET /v0/clusters HTTP/1.1\r\nHost: x\r\nX-Request-Id : a" + end:                                             "400",
		"GET /v0/clusters\x00 HTTP/1.1\r\nHost: x" + end:                                                             "400",
		"GET http://evil.example/v0/clusters HTTP/1.1\r\nHost: x" + end:                                              "200", // the host decides nothing
		"POST /v0/clusters HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked" + end:                                 "501",
		"POST /v0/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2" + end:                      "400",
		"POST /v0/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999" + end:                                     "413",
		"GET /v0/clusters%0d%0aX-Evil:1 HTTP/1.1\r\nHost: x" + end:                                                   "404",
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443" + end:                                          "404",
		"GET /v0/clusters/" + strings.Repeat("../", 20) + "internal/v1/introspect HTTP/1.1\r\nHost: x" + end:         "404",
		"GET /iam/internal/v1/introspect HTTP/1.1\r\nHost: x\r\nX-Original-Url: /iam/internal/v1/introspect" + end:   "404",
		"GET /v0/clusters HTTP/1.1\r\nHost: x\r\nX-Http-Method-Override: DELETE\r\nX-Forwarded-For: 127.0.0.1" + end: "200",
	} {
		w.seen.Store(nil)
		answer := say(t, address, text)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+want) {
			t.Errorf("%.90q: %.120q, want %s", text, answer, want)
		}
		s := w.seen.Load()
		if (s != nil) != (want == "200") {
			t.Errorf("%.90q reached the API: %v", text, s != nil)
		}
		if s != nil && strings.HasPrefix(s.header.Get("X-Forwarded-For"), "127.0.0.1,") {
			t.Errorf("a client said where it comes from: %v", s.header)
		}
		if strings.Contains(answer, "\r\nX-Evil") {
			t.Errorf("a header was injected: %q", answer)
		}
	}
}

// Two gateways are replaced one after the other under load: whoever follows readiness, as a load balancer does, loses no request.
func TestGracefulRestart(t *testing.T) {
	type replica struct {
		address string
		health  http.Handler
		stop    context.CancelFunc
		done    chan error
	}
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond)
		_, _ = w.Write([]byte("ok"))
	})
	start := func() *replica {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		draining := &atomic.Bool{}
		ctx, stop := context.WithCancel(t.Context())
		r := &replica{address: address, health: health(draining), stop: stop, done: make(chan error, 1)}
		go func() {
			r.done <- graceful.Serve(graceful.Drain(ctx, draining), newServer(address, graceful.Closing(draining, slow), quiet), quiet)
		}()
		for { // until it listens
			if conn, err := net.Dial("tcp", address); err == nil {
				_ = conn.Close()
				return r
			}
			time.Sleep(time.Millisecond)
		}
	}
	var current atomic.Pointer[replica]
	current.Store(start())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, current.Load().address)
		}}}
	var requests, failures atomic.Int32
	load, stopLoad := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for load.Err() == nil {
				res, err := client.Post("http://gateway/", "text/plain", strings.NewReader("x")) // a POST is never repeated by the transport
				requests.Add(1)
				if err != nil || res.StatusCode != 200 {
					failures.Add(1)
					t.Logf("%v", err)
					continue
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	for range 2 {
		old := current.Load()
		next := start()
		old.stop()
		for ready := true; ready; { // what the load balancer sees
			rec := httptest.NewRecorder()
			old.health.ServeHTTP(rec, httptest.NewRequest("GET", "/readyz", nil))
			ready = rec.Code == http.StatusOK
		}
		alive := httptest.NewRecorder()
		old.health.ServeHTTP(alive, httptest.NewRequest("GET", "/healthz", nil))
		if alive.Code != http.StatusOK {
			t.Error("a gateway that drains is alive")
		}
		current.Store(next)
		if err := <-old.done; err != nil {
			t.Error(err)
		}
	}
	stopLoad()
	clients.Wait()
	if requests.Load() < 20 || failures.Load() > 0 {
		t.Errorf("%d of %d requests were lost", failures.Load(), requests.Load())
	}
}

func TestCORS(t *testing.T) {
	c := &config{corsOrigins: []string{"https://console.example.com"}}
	h := c.withCORS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for origin, want := range map[string]string{"https://console.example.com": "https://console.example.com", "https://evil.example": "", "null": ""} {
		r := httptest.NewRequest(http.MethodOptions, "/v0/clusters", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "PATCH")
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if got := rec.Header().Get("Access-Control-Allow-Origin"); got != want || rec.Code == http.StatusTeapot {
			t.Errorf("%s: allowed %q, status %d", origin, got, rec.Code)
		}
		if rec.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Error("cookies must not be allowed")
		}
	}
	for _, bad := range []string{"*", "https://*.example.com", "console.example.com", "https://example.com/", "ftp://example.com"} {
		if checkOrigins([]string{bad}) == nil {
			t.Errorf("%q is no origin", bad)
		}
	}
	if err := checkOrigins(c.corsOrigins); err != nil {
		t.Error(err)
	}
}

func TestWritesAreLimitedPerOperation(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.WriteLimit = 2 })
	status := func(method, path string) int { return w.do(method, path, "{}").StatusCode }
	var limited int
	for i := range 8 {
		if status("DELETE", fmt.Sprintf("/v0/clusters/%d", i)) == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 4 {
		t.Errorf("%d of 8 deletions were limited", limited)
	}
	if got := status("POST", "/v0/clusters"); got != 200 {
		t.Errorf("another operation has its own limit: %d", got)
	}
	for range 8 {
		if got := status("GET", "/v0/clusters"); got != 200 {
			t.Errorf("reads are not writes: %d", got)
		}
	}
}

// Whatever is asked with whatever credential, none of it is in the log, at the finest level.
func TestSecretsAreNotLogged(t *testing.T) {
	w := newWorld(t, nil)
	w.gateway.log = slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	const secret = "c2VjcmV0LXN0dWZm"
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/v0/clusters?token=" + secret, "/compute/v1/instances", "/nowhere", "/v0/clusters/%00"} {
			for _, headers := range [][]string{{}, {"X-Api-Key", wrongKey}, {"X-Api-Key", secret}, {"X-Api-Key", "", "Authorization", "Bearer " + secret},
				{"Cookie", "session=" + secret}, {"X-Request-Id", secret + " \n"}} {
				w.do(method, path, `{"password":"`+secret+`"}`, headers...)
			}
		}
	}
	w.iam.err = fmt.Errorf("IAM is away")
	w.do("POST", "/v0/clusters", secret, "X-Api-Key", readKey)
	if w.log.Len() == 0 {
		t.Error("nothing was logged")
	}
	for _, s := range []string{secret, goodKey, readKey, wrongKey} {
		if strings.Contains(w.log.String(), s) {
			t.Errorf("the log has %s: %s", s, w.log)
		}
	}
}
