package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/test/bench/benchsite"
)

// Marks that both ways have, or that the report uses.
const (
	markReady      = "all nodes Ready"
	markRunning    = "the API says Running"
	markDNS        = "DNS answers in a pod"
	markNothing    = "nothing left"
	workerReplicas = 1
	nodesWanted    = 2
	workerFlavor   = "BV4-8-40"
	controlFlavor  = "BV2-4-40"
)

// byPlatform creates a cluster as the talk does, and deletes it.
func byPlatform(ctx context.Context, r *region, name string) (created, deleted *benchsite.Timeline, memory []usage, err error) {
	created = benchsite.NewTimeline()
	out, err := r.call(ctx, http.MethodPost, "/v0/clusters", map[string]any{"name": name,
		"node_pools": []any{map[string]any{"name": "nodepool01", "flavor": workerFlavor, "replicas": workerReplicas}}})
	if err != nil {
		return nil, nil, nil, err
	}
	created.Mark("accepted")
	var c struct{ ID string }
	if err := json.Unmarshal(out, &c); err != nil {
		return nil, nil, nil, err
	}
	watchErr := watchCreation(ctx, r, c.ID, created)
	if watchErr == nil {
		watchErr = addPhases(ctx, r, c.ID, created)
		memory = r.memory(ctx)
	}
	deleted, err = deleteCluster(context.WithoutCancel(ctx), r, c.ID)
	return created, deleted, memory, errors.Join(watchErr, err)
}

func watchCreation(ctx context.Context, r *region, id string, t *benchsite.Timeline) error {
	var kube *kubernetes.Clientset
	return until(ctx, "the cluster is ready in every way", func(ctx context.Context) (bool, error) {
		if kube == nil {
			config, err := r.call(ctx, http.MethodGet, "/v0/clusters/"+id+"/kubeconfig", nil)
			if err != nil {
				return false, err
			}
			if kube, err = clientset(config, ""); err != nil {
				return false, err
			}
			t.Mark("kubeconfig served")
		}
		if err := lookInside(ctx, kube, t); err != nil {
			return false, err
		}
		if !t.Has(markRunning) {
			var c struct {
				Status struct{ State, Message string }
			}
			if err := r.get(ctx, "/v0/clusters/"+id, &c); err != nil {
				return false, err
			}
			if c.Status.State == "Running" {
				t.Mark(markRunning)
			}
		}
		return t.Has(markRunning) && t.Has(markReady) && t.Has(markDNS), nil
	})
}

// lookInside marks what can be seen in the cluster itself.
func lookInside(ctx context.Context, kube kubernetes.Interface, t *benchsite.Timeline) error {
	if !t.Has(markReady) {
		nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if !t.Has("API server answers") {
			t.Mark("API server answers")
		}
		ready := readyNodes(nodes.Items)
		if ready > 0 && !t.Has("first node Ready") {
			t.Mark("first node Ready")
		}
		if ready == nodesWanted {
			t.Mark(markReady)
		}
	}
	return probeDNS(ctx, kube, t)
}

func readyNodes(nodes []corev1.Node) int {
	n := 0
	for _, node := range nodes {
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				n++
			}
		}
	}
	return n
}

// probeDNS runs one pod that ends when a name is resolved.
func probeDNS(ctx context.Context, kube kubernetes.Interface, t *benchsite.Timeline) error {
	if t.Has(markDNS) {
		return nil
	}
	pods := kube.CoreV1().Pods("default")
	pod, err := pods.Get(ctx, "dns", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = pods.Create(ctx, dnsPod(), metav1.CreateOptions{}) // refused until the namespace has its service account
		return err
	}
	if err == nil && pod.Status.Phase == corev1.PodSucceeded {
		t.Mark(markDNS)
	}
	return err
}

func dnsPod() *corev1.Pod {
	const script = "until nslookup kubernetes.default.svc.cluster.local | grep -q 10.96.0.1; do sleep 0.1; done"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "dns"},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
			Name: "dns", Image: "docker.io/library/busybox:latest", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sh", "-c", script},
		}}},
	}
}

// addPhases adds when the platform says that its phases ended.
func addPhases(ctx context.Context, r *region, id string, t *benchsite.Timeline) error {
	var list struct {
		Results []struct {
			Kind   string
			Phases []struct {
				Name       string
				FinishedAt *time.Time `json:"finished_at"`
			}
		}
	}
	if err := r.get(ctx, "/v0/clusters/"+id+"/operations", &list); err != nil {
		return err
	}
	for _, o := range list.Results {
		for _, p := range o.Phases {
			if o.Kind == "CreateCluster" && p.FinishedAt != nil {
				t.MarkAt("phase "+p.Name+" done", *p.FinishedAt)
			}
		}
	}
	return nil
}

// deleteCluster measures until neither the API, nor the cloud, nor the management cluster has anything of the cluster.
func deleteCluster(ctx context.Context, r *region, id string) (*benchsite.Timeline, error) {
	t := benchsite.NewTimeline()
	if _, err := r.call(ctx, http.MethodDelete, "/v0/clusters/"+id, nil); err != nil {
		return nil, err
	}
	t.Mark("deletion accepted")
	err := until(ctx, "nothing is left of the cluster", func(ctx context.Context) (bool, error) {
		if !t.Has("cloud is empty") {
			if left, err := r.inCloud(ctx, id); err != nil || left > 0 {
				return false, err
			}
			t.Mark("cloud is empty")
		}
		if !t.Has("the API does not know it") {
			if _, err := r.call(ctx, http.MethodGet, "/v0/clusters/"+id, nil); !errors.Is(err, errNotFound) {
				return false, err
			}
			t.Mark("the API does not know it")
		}
		_, err := r.management.CoreV1().Namespaces().Get(ctx, "cluster-"+id, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return false, err
		}
		t.Mark(markNothing)
		return true, nil
	})
	return t, err
}

// inCloud counts what the customer's tenant has of a cluster.
func (r *region) inCloud(ctx context.Context, id string) (int, error) {
	n := 0
	instances, err := r.Cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{})
	if err != nil {
		return 0, err
	}
	for _, i := range instances {
		if i.HasLabel("mke.cluster-id=" + id) {
			n++
		}
	}
	balancers, err := r.Cloud.LoadBalancer.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, lb := range balancers {
		if strings.Contains(lb.Name, id) {
			n++
		}
	}
	groups, err := r.Cloud.Network.ListSecurityGroups(ctx)
	if err != nil {
		return 0, err
	}
	for _, g := range groups {
		if strings.Contains(g.Name, id) {
			n++
		}
	}
	accounts, err := r.Cloud.IAM.ListServiceAccounts(ctx)
	if err != nil {
		return 0, fmt.Errorf("service accounts: %w", err)
	}
	for _, a := range accounts {
		if strings.Contains(a.Name, id) {
			n++
		}
	}
	return n, nil
}
