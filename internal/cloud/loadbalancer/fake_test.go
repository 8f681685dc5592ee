package loadbalancer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	testTenant  = "7f3e4bb0-0000-4000-8000-000000000001"
	otherTenant = "7f3e4bb0-0000-4000-8000-000000000002"
	testVPC     = "aaaaaaaa-0000-4000-8000-000000000001"
	testNIC     = "bbbbbbbb-0000-4000-8000-000000000001"
)

// fakeNetwork has one VPC with one port and a public IP of the tenant, and keeps
// who holds addresses.
type fakeNetwork struct {
	vips, publics map[string]bool // by owner
}

func (f *fakeNetwork) CheckVPC(_ context.Context, _ store.Queryer, tenantID, vpcID string) error {
	if tenantID != testTenant || vpcID != testVPC {
		return httpapi.NotFound("VPC")
	}
	return nil
}

func (f *fakeNetwork) AllocateVIP(_ context.Context, _ *sql.Tx, _, _, owner string) (netip.Addr, error) {
	f.vips[owner] = true
	return netip.MustParseAddr("172.26.0.9"), nil
}

func (f *fakeNetwork) AcquirePublicIP(_ context.Context, _ *sql.Tx, _, _, id, owner string) (network.PublicIP, error) {
	if id == "" {
		id = "cccccccc-0000-4000-8000-000000000001"
	}
	f.publics[owner] = true
	return network.PublicIP{ID: id, Address: netip.MustParseAddr("198.51.100.9")}, nil
}

func (f *fakeNetwork) ReleaseOwner(_ context.Context, _ *sql.Tx, owner string, _ bool) error {
	delete(f.vips, owner)
	delete(f.publics, owner)
	return nil
}

func (f *fakeNetwork) Converge(context.Context, string) error { return nil }

func (f *fakeNetwork) PortAddress(_ context.Context, _ store.Queryer, vpcID, portID string) (netip.Addr, error) {
	if vpcID != testVPC || portID != testNIC {
		return netip.Addr{}, httpapi.NotFound("port")
	}
	return netip.MustParseAddr("172.26.0.5"), nil
}

func (f *fakeNetwork) VPCNetns(string) (string, error) { return "/nowhere", nil }

// api calls the product over HTTP, without its reconciler; every answer is checked against the contract.
type api struct {
	t        *testing.T
	service  *Service
	network  *fakeNetwork
	handler  http.Handler
	contract contracttest.Checker
	tenant   string
}

func newAPI(t *testing.T) *api {
	t.Helper()
	db, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "cloud.db"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	a := &api{t: t, network: &fakeNetwork{vips: map[string]bool{}, publics: map[string]bool{}}, tenant: testTenant}
	a.service, err = New(db, Config{DataDir: t.TempDir(), Network: a.network})
	must(t, err)
	router := chi.NewRouter()
	a.service.Register(router)
	a.handler, a.contract = router, contracttest.Load(t, "load-balancer")
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// SelfSigned makes a certificate for a name, and its key, as requests have them.
func SelfSigned(t testing.TB, name string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	text := func(kind string, data []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", pkcs8)
}

const base = "/v0beta1/network-load-balancers"

type object = map[string]any

func (a *api) call(method, path, body string, want int) object {
	a.t.Helper()
	request := httptest.NewRequest(method, base+path, strings.NewReader(body))
	request = request.WithContext(httpapi.WithIdentity(request.Context(), httpapi.Identity{TenantID: a.tenant}))
	answer := httptest.NewRecorder()
	a.handler.ServeHTTP(answer, a.contract.Watch(a.t, request))
	if answer.Code != want {
		a.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, answer.Code, answer.Body, want)
	}
	plain, _, _ := strings.Cut(base+path, "?")
	a.contract.Check(a.t, method, plain, answer.Code, answer.Body.Bytes())
	var view object
	if answer.Body.Len() > 0 {
		must(a.t, json.Unmarshal(answer.Body.Bytes(), &view))
	}
	return view
}

func (a *api) id(method, path, body string) string {
	a.t.Helper()
	return a.call(method, path, body, 200)["id"].(string)
}

// part is a part of the load balancer as it is shown now.
func (a *api) part(lb, kind string, i int) object {
	a.t.Helper()
	return a.call("GET", "/"+lb, "", 200)[kind].([]any)[i].(object)
}
