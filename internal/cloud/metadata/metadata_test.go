package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/store"
)

var web = Instance{
	ID: "id-1", Name: "Web 1", Hostname: "web-1", TenantID: "acme", Region: "br-se1", AvailabilityZone: "br-se1-a",
	SSHKeyName: "mine", SSHPublicKey: "ssh-ed25519 AAAA", UserData: []byte("## template: jinja\n\x00raw"), MAC: "02:4d:7f:00:00:01",
	IP: netip.MustParseAddr("127.0.0.1"), Prefix: netip.MustParsePrefix("127.0.0.0/20"), Gateway: netip.MustParseAddr("127.0.0.254"), Nameservers: []string{"127.0.0.253"},
}

// newService listens on the loopback interface, and refuses to at first.
func newService(t *testing.T, find func(string, netip.Addr) (Instance, error)) (*Service, chan string) {
	t.Helper()
	addresses := make(chan string, 8)
	var tries atomic.Int32
	s := New(Config{
		InstanceAt: func(_ context.Context, vpcID string, ip netip.Addr) (Instance, error) { return find(vpcID, ip) },
		Netns:      func(vpcID string) (string, error) { return "/netns/" + vpcID, nil },
		Logger:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	s.retry = time.Millisecond
	s.listen = func(_ context.Context, netns string) (net.Listener, error) {
		if tries.Add(1) == 1 {
			return nil, errors.New("the address is not there yet")
		}
		if netns != "/netns/vpc" {
			t.Errorf("listens in %s", netns)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			addresses <- l.Addr().String()
		}
		return l, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, addresses
}

func get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestDocuments(t *testing.T) {
	s, addresses := newService(t, func(vpcID string, ip netip.Addr) (Instance, error) {
		if vpcID != "vpc" || ip != web.IP {
			return Instance{}, store.ErrNotFound
		}
		return web, nil
	})
	s.VPCReady("vpc")
	address := <-addresses
	for path, want := range map[string]string{
		"/openstack": "latest", "/openstack/": "latest", "/openstack/latest/user_data": string(web.UserData),
		"/openstack/latest/vendor_data.json": "{}", "/latest/meta-data/": "",
	} {
		if status, body := get(t, address, path); status != 200 || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	var meta map[string]any
	if _, body := get(t, address, "/openstack/latest/meta_data.json"); json.Unmarshal([]byte(body), &meta) != nil {
		t.Fatalf("meta data: %s", body)
	}
	for key, want := range map[string]any{"uuid": "id-1", "name": "Web 1", "hostname": "web-1", "availability_zone": "br-se1-a",
		"local_ipv4": "127.0.0.1", "region": "br-se1", "project_id": "acme"} {
		if meta[key] != want {
			t.Errorf("%s: %v, want %v", key, meta[key], want)
		}
	}
	if keys := meta["public_keys"].(map[string]any); keys["mine"] != "ssh-ed25519 AAAA" {
		t.Errorf("keys: %v", keys)
	}
	if status, body := get(t, address, "/openstack/latest/network_data.json"); status != 200 || !json.Valid([]byte(body)) {
		t.Errorf("network data: %d %s", status, body)
	}
	if status, _ := get(t, address, "/latest/user-data"); status != 404 {
		t.Errorf("unknown path: %d", status)
	}
}

func TestAnswersWithoutAnInstance(t *testing.T) {
	for name, c := range map[string]struct {
		instance Instance
		err      error
		status   int
	}{
		"unknown caller": {Instance{}, store.ErrNotFound, 404},
		"cannot tell":    {Instance{}, errors.New("database busy"), 503},
		"no user data":   {Instance{ID: "x"}, nil, 404},
	} {
		s, addresses := newService(t, func(string, netip.Addr) (Instance, error) { return c.instance, c.err })
		s.VPCReady("vpc")
		if status, body := get(t, <-addresses, "/openstack/latest/user_data"); status != c.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestListenersFollowTheVPC(t *testing.T) {
	s, addresses := newService(t, func(string, netip.Addr) (Instance, error) { return web, nil })
	s.VPCReady("vpc")
	first := <-addresses
	s.VPCReady("vpc") // the namespace was made anew
	second := <-addresses
	if status, _ := get(t, second, "/openstack"); status != 200 {
		t.Errorf("new listener: %d", status)
	}
	s.VPCGone("vpc")
	s.VPCGone("vpc")
	for _, address := range []string{first, second} {
		deadline := time.Now().Add(5 * time.Second)
		for status := 1; status != 0; status, _ = get(t, address, "/openstack") {
			if time.Now().After(deadline) {
				t.Fatalf("%s still answers", address)
			}
		}
	}
}
