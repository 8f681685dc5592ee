//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	poolName          = "nodepool01"
	poolFlavor        = "BV4-8-40"
	onePool           = `[{"flavor": "BV4-8-40", "name": "nodepool01", "replicas": 1}]`
	kubernetesVersion = "v1.34.2"
	creationLimit     = 6 * time.Minute
	deletionLimit     = 3 * time.Minute
)

// cluster is a customer cluster under test.
type cluster struct {
	r          *region
	id, name   string
	kubeconfig string
}

// create starts a cluster as the talk does; more are flags of `mgc kubernetes cluster create`.
func (r *region) create(t *testing.T, name string, more ...string) *cluster {
	t.Helper()
	return r.createWith(t, name, onePool, more...)
}

// createWith starts a cluster with the given pools.
func (r *region) createWith(t *testing.T, name, pools string, more ...string) *cluster {
	t.Helper()
	args := append([]string{"cluster", "create", "--name", name, "--node-pools", pools, "-o", "json", "--raw"}, more...)
	res := r.mgc(args...)
	if res.code != 0 || res.stderr != "" {
		t.Fatalf("%s", res)
	}
	var made struct{ ID, Name string }
	if err := json.Unmarshal([]byte(res.stdout), &made); err != nil || made.ID == "" || made.Name != name {
		t.Fatalf("not the created cluster: %v\n%s", err, res)
	}
	return &cluster{r: r, id: made.ID, name: name}
}

func (c *cluster) state() (string, error) {
	res := c.r.mgc("cluster", "get", c.id, "-o", "json", "--raw")
	if res.code != 0 {
		return "", fmt.Errorf("%s", res)
	}
	var got struct {
		Status struct{ State, Message string }
	}
	if err := json.Unmarshal([]byte(res.stdout), &got); err != nil {
		return "", err
	}
	if got.Status.State == "Failed" {
		return "", fmt.Errorf("the cluster failed: %s", got.Status.Message)
	}
	return got.Status.State, nil
}

func (c *cluster) waitRunning(t *testing.T) {
	t.Helper()
	eventually(t, creationLimit, c.name+" is Running", func() error {
		state, err := c.state()
		if err == nil && state != "Running" {
			err = fmt.Errorf("its state is %s", state)
		}
		return err
	})
}

// waitGone waits until the API does not know the cluster any more.
func (c *cluster) waitGone(t *testing.T) {
	t.Helper()
	eventually(t, deletionLimit, c.name+" is gone", func() error {
		res := c.r.mgc("cluster", "get", c.id, "-o", "json", "--raw")
		if res.code == 3 {
			return nil
		}
		return fmt.Errorf("%s", res)
	})
}

// fetchKubeconfig saves the kubeconfig, byte for byte, in dir.
func (c *cluster) fetchKubeconfig(t *testing.T, dir string) {
	t.Helper()
	text := c.r.mustMgc(t, "cluster", "kubeconfig", c.id, "--raw")
	for _, want := range []string{"certificate-authority-data:", "client-certificate-data:", "client-key-data:"} {
		if !strings.Contains(text, want) {
			t.Fatalf("the kubeconfig lacks %s", want)
		}
	}
	c.kubeconfig = filepath.Join(dir, c.name+".yaml")
	if err := os.WriteFile(c.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) kubectl(args ...string) result { return c.r.kubectl(c.kubeconfig, "", args...) }

func (c *cluster) mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	res := c.kubectl(args...)
	if res.code != 0 {
		t.Fatalf("%s", res)
	}
	return res.stdout
}

func (c *cluster) apply(t *testing.T, manifest string) {
	t.Helper()
	if res := c.r.kubectl(c.kubeconfig, manifest, "apply", "-f", "-"); res.code != 0 {
		t.Fatalf("%s", res)
	}
}

func (c *cluster) nodes() ([]corev1.Node, error) {
	res := c.kubectl("get", "nodes", "-o", "json")
	if res.code != 0 {
		return nil, fmt.Errorf("%s", res)
	}
	var list corev1.NodeList
	err := json.Unmarshal([]byte(res.stdout), &list)
	return list.Items, err
}

// waitNodes waits until there are exactly n nodes, all Ready.
func (c *cluster) waitNodes(t *testing.T, n int, limit time.Duration) []corev1.Node {
	t.Helper()
	var nodes []corev1.Node
	eventually(t, limit, fmt.Sprintf("%s has %d nodes, all Ready", c.name, n), func() (err error) {
		if nodes, err = c.nodes(); err != nil {
			return err
		}
		ready := 0
		for _, node := range nodes {
			if nodeReady(node) {
				ready++
			}
		}
		if ready != n || len(nodes) != n {
			return fmt.Errorf("%d nodes, %d of them Ready", len(nodes), ready)
		}
		return nil
	})
	return nodes
}

func nodeReady(n corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func isControlPlane(n corev1.Node) bool {
	_, ok := n.Labels["node-role.kubernetes.io/control-plane"]
	return ok
}

// endpoint is the address of the cluster's API server, as the kubeconfig has it.
func (c *cluster) endpoint(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(strings.TrimSpace(c.mustKubectl(t, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")))
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
