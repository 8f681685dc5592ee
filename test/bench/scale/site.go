package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"magalu.cloud/mke/test/bench/benchsite"
)

// poolName of the pool that grows.
const poolName = "hollow"

// site is a cluster with room for thousands of nodes, and the region that it is in.
type site struct {
	options
	region           *benchsite.Region
	kube, management *kubernetes.Clientset
	clusterID        string
}

func openSite(ctx context.Context, o options) (*site, error) {
	s := &site{options: o}
	var err error
	if s.region, err = benchsite.OpenRegion(ctx, o.binDir, o.dataDir); err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.region.ManagementKubeconfig)
	if err != nil {
		return nil, err
	}
	if s.management, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if _, err := s.region.MGC(ctx, "cluster", "get", o.cluster, "-o", "json"); err != nil {
		if err := s.createCluster(ctx); err != nil {
			return nil, err
		}
	}
	return s, s.connect(ctx)
}

// createCluster makes a cluster with a network for 4,096 nodes and one real node for what must really run.
func (s *site) createCluster(ctx context.Context) error {
	pools := []map[string]any{
		{"name": "real", "flavor": "BV2-4-40", "replicas": 1},
		{"name": poolName, "flavor": s.flavor.Name, "replicas": 0, "labels": map[string]string{"example.com/pool": poolName},
			"taints": []map[string]string{{"key": "example.com/hollow", "value": "true", "effect": "NoSchedule"}}},
	}
	if s.autoscaled() {
		pools[1]["auto_scale"] = map[string]int{"min_replicas": 0, "max_replicas": s.nodes}
	}
	text, err := json.Marshal(pools)
	if err != nil {
		return err
	}
	fmt.Printf("making the cluster %s\n", s.cluster)
	begin := time.Now()
	defer func() { fmt.Printf("RESULT scale create_s=%.1f\n", time.Since(begin).Seconds()) }()
	_, err = s.region.MGC(ctx, "cluster", "create", "--name", s.cluster, "--cluster-ipv4-cidr", "10.128.0.0/12", "--services-ipv4-cidr", "10.96.0.0/16",
		"--node-pools", string(text), "--wait")
	return err
}

func (s *site) connect(ctx context.Context) error {
	out, err := s.region.MGC(ctx, "cluster", "get", s.cluster, "-o", "json")
	if err != nil {
		return err
	}
	var cluster struct{ ID string }
	if err := json.Unmarshal(out, &cluster); err != nil {
		return err
	}
	s.clusterID = cluster.ID
	kubeconfig, err := s.region.MGC(ctx, "cluster", "kubeconfig", s.cluster)
	if err != nil {
		return err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	s.kube, err = kubernetes.NewForConfig(protobuf)
	return err
}

func (s *site) deleteCluster(ctx context.Context) error {
	fmt.Printf("deleting the cluster %s\n", s.cluster)
	_, err := s.region.MGC(ctx, "cluster", "delete", s.cluster, "--wait", "--no-confirm")
	return err
}

func (s *site) autoscaled() bool { return len(s.steps) == 0 }

// resize changes the pool by hand.
func (s *site) resize(ctx context.Context, n int) error {
	_, err := s.region.MGC(ctx, "nodepool", "update", s.cluster, poolName, "--replicas", fmt.Sprint(n))
	return err
}

// empty takes the pool to no nodes. An autoscaled one by its bounds: the autoscaler itself waits ten minutes before it removes anything.
func (s *site) empty(ctx context.Context) error {
	if !s.autoscaled() {
		return s.resize(ctx, 0)
	}
	_, err := s.region.MGC(ctx, "nodepool", "update", s.cluster, poolName, "--auto-scale.min-replicas", "0", "--auto-scale.max-replicas", "0")
	return err
}

// says is what the product says about the pool, and how many nodes it is to have: by whoever resizes it, or by the autoscaler.
func (s *site) says(ctx context.Context) (decided int, status string, err error) {
	out, err := s.region.MGC(ctx, "nodepool", "get", s.cluster, poolName, "-o", "json")
	if err != nil {
		return 0, "", err
	}
	var pool struct {
		Replicas int
		Status   struct {
			State    string
			Messages []string
		}
	}
	err = json.Unmarshal(out, &pool)
	return pool.Replicas, fmt.Sprint(pool.Status.State, " ", pool.Status.Messages), err
}
