package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/test/bench/benchsite"
)

// byHand makes VMs for Pods that wait already, as a person with the cloud's API and kubeadm would.
func byHand(ctx context.Context, s *site, name, flavor string) (t *benchsite.Timeline, err error) {
	join := benchsite.Join{CA: s.Config.CAData, Labels: poolLabel + "=" + name}
	host, err := url.Parse(s.Config.Host)
	if err != nil {
		return nil, err
	}
	join.Endpoint = host.Host
	if join.Token, err = s.token(ctx); err != nil {
		return nil, err
	}
	userData, err := join.UserData()
	if err != nil {
		return nil, err
	}
	like, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	var vms []string
	defer func() { err = errors.Join(err, s.cleanUpHand(context.WithoutCancel(ctx), name, vms)) }()
	if err := s.ask(ctx, name); err != nil {
		return nil, err
	}
	err = benchsite.Until(ctx, "the scheduler refuses the Pods", func(ctx context.Context) (bool, error) {
		n, err := s.pods(ctx, name, refused)
		return n == wanted, err
	})
	if err != nil {
		return nil, err
	}
	t = benchsite.NewTimeline()
	for i := range wanted {
		id, err := s.region.Cloud.Compute.CreateInstance(ctx, mgc.InstanceCreate{
			Name: fmt.Sprintf("%s-%s-%d", s.cluster, name, i), MachineType: mgc.Ref{Name: flavor}, Image: mgc.Ref{Name: catalog.NodeImage(catalog.Default().LatestVersion())},
			AvailabilityZone: like.AvailabilityZone, UserData: []byte(userData), Network: networkOf(like),
		})
		if err != nil {
			return nil, err
		}
		vms = append(vms, id)
	}
	for _, id := range vms {
		if _, err := s.region.Running(ctx, id, false); err != nil {
			return nil, err
		}
	}
	t.Mark(markVMs)
	return t, follow(ctx, t, s.arrivals(name))
}

// token makes a bootstrap token, as `kubeadm token create` does.
func (s *site) token(ctx context.Context) (string, error) {
	id, secret := rand.String(6), rand.String(16)
	_, err := s.Kube.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id": id, "token-secret": secret, "expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
			"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
		},
	}, metav1.CreateOptions{})
	return id + "." + secret, err
}

// member is the VM of the cluster's own worker.
func (s *site) member(ctx context.Context) (*mgc.Instance, error) {
	nodes, err := s.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "mke.magalu.cloud/node-pool=real"})
	if err != nil {
		return nil, err
	}
	if len(nodes.Items) != 1 {
		return nil, fmt.Errorf("the pool real has %d nodes, not one", len(nodes.Items))
	}
	id := nodes.Items[0].Spec.ProviderID
	return s.region.Cloud.Compute.GetInstance(ctx, id[strings.LastIndex(id, "/")+1:])
}

// networkOf plugs a VM in where the other one is.
func networkOf(vm *mgc.Instance) mgc.InstanceCreateNetwork {
	nic := &mgc.InstanceCreateInterface{}
	for _, id := range vm.PrimaryInterface().SecurityGroups {
		nic.SecurityGroups = append(nic.SecurityGroups, mgc.Ref{ID: id})
	}
	return mgc.InstanceCreateNetwork{VPC: &mgc.Ref{ID: vm.Network.VPC.ID}, Interface: nic}
}

// cleanUpHand removes Pods, VMs and nodes, whatever happened before.
func (s *site) cleanUpHand(ctx context.Context, name string, vms []string) error {
	return errors.Join(
		s.forget(ctx, name),
		s.region.RemoveInstances(ctx, vms),
		s.Kube.CoreV1().Nodes().DeleteCollection(ctx, metav1.DeleteOptions{}, labelled(name)),
	)
}
