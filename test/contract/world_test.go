// Package contract tests the gateway and mke-api together, as processes that may be killed, on a real database and a real
// management API server. The operators and the cloud are played by the test.
package contract

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"magalu.cloud/mke/internal/gateway"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/mkeapi"
	"magalu.cloud/mke/internal/testenv"
	"magalu.cloud/mke/internal/testpg"
)

// serverVariable makes this test binary a server of the platform.
const serverVariable = "MKE_CONTRACT_TEST_SERVER"

const patience = 30 * time.Second

// plenty are quotas that no test uses up.
const plenty = "clusters=100000,load_balancers=100000,public_ips=100000"

var config *rest.Config

func TestMain(m *testing.M) {
	if name := os.Getenv(serverVariable); name != "" {
		cmd := map[string]func() *cobra.Command{"api": mkeapi.NewCommand, "gateway": gateway.NewCommand}[name]()
		cmd.SetArgs(os.Args[1:])
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := cmd.ExecuteContext(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(testenv.Main(m, &config))
}

// world is the platform's front: gateway and mke-api as processes.
type world struct {
	t         *testing.T
	dir       string
	kube      client.Client
	cloud     *mgctest.Cloud
	cloudURL  string
	postgres  *testpg.Server
	database  string
	apiListen string
	base      string
	client    *http.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), cloud: mgctest.New(t), apiListen: freeAddress(t)}
	kube, err := client.New(config, client.Options{Scheme: mkeapi.Scheme()})
	w.must(err)
	w.kube = kube
	w.postgres, err = testpg.Start("synchronous_commit=on")
	w.must(err)
	t.Cleanup(w.postgres.Stop)
	w.database, err = w.postgres.NewDatabase(t.Context())
	w.must(err)
	w.cloudURL = w.startCloud()
	w.must(os.WriteFile(w.file("platform-key"), []byte(mgctest.PlatformKey+"\n"), 0o600))
	w.writeKubeconfig()
	roots := w.writeCertificate()
	listen := freeAddress(t)
	w.base = "https://" + listen + "/br-se1/kubernetes"
	w.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 10}}
	w.start("gateway", "--listen", listen, "--tls-cert", w.file("tls.crt"), "--tls-key", w.file("tls.key"), "--api-url", "http://"+w.apiListen, "--audit-dir", w.file("audit"))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// startCloud puts scopes into the fake cloud's identities: it knows tenants only.
func (w *world) startCloud() string {
	behind, err := url.Parse(w.cloud.Endpoint())
	w.must(err)
	behind.Path = ""
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(behind))
	mux.HandleFunc("POST /iam/internal/v1/introspect", func(rw http.ResponseWriter, r *http.Request) {
		var in struct {
			APIKey string `json:"api_key"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		identity := mgc.Identity{}
		if in.APIKey == mgctest.TenantKey {
			identity = mgc.Identity{Active: true, TenantID: mgctest.Tenant, Subject: "maria", SubjectType: "user",
				Scopes: []string{"mke.read", "mke.write", "pa:sa:manage", "audit.read"}, Permissions: []string{"*"}}
		}
		_ = json.NewEncoder(rw).Encode(identity)
	})
	server := httptest.NewServer(mux)
	w.t.Cleanup(server.Close)
	return server.URL + "/br-se1"
}

func (w *world) writeKubeconfig() {
	c := clientcmdapi.NewConfig()
	c.Clusters["x"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	c.AuthInfos["x"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "x", AuthInfo: "x"}
	c.CurrentContext = "x"
	w.must(clientcmd.WriteToFile(*c, w.file("kubeconfig")))
}

func (w *world) writeCertificate() *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	w.must(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	w.must(err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	w.must(os.WriteFile(w.file("tls.crt"), certPEM, 0o600))
	w.must(os.WriteFile(w.file("tls.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

// startAPI starts mke-api behind the gateway.
func (w *world) startAPI() *exec.Cmd { return w.startAPIAt(w.apiListen) }

// startAPIAt starts one more mke-api on the same database.
func (w *world) startAPIAt(listen string, args ...string) *exec.Cmd {
	return w.start("api", append([]string{"--listen", listen, "--database-url", w.database, "--kubeconfig", w.file("kubeconfig")}, args...)...)
}

func (w *world) start(server string, args ...string) *exec.Cmd {
	w.t.Helper()
	all := append([]string{"--health-addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--cloud-endpoint", w.cloudURL,
		"--cloud-api-key-file", w.file("platform-key")}, args...)
	cmd := exec.Command(os.Args[0], all...)
	cmd.Env = append(os.Environ(), serverVariable+"="+server, "TMPDIR="+w.dir) // a gateway keeps audit records there
	cmd.Stdout, cmd.Stderr = w.t.Output(), w.t.Output()
	w.must(cmd.Start())
	w.t.Cleanup(func() { kill(cmd) })
	return cmd
}

// kill ends a process like a power cut. It may be called twice.
func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// freeAddress is below the ports that the kernel gives to those who ask for any, so that none of them takes it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+mathrand.N(10000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
}

// try sends a request as the SDK does: chunked body, content type always, a new request id. status is 0 without an answer.
func (w *world) try(method, path, body string) (status int, answer []byte) {
	var reader io.Reader
	if body != "" {
		reader = struct{ io.Reader }{bytes.NewReader([]byte(body))} // hides the length
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, reader)
	w.must(err)
	req.Header.Set("X-Api-Key", mgctest.TenantKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return res.StatusCode, answer
}

// do sends a request like a client that repeats after 5xx and lost connections, and wants a status.
func (w *world) do(method, path, body string, want int) map[string]any {
	w.t.Helper()
	var status int
	var answer []byte
	for range 10 {
		if status, answer = w.try(method, path, body); status != 0 && status < 500 {
			break
		}
		time.Sleep(300 * time.Millisecond) // as clients do
	}
	if status != want {
		w.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	var object map[string]any
	if len(answer) > 0 && answer[0] == '{' {
		w.must(json.Unmarshal(answer, &object))
	}
	return object
}

// eventually waits until f is true.
func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
