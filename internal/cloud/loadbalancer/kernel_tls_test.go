package loadbalancer_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/loadbalancer"
	"magalu.cloud/mke/internal/cloud/network/nettest"
)

// openTLS connects and returns the name in the certificate that is shown.
func openTLS(t *testing.T, address string) (net.Conn, string) {
	t.Helper()
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp4", address, &tls.Config{InsecureSkipVerify: true}) // the name is what the test looks at
	nettest.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	nettest.Must(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	var name, seen string
	_, err = fmt.Fscanln(conn, &name, &seen)
	nettest.Must(t, err)
	return conn, conn.ConnectionState().PeerCertificates[0].DNSNames[0]
}

// A listener ends TLS; another certificate is shown to new connections, and the old ones go on.
func TestKernelTLS(t *testing.T) {
	r := newRegion(t)
	vpc := r.vpc()
	l := r.createLB(vpc, "secure", []map[string]any{target(r.vm(vpc, "one", 6443), 6443)}, nil)
	certificate, key := loadbalancer.SelfSigned(t, "one.example")
	id := l.call("POST", "/"+l.id+"/tls-certificates", map[string]any{"name": "cert", "certificate": certificate, "private_key": key}, 200)["id"].(string)
	l.call("POST", "/"+l.id+"/listeners?backend_id="+l.backend, map[string]any{"name": "tls", "protocol": "tls", "port": 443, "tls_certificate_id": id}, 200)
	l.running()
	conn, shown := openTLS(t, l.public+":443")
	if shown != "one.example" {
		t.Errorf("the certificate is of %s", shown)
	}

	certificate, key = loadbalancer.SelfSigned(t, "two.example")
	l.call("PUT", "/"+l.id+"/tls-certificates/"+id, map[string]any{"certificate": certificate, "private_key": key}, 200)
	l.running()
	if _, shown := openTLS(t, l.public+":443"); shown != "two.example" {
		t.Errorf("after its replacement the certificate is of %s", shown)
	}
	nettest.Alive(t, conn)
	nettest.Open(t, "", l.public+":6443", "") // without TLS, as before
	files, err := filepath.Glob(filepath.Join(l.dir, "lb", l.id, "certificate-*"))
	nettest.Must(t, err)
	if len(files) != 1 {
		t.Errorf("files of certificates: %s, want one", strings.Join(files, " "))
	}
	info, err := os.Stat(files[0])
	nettest.Must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the key: %s", info.Mode())
	}
}
