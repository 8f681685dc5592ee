package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/operator/addons"
	"magalu.cloud/mke/internal/platform/management"
	"magalu.cloud/mke/test/bench/benchsite"
)

const (
	version    = "v1.34.2"
	podsCIDR   = "192.168.0.0/16"
	joinToken  = "abcdef.0123456789abcdef" // of a cluster that lives for a minute
	floorName  = "bench-by-hand"
	apiPort    = 6443
	tearDownIn = 2 * time.Minute
)

// hand makes a cluster as a person with the cloud's API, kubeadm and kubectl would: one step after the other.
type hand struct {
	r     *region
	pki   management.PKI
	group string
	vms   []string
	t     *benchsite.Timeline
}

func byHand(ctx context.Context, r *region) (t *benchsite.Timeline, err error) {
	h := &hand{r: r}
	if h.pki, err = management.NewPKI(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.tearDown(context.WithoutCancel(ctx))) }()
	if err := h.openGroup(ctx); err != nil {
		return nil, err
	}
	h.t = benchsite.NewTimeline()
	first, err := h.boot(ctx, "control-plane", controlFlavor, initUserData(h.pki), true)
	if err != nil {
		return nil, err
	}
	kube, addonClient, err := h.connect(first)
	if err != nil {
		return nil, err
	}
	if err := h.waitInit(ctx, kube); err != nil {
		return nil, err
	}
	private := first.PrivateIPv4()
	for _, addon := range []string{catalog.KubeProxy, catalog.Calico} {
		objects, err := addons.Render(addon, mkev1.InCluster, addons.Values{Host: private, Port: apiPort, PodsCIDR: podsCIDR, KubernetesVersion: version})
		if err != nil {
			return nil, err
		}
		if err := addons.Apply(ctx, addonClient, objects); err != nil {
			return nil, err
		}
	}
	h.t.Mark("addons applied")
	join, err := benchsite.Join{CA: h.pki.Certificate, Endpoint: fmt.Sprintf("%s:%d", private, apiPort), Token: joinToken}.UserData()
	if err != nil {
		return nil, err
	}
	if _, err := h.boot(ctx, "worker", workerFlavor, join, false); err != nil {
		return nil, err
	}
	err = until(ctx, "both nodes are Ready", func(ctx context.Context) (bool, error) {
		nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		if len(nodes.Items) == nodesWanted && !h.t.Has("worker joined") {
			h.t.Mark("worker joined")
		}
		return readyNodes(nodes.Items) == nodesWanted, nil
	})
	h.t.Mark(markReady)
	return h.t, err
}

// openGroup lets everything in: security is not what is measured.
func (h *hand) openGroup(ctx context.Context) (err error) {
	if h.group, err = h.r.Cloud.Network.CreateSecurityGroup(ctx, mgc.SecurityGroupCreate{Name: floorName}); err != nil {
		return err
	}
	_, err = h.r.Cloud.Network.CreateSecurityGroupRule(ctx, h.group, mgc.SecurityGroupRule{
		Direction: "ingress", EtherType: "IPv4", RemoteIPPrefix: "0.0.0.0/0",
	})
	return err
}

// boot makes a VM and waits until the cloud says that it runs.
func (h *hand) boot(ctx context.Context, name, flavor, userData string, public bool) (*mgc.Instance, error) {
	id, err := h.r.Cloud.Compute.CreateInstance(ctx, mgc.InstanceCreate{
		Name: floorName + "-" + name, MachineType: mgc.Ref{Name: flavor}, Image: mgc.Ref{Name: catalog.NodeImage(version)}, AvailabilityZone: h.r.Name + "-a",
		Network: mgc.InstanceCreateNetwork{
			Interface:         &mgc.InstanceCreateInterface{SecurityGroups: []mgc.Ref{{ID: h.group}}},
			AssociatePublicIP: public,
		},
		UserData: []byte(userData),
	})
	if err != nil {
		return nil, err
	}
	h.vms = append(h.vms, id)
	vm, err := h.r.Running(ctx, id, public)
	h.t.Mark("VM " + name + " runs")
	return vm, err
}

func (h *hand) connect(vm *mgc.Instance) (*kubernetes.Clientset, client.Client, error) {
	endpoint := fmt.Sprintf("https://%s:%d", vm.PrimaryInterface().AssociatedPublicIPv4, apiPort)
	config, err := management.AdminKubeconfig(h.pki, endpoint)
	if err != nil {
		return nil, nil, err
	}
	// The certificate does not have the public address, which kubeadm cannot know.
	rest, err := restConfig(config, "kubernetes")
	if err != nil {
		return nil, nil, err
	}
	kube, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return nil, nil, err
	}
	// The mapper is lazy: nothing is asked before the API server answers.
	c, err := client.New(rest, client.Options{})
	return kube, c, err
}

// waitInit waits for the API server, then for the last thing that kubeadm init makes.
func (h *hand) waitInit(ctx context.Context, kube kubernetes.Interface) error {
	return until(ctx, "kubeadm init is done", func(ctx context.Context) (bool, error) {
		if _, err := kube.Discovery().ServerVersion(); err != nil {
			return false, err
		}
		if !h.t.Has("API server answers") {
			h.t.Mark("API server answers")
		}
		if _, err := kube.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{}); err != nil {
			return false, err
		}
		h.t.Mark("kubeadm init done")
		return true, nil
	})
}

// tearDown removes the VMs and the group, whatever happened before.
func (h *hand) tearDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tearDownIn)
	defer cancel()
	errs := []error{h.r.RemoveInstances(ctx, h.vms)}
	if h.group != "" {
		errs = append(errs, until(ctx, "the security group is gone", func(ctx context.Context) (bool, error) {
			err := h.r.Cloud.Network.DeleteSecurityGroup(ctx, h.group)
			return err == nil || mgc.IsNotFound(err), err
		}))
	}
	return errors.Join(errs...)
}
