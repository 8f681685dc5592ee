package loadbalancer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/loadbalancer"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/network/nettest"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	tenantID = "7f3e4bb0-0000-4000-8000-000000000001"
	base     = "/v0beta1/network-load-balancers"
)

func TestMain(m *testing.M) {
	nettest.WarnUnlessRoot("load balancers were")
	os.Exit(contracttest.Run(m, "load-balancer"))
}

// region is a network and a load balancer product on the kernel, with names of its own.
type region struct {
	t       testing.TB
	dir     string
	network *network.Service
	handler http.Handler
	stop    func()
}

var networkConfig = network.Config{Region: "br-se1", Prefix: "mke3",
	PublicPool: netip.MustParsePrefix("203.0.113.0/24"), EdgeAddress: netip.MustParseAddr("203.0.113.1")}

func newRegion(t testing.TB) *region {
	t.Helper()
	nettest.Lock(t, networkConfig.Prefix)
	clean := func() {
		ctx := context.Background()
		nettest.Must(t, loadbalancer.Teardown(ctx, networkConfig.Prefix))
		nettest.Must(t, network.Teardown(ctx, networkConfig))
	}
	clean()
	t.Cleanup(clean)
	dir, err := os.MkdirTemp("", "mke3") // t.TempDir is too long for a socket's path
	nettest.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &region{t: t, dir: dir}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start starts the daemon's part, as after a restart of the daemon.
func (r *region) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, filepath.Join(r.dir, "cloud.db"))
	nettest.Must(r.t, err)
	r.network, err = network.New(db, networkConfig)
	nettest.Must(r.t, err)
	nettest.Must(r.t, r.network.EnsureEdge(ctx))
	lbs, err := loadbalancer.New(db, loadbalancer.Config{DataDir: filepath.Join(r.dir, "lb"), Network: r.network})
	nettest.Must(r.t, err)
	router := chi.NewRouter()
	lbs.Register(router)
	r.handler = router
	var running sync.WaitGroup
	networks := r.network
	running.Go(func() {
		if err := networks.Run(ctx); err != nil && ctx.Err() == nil {
			r.t.Errorf("run: %v", err)
		}
	})
	running.Go(func() {
		if err := lbs.Run(ctx); err != nil && ctx.Err() == nil {
			r.t.Errorf("run: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		db.Close()
	})
}

func (r *region) restart() {
	r.stop()
	r.start()
}

// call makes a request and requires its status.
func (r *region) call(method, path string, body any, want int) map[string]any {
	r.t.Helper()
	text, err := json.Marshal(body)
	nettest.Must(r.t, err)
	request := httptest.NewRequest(method, base+path, strings.NewReader(string(text)))
	request = request.WithContext(httpapi.WithIdentity(request.Context(), httpapi.Identity{TenantID: tenantID}))
	answer := httptest.NewRecorder()
	r.handler.ServeHTTP(answer, request)
	if answer.Code != want {
		r.t.Fatalf("%s %s: %d %s, want %d", method, path, answer.Code, answer.Body, want)
	}
	var result map[string]any
	_ = json.Unmarshal(answer.Body.Bytes(), &result)
	return result
}

func (r *region) vpc() string {
	r.t.Helper()
	subnets, err := r.network.DefaultSubnets(context.Background(), tenantID)
	nettest.Must(r.t, err)
	return subnets[0].VPCID
}

// vm makes a VM with an open port that answers with its name.
func (r *region) vm(vpcID, name string, port int) network.Port {
	r.t.Helper()
	p, path := r.quietVM(vpcID, name)
	nettest.Serve(r.t, path, ":"+strconv.Itoa(port), name)
	return p
}

// quietVM makes a VM on which nothing listens.
func (r *region) quietVM(vpcID, name string) (network.Port, string) {
	r.t.Helper()
	ctx := context.Background()
	group, err := r.network.CreateGroup(ctx, network.SecurityGroup{TenantID: tenantID, Name: "group-" + name}, false)
	nettest.Must(r.t, err)
	_, err = r.network.CreateRule(ctx, tenantID, network.Rule{GroupID: group.ID, Direction: network.Ingress, EtherType: network.IPv4, RemotePrefix: "172.26.0.0/16"})
	nettest.Must(r.t, err)
	p, err := r.network.CreatePort(ctx, nil, network.PortRequest{TenantID: tenantID, VPCID: vpcID, Zone: "br-se1-a",
		Name: name, DeviceID: name, SecurityGroupIDs: []string{group.ID}})
	nettest.Must(r.t, err)
	path := nettest.Netns(r.t, networkConfig.Prefix+"-vm-"+name)
	nettest.Must(r.t, r.network.PlugPort(ctx, p.ID, path))
	return p, path
}

type lb struct {
	*region
	id, backend, public, vip string
}

func (r *region) createLB(vpcID, name string, targets []map[string]any, check map[string]any) lb {
	r.t.Helper()
	backend := map[string]any{"name": "api", "balance_algorithm": "round_robin", "targets_type": "instance", "targets": targets}
	body := map[string]any{"name": name, "visibility": "external", "vpc_id": vpcID, "backends": []any{backend},
		"listeners": []any{map[string]any{"name": "api", "backend_name": "api", "protocol": "tcp", "port": 6443}}}
	if check != nil {
		backend["health_check_name"] = check["name"]
		body["health_checks"] = []any{check}
	}
	l := lb{region: r, id: r.call("POST", "", body, 200)["id"].(string)}
	l.running()
	view := l.get()
	l.backend = view["backends"].([]any)[0].(map[string]any)["id"].(string)
	l.vip = view["ip_address"].(string)
	l.public = view["public_ip"].(map[string]any)["ip_address"].(string)
	return l
}

func (l lb) get() map[string]any { l.t.Helper(); return l.call("GET", "/"+l.id, nil, 200) }

func (l lb) running() {
	l.t.Helper()
	nettest.Eventually(l.t, "load balancer running", func() bool { return l.get()["status"] == "running" })
}

func (l lb) pid() int {
	text, _ := os.ReadFile(filepath.Join(l.dir, "lb", l.id, "haproxy.pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// answers counts who answers n connections; "" stands for failures.
func answers(netns, address string, n int) map[string]int {
	seen := map[string]int{}
	for range n {
		conn, name, _, err := nettest.Dial(netns, address, 2*time.Second)
		if err == nil {
			conn.Close()
		}
		seen[name]++
	}
	return seen
}

func target(p network.Port, port int) map[string]any {
	return map[string]any{"nic_id": p.ID, "port": port}
}

func TestKernelBalances(t *testing.T) {
	r := newRegion(t)
	vpc := r.vpc()
	one, two := r.vm(vpc, "one", 6443), r.vm(vpc, "two", 6443)
	_, client := r.quietVM(vpc, "client")
	l := r.createLB(vpc, "balanced", []map[string]any{target(one, 6443), target(two, 6443)}, nil)

	for from, address := range map[string]string{"": l.public, client: l.vip} {
		if seen := answers(from, address+":6443", 10); seen["one"] != 5 || seen["two"] != 5 {
			t.Fatalf("from %q: %v, want both 5 times", from, seen)
		}
	}
	if seen := answers(client, l.public+":6443", 2); seen[""] > 0 {
		t.Fatalf("public address from inside the VPC: %v", seen)
	}
	nettest.Open(t, "", l.public+":6443", l.vip) // targets see the load balancer's address

	// Replacing targets works in the running process and closes nothing.
	pid, conn := l.pid(), nettest.Open(t, "", l.public+":6443", "")
	l.call("PUT", "/"+l.id+"/backends/"+l.backend+"/targets",
		map[string]any{"targets_type": "instance", "targets": []any{target(two, 6443)}}, 200)
	l.running()
	if seen := answers("", l.public+":6443", 4); seen["two"] != 4 {
		t.Fatalf("after the replacement: %v, want two only", seen)
	}
	nettest.Alive(t, conn)
	l.call("POST", "/"+l.id+"/backends/"+l.backend+"/targets",
		map[string]any{"targets_type": "instance", "targets": []any{target(one, 6443)}}, 200)
	l.running()
	if seen := answers("", l.public+":6443", 4); seen["one"] != 2 {
		t.Fatalf("after the addition: %v", seen)
	}
	if l.pid() != pid {
		t.Error("the process was replaced to change targets")
	}

	// A new listener needs a new process, which takes the sockets over.
	l.call("POST", "/"+l.id+"/listeners?backend_id="+l.backend, map[string]any{"name": "more", "protocol": "tcp", "port": 7443}, 200)
	l.running()
	nettest.Open(t, "", l.public+":7443", "")
	if l.pid() == pid {
		t.Error("the process was not replaced")
	}
	nettest.Alive(t, conn)
}

func TestKernelACL(t *testing.T) {
	r := newRegion(t)
	vpc := r.vpc()
	one := r.vm(vpc, "one", 6443)
	_, client := r.quietVM(vpc, "client")
	l := r.createLB(vpc, "guarded", []map[string]any{target(one, 6443)}, nil)
	pid := l.pid()
	acl := func(action, source string) map[string]any {
		return map[string]any{"action": action, "remote_ip_prefix": source, "protocol": "tcp", "ethertype": "IPv4"}
	}
	for _, step := range []struct {
		acls         []any
		host, inside bool
	}{
		{[]any{}, true, true},
		{[]any{acl("ALLOW", "172.26.0.0/16")}, false, true},
		{[]any{acl("ALLOW", "203.0.113.1/32")}, true, false},
		{[]any{acl("DENY", "172.26.0.0/16")}, true, false},
		{[]any{acl("ALLOW", "0.0.0.0/0"), acl("DENY", "203.0.113.0/24")}, false, true},
		{[]any{acl("DENY_UNSPECIFIED", "0.0.0.0/0")}, false, false},
		{[]any{}, true, true},
	} {
		l.call("PUT", "/"+l.id+"/acls", map[string]any{"acls": step.acls}, 200)
		l.running()
		if got := answers("", l.public+":6443", 1)["one"] == 1; got != step.host {
			t.Errorf("%v: the host got in: %v", step.acls, got)
		}
		if got := answers(client, l.vip+":6443", 1)["one"] == 1; got != step.inside {
			t.Errorf("%v: a VM got in: %v", step.acls, got)
		}
	}
	if l.pid() != pid {
		t.Error("the process was replaced to change ACLs")
	}
}

func TestKernelHealth(t *testing.T) {
	r := newRegion(t)
	vpc := r.vpc()
	one := r.vm(vpc, "one", 6443)
	two, netns := r.quietVM(vpc, "two")
	l := r.createLB(vpc, "checked", []map[string]any{target(one, 6443), target(two, 6443)}, map[string]any{
		"name": "tcp", "protocol": "tcp", "port": 6443, "interval_seconds": 1, "timeout_seconds": 1, "healthy_threshold_count": 1, "unhealthy_threshold_count": 1})
	nettest.Eventually(t, "only the healthy target answers", func() bool { return answers("", l.public+":6443", 4)["one"] == 4 })
	stop := nettest.Serve(t, netns, ":6443", "two")
	nettest.Eventually(t, "the other one is healthy too", func() bool { return answers("", l.public+":6443", 4)["two"] == 2 })
	stop()
	nettest.Eventually(t, "it is taken out again", func() bool { return answers("", l.public+":6443", 4)["one"] == 4 })

	// A new process knows at once what the old one knew: the next check of a slow one would come too late.
	sick := func() (addresses []string) {
		for _, row := range serverStates(t, filepath.Join(l.dir, "lb", l.id, "haproxy.sock")) {
			if row[5] == "0" {
				addresses = append(addresses, row[4])
			}
		}
		return addresses
	}
	want := []string{two.IP.String()}
	nettest.Eventually(t, "its check fails", func() bool { return slices.Equal(sick(), want) })
	pid, check := l.pid(), l.get()["health_checks"].([]any)[0].(map[string]any)["id"].(string)
	l.call("PUT", "/"+l.id+"/health-checks/"+check, map[string]any{"protocol": "tcp", "port": 6443, "interval_seconds": 3600, "timeout_seconds": 1}, 200)
	l.running()
	if got := sick(); !slices.Equal(got, want) || l.pid() == pid {
		t.Errorf("after the reload %v are sick, want %v", got, want)
	}

	// A check at another port asks there: of what was known before, nothing holds.
	defer nettest.Serve(t, netns, ":6444", "two")()
	l.call("PUT", "/"+l.id+"/health-checks/"+check, map[string]any{"protocol": "tcp", "port": 6444, "interval_seconds": 1, "timeout_seconds": 1}, 200)
	l.running()
	want = []string{one.IP.String()}
	nettest.Eventually(t, "the target without the other port is sick", func() bool { return slices.Equal(sick(), want) })
}

// serverStates asks HAProxy: field 4 is the address, field 5 the state, 0 for sick.
func serverStates(t testing.TB, socket string) (rows [][]string) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	nettest.Must(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("show servers state\n"))
	nettest.Must(t, err)
	text, err := io.ReadAll(conn)
	nettest.Must(t, err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 6 && fields[0] != "#" {
			rows = append(rows, fields)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("HAProxy answered %q", text)
	}
	return rows
}

// Reloads while connections are opened all the time: none fails, none is closed.
func TestKernelReloadDropsNothing(t *testing.T) {
	r := newRegion(t)
	vpc := r.vpc()
	l := r.createLB(vpc, "reloaded", []map[string]any{target(r.vm(vpc, "one", 6443), 6443)}, nil)
	var long []net.Conn
	for range 5 {
		long = append(long, nettest.Open(t, "", l.public+":6443", ""))
	}
	done, failed := make(chan struct{}), make(chan int)
	go func() {
		failures := 0
		for {
			select {
			case <-done:
				failed <- failures
				return
			default:
				failures += answers("", l.public+":6443", 1)[""]
			}
		}
	}()
	for i := range 5 {
		l.call("POST", "/"+l.id+"/listeners?backend_id="+l.backend, map[string]any{"name": fmt.Sprint("l", i), "protocol": "tcp", "port": 7000 + i}, 200)
		l.running()
		nettest.Open(t, "", fmt.Sprint(l.public, ":", 7000+i), "")
	}
	close(done)
	if n := <-failed; n > 0 {
		t.Errorf("%d connections failed during reloads", n)
	}
	for _, conn := range long {
		nettest.Alive(t, conn)
	}
}

func TestKernelDeathAndRestart(t *testing.T) {
	r := newRegion(t)
	vpc := r.vpc()
	l := r.createLB(vpc, "immortal", []map[string]any{target(r.vm(vpc, "one", 6443), 6443)}, nil)
	nettest.Must(t, syscall.Kill(l.pid(), syscall.SIGKILL))
	nettest.Eventually(t, "haproxy is started again", func() bool { return answers("", l.public+":6443", 1)["one"] == 1 })

	nettest.Eventually(t, "it is recorded what it runs with", func() bool { // else the next daemon must replace it
		text, _ := os.ReadFile(filepath.Join(l.dir, "lb", l.id, "loaded"))
		return strings.HasPrefix(string(text), fmt.Sprint(l.pid(), " "))
	})

	// The daemon goes and comes: neither the process nor its connections notice.
	pid, conn := l.pid(), nettest.Open(t, "", l.public+":6443", "")
	l.restart()
	l.call("PUT", "/"+l.id, map[string]any{"description": "after the restart"}, 200)
	l.running()
	nettest.Alive(t, conn)
	if l.pid() != pid {
		t.Error("a restart of the daemon replaced the process")
	}

	// It dies while the daemon is away.
	l.stop()
	nettest.Must(t, syscall.Kill(pid, syscall.SIGKILL))
	l.start()
	nettest.Eventually(t, "haproxy is started again", func() bool { return answers("", l.public+":6443", 1)["one"] == 1 })

	// A deletion that was only recorded is finished after the restart.
	l.call("DELETE", "/"+l.id+"?delete_public_ip=true", nil, 200)
	l.restart()
	nettest.Eventually(t, "load balancer gone", func() bool {
		request := httptest.NewRequest("GET", base+"/"+l.id, nil)
		request = request.WithContext(httpapi.WithIdentity(request.Context(), httpapi.Identity{TenantID: tenantID}))
		answer := httptest.NewRecorder()
		l.handler.ServeHTTP(answer, request)
		return answer.Code == 404
	})
	if _, err := os.Stat(filepath.Join(l.dir, "lb", l.id)); !os.IsNotExist(err) {
		t.Errorf("its folder: %v, want none", err)
	}
	nettest.Blocked(t, "", l.public+":6443")
}
