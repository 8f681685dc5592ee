package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/test/bench/benchsite"
)

const markDecided = "decided"

// byAutoscaler makes Pods for an empty pool.
func byAutoscaler(ctx context.Context, s *site, pool, flavor string) (t *benchsite.Timeline, err error) {
	defer func() { err = errors.Join(err, s.cleanUpPool(context.WithoutCancel(ctx), pool)) }()
	if err := s.emptyPool(ctx, pool, flavor); err != nil {
		return nil, err
	}
	t = benchsite.NewTimeline()
	if err := s.ask(ctx, pool); err != nil {
		return nil, err
	}
	return t, follow(ctx, t, append([]step{
		{markDecided, func(ctx context.Context) (bool, error) { return s.decided(ctx, pool) }},
		{markVMs, func(ctx context.Context) (bool, error) { return s.vmsRun(ctx, pool) }},
	}, s.arrivals(pool)...))
}

// emptyPool makes a pool without nodes and waits until an autoscaler knows it.
func (s *site) emptyPool(ctx context.Context, pool, flavor string) error {
	labels, err := json.Marshal(map[string]string{poolLabel: pool})
	if err != nil {
		return err
	}
	_, err = s.region.MGC(ctx, "nodepool", "create", s.cluster, "--name", pool, "--flavor", flavor, "--replicas", "0", "--labels", string(labels),
		"--auto-scale.min-replicas", "0", "--auto-scale.max-replicas", fmt.Sprint(2*wanted), "--wait")
	if err != nil {
		return err
	}
	return benchsite.Until(ctx, "the autoscaler knows the pool "+pool, func(ctx context.Context) (bool, error) {
		status, err := s.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "cluster-autoscaler-status", metav1.GetOptions{})
		return err == nil && strings.Contains(status.Data["status"], "name: "+pool+"\n"), err
	})
}

// decided says that so many machines are ordered.
func (s *site) decided(ctx context.Context, pool string) (bool, error) {
	md := &clusterv1.MachineDeployment{}
	key := client.ObjectKey{Namespace: "cluster-" + s.ClusterID, Name: pool}
	if err := s.management.Get(ctx, key, md); err != nil {
		return false, err
	}
	return ptr.Deref(md.Spec.Replicas, 0) == wanted, nil
}

// vmsRun asks the cloud; machines are named after their pools.
func (s *site) vmsRun(ctx context.Context, pool string) (bool, error) {
	instances, err := s.region.Cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{})
	n := 0
	for _, vm := range instances {
		if strings.HasPrefix(vm.Name, pool+"-") && vm.State == mgc.InstanceRunning {
			n++
		}
	}
	return n == wanted, err
}

// cleanUpPool removes Pods and pool, whatever happened before.
func (s *site) cleanUpPool(ctx context.Context, pool string) error {
	forgotten := s.forget(ctx, pool)
	_, deleted := s.region.MGC(ctx, "nodepool", "delete", s.cluster, pool, "--wait", "--no-confirm")
	return errors.Join(forgotten, deleted, benchsite.Until(ctx, "the nodes are gone", func(ctx context.Context) (bool, error) {
		_, n, err := s.ready(ctx, pool)
		return n == 0 && err == nil, err
	}))
}
