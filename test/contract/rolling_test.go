package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// service is a Deployment of two replicas behind a Service, as Kubernetes rolls it: a new pod takes part when it is ready, and an old
// one is told to end a moment before others learn that it does not take part any more.
type service struct {
	*world
	server   string
	args     []string
	front    *proxy
	mu       sync.Mutex
	replicas []*replica
}

type replica struct {
	cmd     *exec.Cmd
	address string
}

// endpointsLag is how long after a pod's end has begun others still connect to it.
const endpointsLag = 300 * time.Millisecond

func newService(w *world, server string, args ...string) *service {
	s := &service{world: w, server: server, args: args}
	s.front = newProxy(w.t, s.endpoints)
	return s
}

func (s *service) endpoints() (backends []backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replicas {
		backends = append(backends, backend{"tcp", r.address})
	}
	return backends
}

// add starts a replica and lets it take part when it is ready.
func (s *service) add() {
	s.t.Helper()
	health := freeAddress(s.t)
	r := &replica{address: freeAddress(s.t)}
	r.cmd = s.start(s.server, append([]string{"--listen", r.address, "--health-addr", health}, s.args...)...)
	s.eventually(s.server+" is ready", func() bool { return ready(health) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replicas = append(s.replicas, r)
}

// roll replaces the oldest replica.
func (s *service) roll() {
	s.t.Helper()
	s.add()
	old := s.replicas[0]
	s.must(old.cmd.Process.Signal(syscall.SIGTERM))
	time.Sleep(endpointsLag) // the lag that is played, nothing is waited for
	s.mu.Lock()
	s.replicas = s.replicas[1:]
	s.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- old.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			s.t.Errorf("%s ended with %v", s.server, err)
		}
	case <-time.After(patience):
		s.t.Errorf("%s does not end", s.server)
	}
}

// TestRollingRestart replaces every replica of the gateway and of mke-api under load. No request may fail.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t)
	api := newService(w, "api", "--database-url", w.database, "--kubeconfig", w.file("kubeconfig"), "--quotas", plenty)
	gateway := newService(w, "gateway", "--tls-cert", w.file("tls.crt"), "--tls-key", w.file("tls.key"), "--api-url", "http://"+api.front.address)
	for range 2 {
		api.add()
		gateway.add()
	}
	w.base = "https://" + gateway.front.address + "/br-se1/kubernetes"
	l := &load{world: w, ended: make(chan struct{})}
	for client := range 6 {
		l.clients.Go(func() { l.request(client) })
	}
	l.until("load", func() bool { return l.count(http.StatusCreated) > 6 })
	for range 2 {
		api.roll()
		gateway.roll()
	}
	before := l.count(http.StatusCreated)
	l.until("the new replicas serve", func() bool { return l.count(http.StatusCreated) > before+6 })
	l.stop()
	exist := l.existing()
	for _, c := range l.made {
		if ids := exist[c.name]; c.status != http.StatusCreated || len(ids) != 1 || ids[0] != c.id {
			t.Errorf("%s: %d %q, there are %q", c.name, c.status, c.id, ids)
		}
	}
	l.eventually("every creation is in the audit, also those of gateways that have ended", func() bool {
		audited := w.audited()
		return !slices.ContainsFunc(l.made, func(c creation) bool { return !audited[c.id] })
	})
	t.Logf("%d creations, %d reads, the slowest took %s", len(l.made), l.reads, l.slowest.Round(time.Millisecond))
}

// audited are the ids of everything that calls were about, by the audit.
func (w *world) audited() map[string]bool {
	ids, path := map[string]bool{}, "/v1alpha0/audit?_limit=1000"
	for next := ""; ; {
		page := w.do(http.MethodGet, path+"&_after="+url.QueryEscape(next), "", http.StatusOK)
		for _, record := range page["results"].([]any) {
			for _, id := range record.(map[string]any)["resources"].([]any) {
				ids[id.(string)] = true
			}
		}
		var more bool
		if next, more = page["next"].(string); !more {
			return ids
		}
	}
}

// request creates and reads until the load ends. Every creation is asked for twice, mostly of another replica, and is one.
func (l *load) request(client int) {
	for i := 0; ; i++ {
		select {
		case <-l.ended:
			return
		case <-time.After(50 * time.Millisecond): // a client's pace
		}
		c := creation{name: fmt.Sprintf("rolling-%d-%d", client, i), key: uuid.NewString()}
		l.create(&c)
		if status, body := l.send(http.MethodPost, "/v0/clusters", fmt.Sprintf(`{"name":%q}`, c.name), c.key); status != http.StatusCreated {
			l.t.Errorf("repetition: %d %s", status, body)
		} else {
			var again struct{ ID string }
			if l.must(json.Unmarshal(body, &again)); again.ID != c.id {
				l.t.Errorf("repetition of %s is %s", c.id, again.ID)
			}
		}
		for _, path := range []string{"/v0/clusters?_limit=5", "/v0/clusters/" + c.id} {
			if status, body := l.send(http.MethodGet, path, "", ""); status != http.StatusOK {
				l.t.Errorf("GET %s: %d %s", path, status, body)
			}
		}
		l.mu.Lock()
		l.made = append(l.made, c)
		l.reads += 2
		l.mu.Unlock()
	}
}
