// Package mgctest is an in-memory Magalu Cloud for tests: the published paths and bodies, asynchronous states, references that block
// deletion, tenants, faults on demand and a record of all calls.
//
// Time does not pass in it: an object under way takes its next step each time it is read, Steps reads in all.
package mgctest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

const (
	// PlatformKey may act for any tenant by the header x-tenant-id.
	PlatformKey = "00000000-0000-4000-8000-000000000000"
	// TenantKey belongs to Tenant.
	TenantKey = "11111111-1111-4111-8111-111111111111"
	// Tenant is the tenant that exists from the start.
	Tenant = "22222222-2222-4222-8222-222222222222"
	// Region of the cloud, with zones a, b and c.
	Region = "br-se1"
)

// Cloud is the fake. Its methods may be called at any time.
type Cloud struct {
	// Steps is how many reads an object needs to get from one settled state to the next; set it before use, 2 by default.
	Steps int

	server *httptest.Server
	mux    *http.ServeMux

	mu     sync.Mutex
	calls  []Call
	faults []*Fault

	keys          map[string]string // API key → tenant
	revokedKeys   map[string]bool
	accounts      map[string]*account
	vpcs          map[string]*vpc
	subnets       map[string]*subnet
	groups        map[string]*securityGroup
	ports         map[string]*port
	publicIPs     map[string]*publicIP
	instances     map[string]*instance
	balancers     map[string]*balancer
	nextIP        map[string]int
	lastOrder     int
	machineTypes  []mgc.MachineType
	images        []mgc.Image
	instanceQuota int
	volumes       map[string]*volume
	snapshots     map[string]*snapshot
	volumeTypes   []mgc.VolumeType
	volumeQuota   int
	volumeSpace   int // GiB
}

// New starts a cloud that ends with the test.
func New(t testing.TB) *Cloud {
	c := &Cloud{
		Steps:       2,
		mux:         http.NewServeMux(),
		keys:        map[string]string{PlatformKey: "", TenantKey: Tenant},
		revokedKeys: map[string]bool{},
		accounts:    map[string]*account{},
		vpcs:        map[string]*vpc{},
		subnets:     map[string]*subnet{},
		groups:      map[string]*securityGroup{},
		ports:       map[string]*port{},
		publicIPs:   map[string]*publicIP{},
		instances:   map[string]*instance{},
		balancers:   map[string]*balancer{},
		nextIP:      map[string]int{},
		volumes:     map[string]*volume{},
		snapshots:   map[string]*snapshot{},
		volumeTypes: []mgc.VolumeType{
			{ID: uuid.NewString(), Name: "cloud_nvme1k", DiskType: "nvme", Status: "active", IOPS: mgc.VolumeIOPS{Read: 1000, Write: 1000, Total: 1000}},
			{ID: uuid.NewString(), Name: "cloud_nvme20k", DiskType: "nvme", Status: "active", IOPS: mgc.VolumeIOPS{Read: 20000, Write: 20000, Total: 20000}},
		},
		machineTypes: []mgc.MachineType{
			{ID: uuid.NewString(), Name: "BV1-1-10", VCPUs: 1, RAM: 1024, Disk: 10, Status: "active"},
			{ID: uuid.NewString(), Name: "BV2-4-40", VCPUs: 2, RAM: 4096, Disk: 40, Status: "active"},
			{ID: uuid.NewString(), Name: "BV4-8-40", VCPUs: 4, RAM: 8192, Disk: 40, Status: "active"},
		},
		images: []mgc.Image{{ID: uuid.NewString(), Name: "cloud-mke-node-v1.34.2", Status: "active", Platform: "linux"}},
	}
	c.routeCompute()
	c.routeNetwork()
	c.routeLoadBalancer()
	c.routeVolume()
	c.routeIAM()
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.server.Close)
	return c
}

// Endpoint for mgc.Config.
func (c *Cloud) Endpoint() string { return c.server.URL + "/" + Region }

// SetSteps changes Steps while the cloud is in use.
func (c *Cloud) SetSteps(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Steps = n
}

// Client returns a client of Tenant.
func (c *Cloud) Client(t testing.TB) *mgc.Client {
	t.Helper()
	client, err := mgc.New(mgc.Config{Endpoint: c.Endpoint(), APIKey: TenantKey, HTTPClient: c.server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// call is what a handler knows about its request.
type call struct {
	*http.Request
	w      http.ResponseWriter
	tenant string
}

func (c call) ok(status int, body any) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(c.w).Encode(body)
	}
}

func (c call) fail(status int, slug, message string) {
	c.ok(status, map[string]any{"slug": slug, "message": message, "details": map[string]any{}})
}

func (c call) notFound(what string) { c.fail(http.StatusNotFound, "not_found", what+" not found") }

// decode reads the body into in, or answers 422.
func (c call) decode(in any) bool {
	if err := json.NewDecoder(c.Body).Decode(in); err != nil {
		c.fail(http.StatusUnprocessableEntity, "validation_error", err.Error())
		return false
	}
	return true
}

// handle registers a route; the handler runs under the lock.
func (c *Cloud) handle(pattern string, h func(call)) {
	method, path, _ := strings.Cut(pattern, " ")
	prefix := "/" + Region
	if strings.HasPrefix(path, "/iam") {
		prefix = ""
	}
	c.mux.HandleFunc(method+" "+prefix+path, func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		tenant, ok := c.authenticate(r)
		rq := call{Request: r, w: w, tenant: tenant}
		if !ok {
			rq.fail(http.StatusUnauthorized, "unauthorized", "the API key is not valid")
			return
		}
		c.ensureDefaultVPC(tenant)
		h(rq)
	})
}

func (c *Cloud) authenticate(r *http.Request) (tenant string, ok bool) {
	key := r.Header.Get("X-Api-Key")
	tenant, ok = c.keys[key]
	if !ok || c.revokedKeys[key] {
		return "", false
	}
	if key == PlatformKey {
		tenant = r.Header.Get("X-Tenant-Id")
	}
	return tenant, true
}
