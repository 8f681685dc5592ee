package contract

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

// outageVariable is how long the database is away. `make test-outage` sets a minute.
const outageVariable = "MKE_TEST_OUTAGE"

// patienceOfClients is the longest that a request may take while the database is away.
const patienceOfClients = 10 * time.Second

// TestDatabaseOutage takes the database away under load: it dies, and then its network swallows everything.
func TestDatabaseOutage(t *testing.T) {
	outage := 3 * time.Second
	if text := os.Getenv(outageVariable); text != "" {
		var err error
		if outage, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	network := newProxy(t, func() []backend { return []backend{{"unix", w.postgres.Socket()}} })
	host, port, _ := strings.Cut(network.address, ":")
	w.database = strings.Replace(w.database, "host="+strings.TrimSuffix(w.postgres.Socket(), "/.s.PGSQL.5432"), "host="+host+" port="+port+" sslmode=disable", 1)
	health := freeAddress(t)
	w.startAPIAt(w.apiListen, "--health-addr", health, "--quotas", plenty)
	w.eventually("ready", func() bool { return ready(health) })
	w.do(http.MethodGet, "/v0/clusters", "", http.StatusOK)

	for _, way := range []struct {
		name      string
		away, end func()
	}{
		{"crash", w.postgres.Crash, func() { w.must(w.postgres.Restart()) }},
		{"silence", func() { network.hanging.Store(true) }, func() {
			network.cut() // what was swallowed never comes
			network.hanging.Store(false)
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			load := startLoad(w, way.name)
			load.until("a few creations went well", func() bool { return load.count(http.StatusCreated) > 5 })
			way.away()
			start := time.Now()
			w.eventually("not ready", func() bool { return !ready(health) })
			time.Sleep(outage - time.Since(start))
			way.end()
			w.eventually("ready again", func() bool { return ready(health) })
			before := load.count(http.StatusCreated)
			load.until("creations go well again", func() bool { return load.count(http.StatusCreated) > before+5 })
			load.stop()
			load.check()
		})
	}
}

// creation is a request for a cluster and what came of it.
type creation struct {
	name, key, id string
	status        int
}

// load creates clusters, half of them with an Idempotency-Key, and reads, from several clients at once.
type load struct {
	*world
	mu      sync.Mutex
	made    []creation
	reads   int
	slowest time.Duration
	ended   chan struct{}
	clients sync.WaitGroup
}

func startLoad(w *world, prefix string) *load {
	l := &load{world: w, ended: make(chan struct{})}
	for client := range 6 {
		l.clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.ended:
					return
				case <-time.After(100 * time.Millisecond): // a client's pace
				}
				c := creation{name: fmt.Sprintf("%s-%d-%d", prefix, client, i)}
				if i%2 == 0 {
					c.key = uuid.NewString()
				}
				l.create(&c)
				l.read()
				l.mu.Lock()
				l.made = append(l.made, c)
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *load) stop() {
	close(l.ended)
	l.clients.Wait()
}

func (l *load) create(c *creation) {
	status, body := l.send(http.MethodPost, "/v0/clusters", fmt.Sprintf(`{"name":%q}`, c.name), c.key)
	if c.status = status; status == http.StatusCreated {
		var made struct{ ID string }
		l.must(json.Unmarshal(body, &made))
		c.id = made.ID
	}
}

func (l *load) read() {
	if status, body := l.send(http.MethodGet, "/v0/clusters?_limit=2", "", ""); status != http.StatusOK && status != http.StatusServiceUnavailable {
		l.t.Errorf("list: %d %s", status, body)
	}
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
}

// send wants an answer soon, and one that says when to come back if there is none.
func (l *load) send(method, path, body, key string) (int, []byte) {
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.base+path, strings.NewReader(body))
	l.must(err)
	req.Header.Set("X-Api-Key", mgctest.TenantKey)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	start := time.Now()
	res, err := l.client.Do(req)
	l.mu.Lock()
	l.slowest = max(l.slowest, time.Since(start))
	l.mu.Unlock()
	if err != nil {
		l.t.Errorf("%s %s: no answer: %v", method, path, err)
		return 0, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	l.must(err)
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		l.t.Errorf("%s %s: 503 without Retry-After: %s", method, path, answer)
	}
	return res.StatusCode, answer
}

func (l *load) count(status int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.made {
		if c.status == status {
			n++
		}
	}
	return n
}

func (l *load) until(what string, f func() bool) {
	l.t.Helper()
	l.eventually(what, f)
}

// check wants everything that was answered to be there once, and everything else at most once.
func (l *load) check() {
	l.t.Helper()
	failed, slowest := 0, l.slowest
	for i := range l.made {
		c := &l.made[i]
		switch c.status {
		case http.StatusCreated:
		case http.StatusServiceUnavailable, http.StatusConflict: // the key may still be held by a connection that nobody uses any more
			failed++
		default:
			l.t.Errorf("%s: %d", c.name, c.status)
		}
		if c.status != http.StatusCreated && c.key != "" {
			l.eventually("a repetition goes well", func() bool {
				l.create(c)
				return c.status == http.StatusCreated
			})
		}
	}
	l.t.Logf("%d creations, %d not answered, %d reads, the slowest took %s", len(l.made), failed, l.reads, slowest.Round(time.Millisecond))
	if failed == 0 {
		l.t.Error("the outage was not felt")
	}
	if slowest > patienceOfClients {
		l.t.Errorf("a request took %s", slowest)
	}
	exist := l.existing()
	for _, c := range l.made {
		ids := exist[c.name]
		if c.id != "" && (len(ids) != 1 || ids[0] != c.id) || len(ids) > 1 {
			l.t.Errorf("%s: answered %q, there are %q", c.name, c.id, ids)
		}
	}
	l.eventually("all have reached the management cluster", func() bool {
		var list mkev1.MGCClusterList
		l.must(l.kube.List(l.t.Context(), &list))
		arrived := map[string]bool{}
		for i := range list.Items {
			arrived[list.Items[i].Spec.ClusterID] = true
		}
		for _, ids := range exist {
			if !arrived[ids[0]] {
				return false
			}
		}
		return true
	})
}

func (l *load) existing() map[string][]string {
	exist := map[string][]string{}
	for offset := 0; ; offset += 1000 {
		page := l.do(http.MethodGet, fmt.Sprintf("/v0/clusters?_limit=1000&_offset=%d", offset), "", http.StatusOK)["results"].([]any)
		for _, item := range page {
			c := item.(map[string]any)
			name := c["name"].(string)
			exist[name] = append(exist[name], c["id"].(string))
		}
		if len(page) < 1000 {
			return exist
		}
	}
}

func ready(health string) bool {
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get("http://" + health + "/readyz")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
