package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/owned"
)

// Cloud lists what a tenant has in the cloud.
type Cloud interface {
	Instances(ctx context.Context, tenant string) ([]mgc.Instance, error)
	LoadBalancers(ctx context.Context, tenant string) ([]mgc.LoadBalancer, error)
}

// machines compares the machines of the management cluster with the instances of the cloud, and finds load balancers of clusters that are
// nowhere else. A cloud that does not answer says nothing about what is there.
func (c *comparison) machines(ctx context.Context, cloud Cloud) error {
	have := map[string]bool{} // instances of all tenants that were read
	complete := true
	var instances []mgc.Instance
	for tenant := range c.tenants {
		list, err := cloud.Instances(ctx, tenant)
		if err == nil {
			err = c.balancers(ctx, cloud, tenant)
		}
		if err != nil {
			complete = false
			c.add(Unknown, "Tenant", "", tenant, fmt.Sprintf("the cloud does not tell: %v", err))
			continue
		}
		instances = append(instances, list...)
	}
	for i := range instances {
		have[instances[i].ID] = true
	}
	claimed := map[string]bool{}
	err := each(ctx, c.kube, infrav1.GroupVersion.WithKind("MGKMachine"), func(u *unstructured.Unstructured) error {
		provider, _, _ := unstructured.NestedString(u.Object, "spec", "providerID")
		id := provider[strings.LastIndex(provider, "/")+1:]
		if id == "" {
			claimed[u.GetNamespace()+"/"+u.GetName()] = true
			return nil // not made yet
		}
		claimed[id] = true
		if complete && !have[id] && u.GetDeletionTimestamp() == nil {
			c.add(NotInCloud, "MGKMachine", strings.TrimPrefix(u.GetNamespace(), mkev1.ClusterNamespace("")), u.GetName(), "instance "+id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range instances {
		c.claim(&instances[i], claimed)
	}
	return nil
}

// claim finds instances that carry a cluster's mark and belong to no machine.
func (c *comparison) claim(instance *mgc.Instance, claimed map[string]bool) {
	cluster, machine := "", ""
	for _, label := range instance.Labels {
		if id, ok := strings.CutPrefix(label, owned.Mark("")); ok {
			cluster = id
		}
		if name, ok := strings.CutPrefix(label, "mke.machine="); ok {
			machine = name
		}
	}
	if cluster != "" && !claimed[instance.ID] && !claimed[machine] {
		c.add(Unclaimed, "Instance", cluster, instance.Name, "instance "+instance.ID)
	}
}

func (c *comparison) balancers(ctx context.Context, cloud Cloud, tenant string) error {
	list, err := cloud.LoadBalancers(ctx, tenant)
	for i := range list {
		lb := &list[i]
		if lb.Status == mgc.LoadBalancerDeleted {
			continue
		}
		words := strings.Fields(lb.Description)
		at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, owned.Mark("")) })
		if at < 0 {
			continue
		}
		if cluster := strings.TrimPrefix(words[at], owned.Mark("")); !c.clusters[cluster] {
			c.add(Unclaimed, "LoadBalancer", cluster, lb.Name, "load balancer "+lb.ID)
		}
	}
	return err
}
