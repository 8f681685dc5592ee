package platform

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestIdentitiesAreMadeOnce(t *testing.T) {
	p := Paths{Data: t.TempDir()}
	first, err := ensureBootstrap(p)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ensureBootstrap(p)
	if err != nil {
		t.Fatal(err)
	}
	if first.PlatformAPIKey != second.PlatformAPIKey || first.tenant(userTenant) != second.tenant(userTenant) {
		t.Error("a second run made other identities")
	}
	for _, file := range []string{p.Bootstrap(), p.APIKeyFile()} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, others can read it", file, info.Mode())
		}
	}
	key, err := os.ReadFile(p.APIKeyFile())
	if err != nil || strings.TrimSpace(string(key)) != first.tenant(userTenant).APIKey {
		t.Errorf("the key file holds %q, error %v", key, err)
	}
}

func TestAuthorityIssuesCertificatesThatVerify(t *testing.T) {
	p := Paths{Data: t.TempDir()}
	ca, err := ensureAuthority(p, "ca", "test")
	if err != nil {
		t.Fatal(err)
	}
	again, err := ensureAuthority(p, "ca", "test")
	if err != nil || string(again.certPEM) != string(ca.certPEM) {
		t.Fatalf("a second run made another authority (error %v)", err)
	}
	certPEM, _, err := ca.issue("server", "198.18.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(certPEM)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, host := range []string{"198.18.0.1", "localhost"} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: "198.18.0.2"}); err == nil {
		t.Error("the certificate is good for an address that nobody asked for")
	}
}

func TestOnlyOneRunPerDataFolder(t *testing.T) {
	p := Paths{Data: t.TempDir()}
	unlock, err := lock(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(p); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("a second run got the lock, error %v", err)
	}
	unlock()
	unlock, err = lock(p)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestDownKeepsOnlyCaches(t *testing.T) {
	p := Paths{Data: t.TempDir()}
	for _, f := range []string{"cache/x", "pki/ca.key", "cloud/cloud.db", "region.json"} {
		if err := writeFile(filepath.Join(p.Data, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeState(p, false); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "cache" {
		t.Errorf("left in the data folder: %v", entries)
	}
}

func TestPoll(t *testing.T) {
	count := 0
	if err := poll(context.Background(), time.Millisecond, time.Minute, func() (bool, error) { count++; return count == 3, nil }); err != nil || count != 3 {
		t.Errorf("count %d, error %v", count, err)
	}
	if err := poll(context.Background(), time.Millisecond, 5*time.Millisecond, func() (bool, error) { return false, nil }); !errors.Is(err, errPollTimeout) {
		t.Errorf("want a time-out, got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := poll(ctx, time.Millisecond, time.Minute, func() (bool, error) { return false, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("want the context's error, got %v", err)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := checkPort("198.18.0.1:" + port); err == nil || !strings.Contains(err.Error(), "port "+port) {
		t.Errorf("got %v", err)
	}
	l.Close()
	if err := checkPort("198.18.0.1:" + port); err != nil {
		t.Errorf("the port is free: %v", err)
	}
}

func TestShellWords(t *testing.T) {
	got := shellWords([]string{"create", "--node-pools", `[{"replicas": 1}]`})
	if want := `create --node-pools '[{"replicas": 1}]'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPreflightNamesTheDisk(t *testing.T) {
	if err := checkDisk(filepath.Join(t.TempDir(), "not", "there", "yet")); err != nil {
		t.Errorf("a folder that does not exist yet must do: %v", err)
	}
}
