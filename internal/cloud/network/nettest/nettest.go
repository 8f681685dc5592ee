// Package nettest helps tests that use the kernel's network for real: stand-ins
// for VMs, and assertions about who reaches whom.
package nettest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
)

// WarnUnlessRoot says loudly that tests will not run. Call it in TestMain.
func WarnUnlessRoot(what string) {
	if os.Geteuid() != 0 {
		fmt.Fprintf(os.Stderr, "WARNING: not root: %s NOT tested against the kernel; run the tests as root\n", what)
	}
}

// Lock requires root and keeps a second run of the same tests from using the
// names with the prefix at the same time, whatever its TMPDIR is.
func Lock(t testing.TB, prefix string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
	file, err := os.OpenFile(filepath.Join("/run", prefix+"-test.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Netns makes a namespace with a name and returns its path; whoever tears the region down removes it.
func Netns(t testing.TB, name string) string {
	t.Helper()
	_, err := dataplane.EnsureNetns(name)
	Must(t, err)
	return filepath.Join("/run/netns", name)
}

// Serve answers TCP connections to the address in the namespace with the line
// "<name> <peer's address>" and then echoes, until stop or the end of the test.
func Serve(t testing.TB, netns, address, name string) (stop func()) {
	t.Helper()
	var listener net.Listener
	Must(t, inside(netns, func() (err error) {
		listener, err = net.Listen("tcp4", address)
		return err
	}))
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go echo(conn, name)
		}
	}()
	return func() { listener.Close() }
}

func echo(conn net.Conn, name string) {
	defer conn.Close()
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	if _, err := fmt.Fprintln(conn, name, host); err != nil {
		return
	}
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
}

// inside runs fn in the namespace at path; "" is the host.
func inside(path string, fn func() error) error {
	if path == "" {
		return fn()
	}
	return dataplane.Inside(path, fn)
}

const (
	reachable = 5 * time.Second        // only waited for when something is broken
	blocked   = 300 * time.Millisecond // a SYN that is dropped is tried for so long
)

// Dial connects from a namespace and returns who answered and whom they saw.
func Dial(netns, address string, timeout time.Duration) (conn net.Conn, name, seen string, err error) {
	err = inside(netns, func() (err error) {
		conn, err = net.DialTimeout("tcp4", address, timeout)
		return err
	})
	if err != nil {
		return nil, "", "", err
	}
	if err = conn.SetDeadline(time.Now().Add(reachable)); err == nil {
		_, err = fmt.Fscanln(conn, &name, &seen)
	}
	if err != nil {
		conn.Close()
		return nil, "", "", err
	}
	return conn, name, seen, nil
}

// Open requires that the address can be reached and, unless it is "", that the server saw seen as the peer.
func Open(t testing.TB, netns, address, seen string) net.Conn {
	t.Helper()
	conn, _, got, err := Dial(netns, address, reachable)
	if err != nil {
		t.Fatalf("%s -> %s: %v", netns, address, err)
	}
	t.Cleanup(func() { conn.Close() })
	if seen != "" && got != seen {
		t.Fatalf("%s -> %s: the server saw %s, want %s", netns, address, got, seen)
	}
	return conn
}

// Blocked requires that the address cannot be reached.
func Blocked(t testing.TB, netns, address string) {
	t.Helper()
	conn, _, seen, err := Dial(netns, address, blocked)
	if err == nil {
		conn.Close()
		t.Fatalf("%s -> %s: open (the server saw %s), want blocked", netns, address, seen)
	}
}

// Alive requires that a connection got before still works.
func Alive(t testing.TB, conn net.Conn) {
	t.Helper()
	if !Echoes(conn, reachable) {
		t.Fatalf("the connection from %s to %s does not work any more", conn.LocalAddr(), conn.RemoteAddr())
	}
}

// Echoes tells whether a byte comes back within the time.
func Echoes(conn net.Conn, within time.Duration) bool {
	if conn.SetDeadline(time.Now().Add(within)) != nil {
		return false
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return false
	}
	_, err := conn.Read(make([]byte, 1))
	return err == nil
}

// Eventually waits for a condition.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
