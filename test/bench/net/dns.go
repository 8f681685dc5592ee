package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/test/bench/benchsite"
)

const (
	// asked is a name that the cluster's servers answer for.
	asked   = "kubernetes.default.svc.cluster.local."
	lookups = 2000
)

// resolve times lookups of a pod through the Service of the cluster's DNS, beside lookups at a server on the pod's own node: as
// quick as a cache on every node could be at best.
func resolve(ctx context.Context, s *benchsite.Site) error {
	service, err := s.Kube.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, "kube-dns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	server, err := dnsServer(ctx, s)
	if err != nil {
		return err
	}
	if _, err := s.Kube.CoreV1().Pods(s.Namespace).Create(ctx, s.Pod("dns", server.Spec.NodeName, ""), metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := s.Running(ctx, "dns"); err != nil {
		return err
	}
	pid, err := s.Process("dns")
	if err != nil {
		return err
	}
	netns := "/proc/" + pid + "/ns/net"
	floor, err := lookUp(ctx, netns, server.Status.PodIP)
	if err != nil {
		return err
	}
	through, err := lookUp(ctx, netns, service.Spec.ClusterIP)
	if err != nil {
		return err
	}
	p50, p99 := percentiles(through)
	floor50, floor99 := percentiles(floor)
	fmt.Printf("RESULT dns ratio=%.2f p50_us=%d p99_us=%d floor_p50_us=%d floor_p99_us=%d lookups=%d\n",
		float64(p50)/float64(floor50), p50.Microseconds(), p99.Microseconds(), floor50.Microseconds(), floor99.Microseconds(), lookups)
	return nil
}

func dnsServer(ctx context.Context, s *benchsite.Site) (corev1.Pod, error) {
	pods, err := s.Kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=coredns"})
	if err != nil {
		return corev1.Pod{}, err
	}
	i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	if i < 0 {
		return corev1.Pod{}, errors.New("no CoreDNS runs in the cluster")
	}
	return pods.Items[i], nil
}

// lookUp asks one question after the other, each from a port of its own as resolvers do, and returns how long the answers took.
func lookUp(ctx context.Context, netns, server string) ([]time.Duration, error) {
	question := new(dns.Msg).SetQuestion(asked, dns.TypeA)
	client := &dns.Client{Timeout: 5 * time.Second}
	took := make([]time.Duration, 0, lookups)
	for range lookups {
		var conn net.Conn
		err := dataplane.Inside(netns, func() (err error) {
			conn, err = (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(server, "53"))
			return err
		})
		if err != nil {
			return nil, err
		}
		answer, rtt, err := client.ExchangeWithConnContext(ctx, question, &dns.Conn{Conn: conn})
		if err := errors.Join(err, conn.Close()); err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
		if len(answer.Answer) == 0 {
			return nil, fmt.Errorf("%s has no answer for %s", server, asked)
		}
		took = append(took, rtt)
	}
	return took, nil
}

func percentiles(of []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(of)
	return of[len(of)/2], of[len(of)*99/100]
}
