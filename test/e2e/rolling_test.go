//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

// rollingPlatform are the parts that customers' requests go through.
var rollingPlatform = []string{"deployment/mke-gateway", "deployment/mke-api"}

// testRollingRestart replaces every pod of gateway and mke-api under load: no request may fail.
func testRollingRestart(t *testing.T, r *region) {
	management := func(args ...string) string {
		t.Helper()
		res := r.kubectl(r.status.ManagementKubeconfig, "", append([]string{"-n", "mke-system"}, args...)...)
		if res.code != 0 {
			t.Fatal(res)
		}
		return strings.TrimSpace(res.stdout)
	}
	rolled := func() {
		t.Helper()
		for _, part := range rollingPlatform {
			management("rollout", "status", part, "--timeout=90s")
		}
	}
	before := management("get", rollingPlatform[0], "-o", "jsonpath={.spec.replicas}")
	scale := func(replicas string) {
		management(append([]string{"scale", "--replicas=" + replicas}, rollingPlatform...)...)
		rolled()
	}
	l := startRollingLoad(t, r)
	scale("2")
	management(append([]string{"rollout", "restart"}, rollingPlatform...)...)
	rolled()
	scale(before)
	l.stop()
	if l.requests < 100 {
		t.Errorf("only %d requests were made", l.requests)
	}
	t.Logf("%d requests, none may fail, the slowest took %s", l.requests, l.slowest.Round(time.Millisecond))
}

// rollingLoad makes requests of several kinds, of which none makes anything.
type rollingLoad struct {
	t       *testing.T
	base    string
	key     string
	client  *http.Client
	ended   chan struct{}
	clients sync.WaitGroup

	mu       sync.Mutex
	requests int
	slowest  time.Duration
}

func startRollingLoad(t *testing.T, r *region) *rollingLoad {
	t.Helper()
	client, err := mgc.NewHTTPClient(r.status.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = 20 * time.Second
	l := &rollingLoad{t: t, base: r.status.Endpoint + "/" + r.status.Region + "/kubernetes", key: r.key, client: client, ended: make(chan struct{})}
	for n := range 4 {
		l.clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.ended:
					return
				case <-time.After(250 * time.Millisecond): // a client's pace: together they stay below the gateway's limits
				}
				l.round(n, i)
			}
		})
	}
	return l
}

func (l *rollingLoad) stop() {
	close(l.ended)
	l.clients.Wait()
}

// round reads, plans a creation, and asks twice with one Idempotency-Key for a creation that is refused.
func (l *rollingLoad) round(n, i int) {
	name := fmt.Sprintf("rolling-%d-%d", n, i)
	l.request(http.MethodGet, "/v0/clusters", "", "", http.StatusOK)
	l.request(http.MethodPost, "/v0/clusters?dry_run=true", `{"name":"`+name+`"}`, "", http.StatusOK)
	key := uuid.NewString()
	for range 2 {
		l.request(http.MethodPost, "/v0/clusters", `{"name":"`+strings.ToUpper(name)+`"}`, key, http.StatusBadRequest)
	}
}

func (l *rollingLoad) request(method, path, body, key string, want int) {
	req, err := http.NewRequest(method, l.base+path, strings.NewReader(body))
	if err != nil {
		l.t.Error(err)
		return
	}
	req.Header.Set("X-Api-Key", l.key)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	start := time.Now()
	status, answer := 0, ""
	res, err := l.client.Do(req)
	if err == nil {
		raw, readErr := io.ReadAll(res.Body)
		res.Body.Close()
		status, answer, err = res.StatusCode, string(raw), readErr
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	l.slowest = max(l.slowest, time.Since(start))
	if err != nil || status != want {
		l.t.Errorf("%s %s after %s: %s, %v: %.200s", method, path, time.Since(start).Round(time.Millisecond), strconv.Itoa(status), err, answer)
	}
}
