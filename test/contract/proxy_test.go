package contract

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy forwards connections to one of its backends, the next one each time, as a Service does.
type proxy struct {
	address  string
	backends func() []backend
	next     atomic.Uint64
	hanging  atomic.Bool // connections are taken and data is too, but none goes any further

	mu    sync.Mutex
	conns map[net.Conn]bool
}

type backend struct{ network, address string }

func newProxy(t *testing.T, backends func() []backend) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), backends: backends, conns: map[net.Conn]bool{}}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		group.Wait()
	})
	return p
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	backends := p.backends()
	if len(backends) == 0 {
		return
	}
	b := backends[p.next.Add(1)%uint64(len(backends))]
	behind, err := net.DialTimeout(b.network, b.address, 5*time.Second)
	if err != nil {
		return
	}
	defer behind.Close()
	p.keep(conn, behind)
	defer p.forget(conn, behind)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{conn, behind}, {behind, conn}} {
		go func() {
			_, _ = io.Copy(gate{way[1], p}, way[0])
			done <- struct{}{}
		}()
	}
	<-done
	conn.Close()
	behind.Close()
	<-done
}

// gate swallows what is written while its proxy hangs.
type gate struct {
	net.Conn
	p *proxy
}

func (g gate) Write(data []byte) (int, error) {
	if g.p.hanging.Load() {
		return len(data), nil
	}
	return g.Conn.Write(data)
}

func (p *proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}
