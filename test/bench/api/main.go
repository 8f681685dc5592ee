// Command api loads one gateway, one mke-api and one PostgreSQL, each a process of its own on the loopback, and prints beside what
// they do the floors of the same work: a bare net/http handler with the same JSON, and the same SQL alone.
//
// Closed loops tell how many requests a second are served; the open loop starts requests on a fixed schedule and counts from when
// each should have started, so that a slow answer cannot hide the waiting of those behind it. Not included: the outbox worker, IAM
// (asked once in 5 s), and for kubeconfigs the management cluster's API server.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

var (
	duration = flag.Duration("duration", 3*time.Second, "duration of each closed loop; the open loop takes three times as long")
	rate     = flag.Int("rate", 500, "requests per second of the open loop")
	workers  = flag.Int("workers", 8, "connections of the closed loops that are not alone")
	openConn = flag.Int("open-connections", 32, "connections that the open loop has for its requests")
	only     = flag.String("only", "", "measure only the parts whose names begin with this")
	profile  = flag.String("profile", "", "folder for CPU profiles of gateway and mke-api")
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		exit(serveRole(role))
		return
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "mke-bench-api-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *profile != "" {
		if *profile, err = filepath.Abs(*profile); err != nil {
			return err
		}
	}
	w, err := start(ctx, dir)
	if w != nil {
		defer w.stop()
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, w.logs())
	}
	fmt.Printf("%d CPUs, load %s; %s per closed loop\n\n", runtime.NumCPU(), machineLoad(), *duration)
	fmt.Printf("%-22s %8s %9s %9s %9s   CPU µs per request: %s\n", "", "req/s", "p50 ms", "p99 ms", "max ms", strings.Join(w.names(), ", "))
	done := map[string]measured{}
	for _, p := range w.parts() {
		if !strings.HasPrefix(p.name, *only) {
			continue
		}
		m, err := w.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", p.name, err, w.logs())
		}
		done[p.name] = m
		fmt.Println(m.line(p.name))
	}
	fmt.Printf("\nload of the machine at the end: %s\n", machineLoad())
	results(done)
	return nil
}

func results(done map[string]measured) {
	for _, name := range slices.Sorted(maps.Keys(done)) {
		m := done[name]
		fmt.Printf("RESULT api part=%s rps=%.0f p50_ms=%.2f p99_ms=%.2f\n", name, m.rps, m.at(50), m.at(99))
	}
	for _, suffix := range []string{"", "-many"} {
		get, bare, sql := done["get"+suffix], done["floor-http"+suffix], done["floor-sql"+suffix]
		if get.rps > 0 && bare.rps > 0 && sql.rps > 0 {
			fmt.Printf("RESULT api ratio get%s/(floor-http%s+floor-sql%s) p50=%.2f mean=%.2f (aim: within 3)\n", suffix, suffix, suffix,
				get.at(50)/(bare.at(50)+sql.at(50)), (1/get.rps)/(1/bare.rps+1/sql.rps))
		}
	}
	if open, ok := done["get-open"]; ok {
		fmt.Printf("RESULT api open_loop rate=%d p99_ms=%.2f (aim: below 25)\n", *rate, open.at(99))
	}
}

func machineLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
