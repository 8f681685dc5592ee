package dataplane

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// The tests that need the kernel use names and addresses of their own, so that
// a region may run beside them.
var testEdge = netip.MustParsePrefix("198.19.0.0/16")

const testPrefix = "mket"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "WARNING: not root: the data plane was NOT tested against the kernel, run the tests as root")
	}
	os.Exit(m.Run())
}

// newPlane returns a Plane in a clean environment, removed after the test.
func newPlane(t *testing.T) *Plane {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
	plane := New(Config{Prefix: testPrefix, Edge: testEdge, HostIP: netip.MustParseAddr("198.19.0.1")})
	must(t, plane.Teardown(context.Background()))
	t.Cleanup(func() { must(t, plane.Teardown(context.Background())) })
	must(t, plane.EnsureEdge(context.Background()))
	return plane
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// vm is a namespace that stands for a VM.
type vm struct {
	t    *testing.T
	path string
	ip   netip.Addr
}

func (p *Plane) newVM(t *testing.T, r Router, portID string) vm {
	t.Helper()
	name := testPrefix + "-vm-" + r.ID + portID
	_, err := ensureNetns(name)
	must(t, err)
	path := netnsDir + "/" + name
	must(t, p.Plug(context.Background(), r, portID, path))
	port, _, err := portOf(r, portID)
	must(t, err)
	return vm{t, path, port.IP}
}

// serve answers every TCP connection to the port with "<peer's address>\n" and
// then echoes, until the test ends.
func (v vm) serve(port int) {
	v.t.Helper()
	var listener net.Listener
	must(v.t, Inside(v.path, func() (err error) {
		listener, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	}))
	v.t.Cleanup(func() { listener.Close() })
	go echo(listener)
}

func echo(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			fmt.Fprintln(conn, host)
			buffer := make([]byte, 256)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return
				}
				if _, err := conn.Write(buffer[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// dial connects from the namespace at path ("" is the host) and returns the
// connection and whom the server saw.
func dial(path, address string, timeout time.Duration) (conn net.Conn, seen string, err error) {
	connect := func() error {
		conn, err = net.DialTimeout("tcp4", address, timeout)
		return err
	}
	if path == "" {
		err = connect()
	} else {
		err = Inside(path, connect)
	}
	if err != nil {
		return nil, "", err
	}
	must := conn.SetDeadline(time.Now().Add(5 * time.Second))
	if must != nil {
		return nil, "", must
	}
	if _, err := fmt.Fscanln(conn, &seen); err != nil {
		conn.Close()
		return nil, "", err
	}
	return conn, seen, nil
}

const (
	reachable = 5 * time.Second        // only waited for when something is broken
	blocked   = 300 * time.Millisecond // a SYN that is dropped is tried for so long
)

func expectOpen(t *testing.T, from, to string, wantSeen string) net.Conn {
	t.Helper()
	conn, seen, err := dial(from, to, reachable)
	if err != nil {
		t.Fatalf("%s -> %s: %v", from, to, err)
	}
	t.Cleanup(func() { conn.Close() })
	if wantSeen != "" && seen != wantSeen {
		t.Fatalf("%s -> %s: the server saw %s, want %s", from, to, seen, wantSeen)
	}
	return conn
}

func expectBlocked(t *testing.T, from, to string) {
	t.Helper()
	conn, seen, err := dial(from, to, blocked)
	if err == nil {
		conn.Close()
		t.Fatalf("%s -> %s: open (the server saw %s), want blocked", from, to, seen)
	}
}

func expectAlive(t *testing.T, conn net.Conn) {
	t.Helper()
	must(t, conn.SetDeadline(time.Now().Add(reachable)))
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatalf("established connection: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatalf("established connection: %v", err)
	}
}
