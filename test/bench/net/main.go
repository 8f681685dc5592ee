// Command net times a TCP stream between pods on two nodes, and on one, beside a stream between two network namespaces that a veth
// joins, and lookups of names beside ones at a server on the same node, in the same run. It prints and never fails on a number. See `make bench-net`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/test/bench/benchsite"
)

func main() { benchsite.Main(bench) }

// measured is one round, in bytes per second.
type measured struct{ floor, oneNode, twoNodes float64 }

func bench(ctx context.Context) (err error) {
	dataDir := flag.String("data-dir", "/var/lib/mke", "the region's data folder")
	binDir := flag.String("bin-dir", "bin", "where mgc is")
	cluster := flag.String("cluster", "", "name of a running cluster with two nodes (default: the first one)")
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	load := flag.Duration("load", 3*time.Second, "how long each stream lasts")
	flag.Parse()

	floor, down, err := vethPair(ctx)
	if err != nil {
		return err
	}
	defer down()
	s, err := benchsite.Open(ctx, *binDir, *dataDir, *cluster, "bench-net")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	oneNode, twoNodes, err := pods(ctx, s)
	if err != nil {
		return err
	}
	var all []measured
	for i := 1; i <= *rounds; i++ {
		var m measured
		for _, way := range []struct {
			path path
			into *float64
		}{{floor, &m.floor}, {oneNode, &m.oneNode}, {twoNodes, &m.twoNodes}} {
			if *way.into, err = way.path.stream(ctx, *load); err != nil {
				return fmt.Errorf("round %d: %w", i, err)
			}
		}
		fmt.Printf("round %d of %d: veth %.0f, one node %.0f, two nodes %.0f MB/s\n", i, *rounds, m.floor/1e6, m.oneNode/1e6, m.twoNodes/1e6)
		all = append(all, m)
	}
	report(all)
	return resolve(ctx, s)
}

func report(all []measured) {
	floor := benchsite.Median(all, func(m measured) float64 { return m.floor })
	for _, way := range []struct {
		name  string
		value func(measured) float64
	}{{"one_node", func(m measured) float64 { return m.oneNode }}, {"two_nodes", func(m measured) float64 { return m.twoNodes }}} {
		ratio := benchsite.Median(all, func(m measured) float64 { return way.value(m) / m.floor })
		fmt.Printf("RESULT net way=%s ratio=%.2f mb_per_s=%.0f floor_mb_per_s=%.0f rounds=%d\n",
			way.name, ratio, benchsite.Median(all, way.value)/1e6, floor/1e6, len(all))
	}
}

// pods starts two pods on one worker and one on another, and returns the ways between them.
func pods(ctx context.Context, s *benchsite.Site) (oneNode, twoNodes path, err error) {
	nodes, err := s.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return path{}, path{}, err
	}
	if len(nodes.Items) < 2 {
		return path{}, path{}, errors.New("the cluster has less than two nodes")
	}
	ends := map[string]end{}
	for name, node := range map[string]corev1.Node{"a": nodes.Items[0], "b": nodes.Items[0], "c": nodes.Items[1]} {
		if _, err := s.Kube.CoreV1().Pods(s.Namespace).Create(ctx, s.Pod(name, node.Name, ""), metav1.CreateOptions{}); err != nil {
			return path{}, path{}, err
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		pod, err := s.Running(ctx, name)
		if err != nil {
			return path{}, path{}, err
		}
		pid, err := s.Process(name)
		if err != nil {
			return path{}, path{}, err
		}
		ends[name] = end{netns: "/proc/" + pid + "/ns/net", address: pod.Status.PodIP}
	}
	return path{ends["a"], ends["b"]}, path{ends["a"], ends["c"]}, nil
}
