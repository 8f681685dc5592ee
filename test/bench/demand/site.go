package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"

	"magalu.cloud/mke/test/bench/benchsite"
)

// site is a cluster of one real node, and the region that it is in.
type site struct {
	*benchsite.Site
	region     *benchsite.Region
	management client.Client
	cluster    string
}

func openSite(ctx context.Context, region *benchsite.Region, bin, data string) (s *site, err error) {
	s = &site{region: region, cluster: fmt.Sprintf("bench-demand-%d", time.Now().Unix()%100000)}
	if s.management, err = managementClient(region.ManagementKubeconfig); err != nil {
		return nil, err
	}
	fmt.Printf("making the cluster %s\n", s.cluster)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	_, err = region.MGC(ctx, "cluster", "create", "--name", s.cluster, "--node-pools", `[{"name": "real", "flavor": "BV2-4-40", "replicas": 1}]`, "--wait")
	if err != nil {
		return nil, err
	}
	s.Site, err = benchsite.Open(ctx, bin, data, s.cluster, "bench-demand")
	return s, err
}

func managementClient(kubeconfig string) (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := clusterv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// close deletes the cluster.
func (s *site) close(ctx context.Context) error {
	fmt.Printf("deleting the cluster %s\n", s.cluster)
	_, err := s.region.MGC(ctx, "cluster", "delete", s.cluster, "--wait", "--no-confirm")
	return err
}
