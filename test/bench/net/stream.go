package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"time"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
)

// end of a stream: a network namespace and the address in it.
type end struct{ netns, address string }

type path struct{ from, to end }

// stream sends for some time and returns how many bytes per second arrived. The sockets are made inside of the namespaces, so pods
// need no program for it, and all ways are measured by the same code.
func (p path) stream(ctx context.Context, how time.Duration) (float64, error) {
	var listener net.Listener
	err := dataplane.Inside(p.to.netns, func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(p.to.address, "0"))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("listen on %s: %w", p.to.address, err)
	}
	defer listener.Close()
	type result struct {
		rate float64
		err  error
	}
	done := make(chan result, 1)
	go func() {
		rate, err := receive(listener)
		done <- result{rate, err}
	}()
	var conn net.Conn
	err = dataplane.Inside(p.from.netns, func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", listener.Addr().String())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("connect from %s: %w", p.from.address, err)
	}
	if err := send(conn, how); err != nil {
		return 0, err
	}
	r := <-done
	return r.rate, r.err
}

const chunk = 256 << 10

func send(conn net.Conn, how time.Duration) error {
	defer conn.Close()
	buffer := make([]byte, chunk)
	for end := time.Now().Add(how); time.Now().Before(end); {
		if _, err := conn.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

func receive(listener net.Listener) (perSecond float64, err error) {
	conn, err := listener.Accept()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	begun := time.Now()
	// Without a type that can splice, so that the bytes are really read.
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, chunk))
	return float64(n) / time.Since(begun).Seconds(), err
}

// vethPair makes the floor: two namespaces joined by a veth.
func vethPair(ctx context.Context) (p path, down func(), err error) {
	const a, b = "mke-bench-a", "mke-bench-b"
	down = func() {
		for _, ns := range []string{a, b} {
			_ = exec.Command("ip", "netns", "delete", ns).Run() //nolint:noctx // also after Ctrl-C
		}
	}
	down() // of a run that died
	for _, args := range [][]string{
		{"netns", "add", a}, {"netns", "add", b},
		{"link", "add", "veth0", "netns", a, "type", "veth", "peer", "name", "veth0", "netns", b},
		{"-n", a, "address", "add", "192.0.2.1/30", "dev", "veth0"}, {"-n", b, "address", "add", "192.0.2.2/30", "dev", "veth0"},
		{"-n", a, "link", "set", "veth0", "up"}, {"-n", b, "link", "set", "veth0", "up"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			down()
			return path{}, nil, fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	return path{end{"/run/netns/" + a, "192.0.2.1"}, end{"/run/netns/" + b, "192.0.2.2"}}, down, nil
}
