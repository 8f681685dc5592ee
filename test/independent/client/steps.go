package client

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
)

type object = map[string]any

func (t *traveller) create(ctx context.Context) error {
	a, err := t.call(ctx, http.MethodPost, "/v0/clusters", object{"name": t.Name, "version": t.version, "description": "made by an independent client",
		"node_pools": []object{{"name": "first", "flavor": t.flavor, "replicas": 1}}}, http.StatusCreated)
	if err != nil {
		return err
	}
	var c cluster
	if err := a.into(&c); err != nil {
		return err
	}
	t.cluster = c.ID
	if c.Name != t.Name {
		return fmt.Errorf("named %q", c.Name)
	}
	return nil
}

// awaitRunning sees only states that are published.
func (t *traveller) awaitRunning(ctx context.Context) error {
	published := []string{"Pending", "Provisioning", "Running", "Provisioned", "Terminating", "Deleting", "Failed"}
	return t.until(ctx, func() (bool, string, error) {
		var c cluster
		if err := t.get(ctx, t.path(), &c); err != nil {
			return false, "", err
		}
		if c.Status == nil || !slices.Contains(published, c.Status.State) || c.Status.State == "Failed" {
			return false, "", fmt.Errorf("status %+v", c.Status)
		}
		if c.Version != t.version || len(c.NodePools) != 1 {
			return false, "", fmt.Errorf("not what was asked for: %+v", c)
		}
		t.first = c.NodePools[0].ID
		return c.Status.State == "Running", c.Status.State + ": " + c.Status.Message, nil
	})
}

func (t *traveller) list(ctx context.Context) error {
	var list struct{ Results []cluster }
	if err := t.get(ctx, "/v0/clusters", &list); err != nil {
		return err
	}
	if !slices.ContainsFunc(list.Results, func(c cluster) bool { return c.ID == t.cluster && c.Name == t.Name && c.Status != nil }) {
		return fmt.Errorf("%s is not among %+v", t.cluster, list.Results)
	}
	return nil
}

func (t *traveller) addPool(ctx context.Context) error {
	labels, taints := map[string]string{"made-by": "independent"}, []taint{{"dedicated", "independent", "NoSchedule"}, {"also", "", "PreferNoSchedule"}}
	a, err := t.call(ctx, http.MethodPost, t.path()+"/node_pools", object{"name": "second", "flavor": t.flavor, "replicas": 1,
		"labels": labels, "taints": taints, "max_pods_per_node": 64}, http.StatusCreated)
	if err != nil {
		return err
	}
	var p pool
	if err := a.into(&p); err != nil {
		return err
	}
	t.second = p.ID
	if p.Replicas != 1 || p.InstanceTemplate.Flavor.Name != t.flavor || p.MaxPodsPerNode != 64 || !reflect.DeepEqual(p.Labels, labels) || !slices.Equal(p.Taints, taints) {
		return fmt.Errorf("not what was asked for: %s", a.body)
	}
	return t.awaitPool(ctx, 1)
}

// awaitPool waits until the second pool runs with so many nodes.
func (t *traveller) awaitPool(ctx context.Context, replicas int) error {
	published := []string{"ScalingUp", "ScalingDown", "Pending", "Running", "Failed", "Unknown"}
	return t.until(ctx, func() (bool, string, error) {
		var p pool
		if err := t.get(ctx, t.pool(t.second), &p); err != nil {
			return false, "", err
		}
		if !slices.Contains(published, p.Status.State) || p.Replicas != replicas {
			return false, "", fmt.Errorf("%+v", p)
		}
		running, err := t.runningNodes(ctx)
		return p.Status.State == "Running" && running == replicas, fmt.Sprintf("%s %v with %d nodes", p.Status.State, p.Status.Messages, running), err
	})
}

// runningNodes counts the nodes of the second pool; any node in another state counts as one too many.
func (t *traveller) runningNodes(ctx context.Context) (int, error) {
	var nodes struct {
		Results []struct {
			NodePoolName string `json:"nodepool_name"`
			Status       status
			Taints       []taint
		}
	}
	if err := t.get(ctx, t.pool(t.second)+"/nodes", &nodes); err != nil {
		return 0, err
	}
	for _, n := range nodes.Results {
		if n.NodePoolName != "second" || n.Taints == nil {
			return 0, fmt.Errorf("node %+v", n)
		}
		if n.Status.State != "Running" {
			return -1, nil
		}
	}
	return len(nodes.Results), nil
}

func (t *traveller) resizePool(ctx context.Context) error {
	for _, n := range []int{2, 1} {
		a, err := t.call(ctx, http.MethodPatch, t.pool(t.second), object{"replicas": n}, http.StatusOK)
		if err != nil {
			return err
		}
		var p pool
		if err := a.into(&p); err != nil {
			return err
		}
		if p.Replicas != n {
			return fmt.Errorf("%d replicas were asked for: %s", n, a.body)
		}
		if err := t.awaitPool(ctx, n); err != nil {
			return fmt.Errorf("%d replicas: %w", n, err)
		}
	}
	return nil
}

func (t *traveller) listPools(ctx context.Context) error {
	var list struct {
		Results []struct{ ID, Name, Flavor string }
	}
	if err := t.get(ctx, "/v1alpha0/clusters/"+t.cluster+"/node-pools", &list); err != nil {
		return err
	}
	if len(list.Results) != 2 || list.Results[0].ID != t.first || list.Results[1].ID != t.second || list.Results[1].Flavor != t.flavor {
		return fmt.Errorf("%+v", list.Results)
	}
	return nil
}

func (t *traveller) deletePool(ctx context.Context) error {
	if _, err := t.call(ctx, http.MethodDelete, t.pool(t.second), nil, http.StatusNoContent); err != nil {
		return err
	}
	return t.gone(ctx, t.pool(t.second))
}

// gone waits until there is nothing any more.
func (t *traveller) gone(ctx context.Context, path string) error {
	return t.until(ctx, func() (bool, string, error) {
		a, err := t.call(ctx, http.MethodGet, path, nil, http.StatusOK, http.StatusNotFound)
		if err != nil {
			return false, "", err
		}
		return a.status == http.StatusNotFound, string(a.body), nil
	})
}

func (t *traveller) patch(ctx context.Context) error {
	cidrs := []string{"0.0.0.0/1", "128.0.0.0/1"} // everyone, in an order that is kept
	a, err := t.call(ctx, http.MethodPatch, t.path(), object{"description": "changed", "allowed_cidrs": cidrs}, http.StatusOK)
	if err != nil {
		return err
	}
	var c cluster
	if err := a.into(&c); err != nil {
		return err
	}
	if c.Description != "changed" || !slices.Equal(c.AllowedCIDRs, cidrs) {
		return fmt.Errorf("the answer is not what was asked for: %s", a.body)
	}
	if err := t.get(ctx, t.path(), &c); err != nil {
		return err
	}
	if c.Description != "changed" || !slices.Equal(c.AllowedCIDRs, cidrs) {
		return fmt.Errorf("not kept: %+v", c)
	}
	return t.awaitRunning(ctx)
}

// refusals are answers of the kind Error.
func (t *traveller) refusals(ctx context.Context) error {
	const nobody = "/v0/clusters/00000000-0000-4000-8000-000000000000"
	for _, path := range []string{nobody, nobody + "/kubeconfig", t.pool("00000000-0000-4000-8000-000000000000")} {
		if _, err := t.call(ctx, http.MethodGet, path, nil, http.StatusNotFound); err != nil {
			return err
		}
	}
	if _, err := t.call(ctx, http.MethodPost, "/v0/clusters", object{"name": "Not A Name"}, http.StatusBadRequest); err != nil {
		return err
	}
	a, err := t.send(ctx, "00000000-0000-4000-8000-000000000000", http.MethodGet, t.path(), nil)
	if err != nil {
		return err
	}
	if a.status != http.StatusUnauthorized {
		return fmt.Errorf("a wrong key is answered %d", a.status)
	}
	return nil
}

func (t *traveller) delete(ctx context.Context) error {
	if _, err := t.call(ctx, http.MethodDelete, t.path(), nil, http.StatusNoContent); err != nil {
		return err
	}
	if _, err := t.call(ctx, http.MethodDelete, t.path(), nil, http.StatusConflict, http.StatusNotFound); err != nil {
		return err
	}
	return t.gone(ctx, t.path())
}
