package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"magalu.cloud/mke/internal/image"
)

const (
	nodePools         = `[{"name": "workers", "flavor": "BV4-8-40", "replicas": 2}]`
	whenRunning       = `360,5s,jsonpath=$.status.state == "Running"`
	controlPlaneLabel = "node-role.kubernetes.io/control-plane"
)

// cluster is a customer's cluster, made and removed with the customer's tools.
type cluster struct {
	options
	kubeconfig string
	client     *kubernetes.Clientset
}

// openCluster takes the cluster of that name, of an interrupted run maybe, or makes it.
func openCluster(ctx context.Context, o options) (*cluster, error) {
	c := &cluster{options: o, kubeconfig: filepath.Join(o.data, "conformance", "kubeconfig")}
	_, missing := c.mgc(ctx, "get", o.cluster)
	err := c.open(ctx, missing != nil)
	if err != nil && missing != nil && !o.keep {
		err = errors.Join(err, c.delete(context.WithoutCancel(ctx)))
	}
	return c, err
}

func (c *cluster) open(ctx context.Context, create bool) error {
	if create {
		fmt.Println("making the cluster", c.cluster)
		if _, err := c.mgc(ctx, "create", "--name", c.cluster, "--node-pools", nodePools, "--wait"); err != nil {
			return err
		}
	} else if _, err := c.mgc(ctx, "get", c.cluster, "--cli.retry-until", whenRunning); err != nil {
		return err
	}
	text, err := c.mgc(ctx, "kubeconfig", c.cluster, "--raw")
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(c.kubeconfig), 0o700), os.WriteFile(c.kubeconfig, text, 0o600)); err != nil {
		return err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		return err
	}
	c.client, err = kubernetes.NewForConfig(config)
	return err
}

func (c *cluster) mgc(ctx context.Context, verb string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "mgc"), append([]string{"kubernetes", "cluster", verb}, args...)...)
	cmd.Env = append(os.Environ(), "MGC_CONFIG_DIR="+filepath.Join(c.data, "mgc"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("mgc kubernetes cluster %s: %w\n%s", verb, err, lastLines(stderr.Bytes(), 5))
	}
	return out, nil
}

func (c *cluster) delete(ctx context.Context) error {
	fmt.Println("deleting the cluster", c.cluster)
	_, err := c.mgc(ctx, "delete", c.cluster, "--no-confirm", "--wait")
	return errors.Join(err, os.RemoveAll(c.kubeconfig))
}

// load puts the test images into the workers, there being no registry. The suite's pods do not run on control planes.
func (c *cluster) load(ctx context.Context, s *suite) error {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "!" + controlPlaneLabel})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		fmt.Println("loading the test images into", node.Name)
		if err := c.loadNode(ctx, node.Name, s.images); err != nil {
			return fmt.Errorf("load the test images into %s: %w", node.Name, err)
		}
	}
	return nil
}

func (c *cluster) loadNode(ctx context.Context, node string, images func(io.Writer) error) error {
	reader, writer := io.Pipe()
	defer reader.Close() // ends the writer, too
	go func() { writer.CloseWithError(images(writer)) }()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "mke"), "cloud", "exec", "--data-dir", c.data, node, "--",
		"ctr", "--namespace", "k8s.io", "images", "import", "--local", "--snapshotter", "overlayfs", "-")
	cmd.Stdin = reader
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, lastLines(out, 5))
	}
	return nil
}

// environment is what results belong to: they count together when all of identity is equal.
type environment struct {
	Kubernetes string   `json:"kubernetes"`
	NodeImage  string   `json:"node_image"`
	Build      string   `json:"build"` // of this repository
	Nodes      []string `json:"nodes"`
	System     []string `json:"system"` // images of the cluster's own pods
	Machine    string   `json:"machine"`
}

func (e environment) identity() string { return e.Kubernetes + " " + e.NodeImage }

func (c *cluster) environment(ctx context.Context) (environment, error) {
	e := environment{Kubernetes: image.KubernetesVersion, Machine: machine()}
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return e, err
	}
	for _, n := range nodes.Items {
		role := "worker"
		if _, ok := n.Labels[controlPlaneLabel]; ok {
			role = "control plane"
		}
		e.Nodes = append(e.Nodes, fmt.Sprintf("%s, %s CPUs, %s MiB", role, n.Status.Capacity.Cpu(), mebibytes(n.Status.Capacity.Memory().Value())))
		e.NodeImage = n.Status.NodeInfo.KubeletVersion + ", " + n.Status.NodeInfo.ContainerRuntimeVersion + ", " + n.Status.NodeInfo.OSImage
	}
	pods, err := c.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return e, err
	}
	for _, p := range pods.Items {
		for _, container := range p.Spec.Containers {
			e.System = append(e.System, path.Base(path.Dir(container.Image))+"/"+path.Base(container.Image))
		}
	}
	slices.Sort(e.System)
	e.System = slices.Compact(e.System)
	e.Build = commit(ctx)
	return e, nil
}

func mebibytes(bytes int64) string { return fmt.Sprint(bytes >> 20) }

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func machine() string {
	var cpus int
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		cpus = strings.Count(string(cpuinfo), "processor\t")
	}
	var kib int64
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		_, _ = fmt.Sscanf(string(meminfo), "MemTotal: %d kB", &kib)
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d CPUs, %d GiB, Linux %s", cpus, (kib+1<<19)>>20, strings.TrimSpace(string(release)))
}

// loadAverage is how many tasks wanted a CPU in the last 5 minutes: other work on the machine makes specs slow, and some fail.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	if fields := strings.Fields(string(text)); len(fields) > 1 {
		return fields[1]
	}
	return ""
}
