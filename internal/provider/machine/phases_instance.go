package machine

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cluster-api/util/conditions"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
)

const (
	// maxUserData is the contract's limit of user data in base64.
	maxUserData = 65000
	// recreateAfter is the pause before a VM that could not be made is made again.
	recreateAfter = 30 * time.Second
)

// reconcileInstance finds or makes the VM and reports its state.
func (r *Reconciler) reconcileInstance(ctx context.Context, s *scope) error {
	if provisioned(s.mgk) {
		return r.observeInstance(ctx, s)
	}
	if err := findInstance(ctx, s); err != nil {
		return err
	}
	if s.instance == nil {
		return r.createInstance(ctx, s)
	}
	s.mgk.Status.InstanceID = s.instance.ID
	s.mgk.Status.InstanceState = s.instance.State
	s.mgk.Status.FailureDomain = s.instance.AvailabilityZone
	switch {
	case failed(s.instance):
		return r.replaceFailedInstance(ctx, s)
	case s.instance.State == mgc.InstanceRunning && s.instance.Status == mgc.InstanceCompleted:
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionTrue, "Running", "")
	default:
		s.waiting = true
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "Provisioning", "the VM is being made")
	}
	return nil
}

// observeInstance watches over a VM that has run before. It never makes a new one in its place: replacing is for the machine's owner.
func (r *Reconciler) observeInstance(ctx context.Context, s *scope) error {
	maxAge := cloud.InstancesTTL
	if nodeFailed(s.machine) {
		maxAge = cloud.NotOlder
	}
	instance, err := s.instances.Get(ctx, s.mgk.Status.InstanceID, s.mgkCluster.Spec.ClusterID, maxAge)
	switch {
	case mgc.IsNotFound(err):
		s.mgk.Status.InstanceState = mgc.InstanceDeleted
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, infrav1.InstanceGoneReason, "the VM does not exist any more")
		return nil
	case err != nil:
		return err
	}
	s.instance = instance
	s.mgk.Status.InstanceState = instance.State
	switch instance.State {
	case mgc.InstanceRunning:
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionTrue, "Running", "")
	case mgc.InstanceError:
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "Failed", faultMessage(instance))
	default:
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "NotRunning", "the VM is "+instance.State)
	}
	return nil
}

// findInstance looks for the VM by its recorded id, else by its label: the answer to its creation may have been lost.
func findInstance(ctx context.Context, s *scope) error {
	if id := s.mgk.Status.InstanceID; id != "" {
		instance, err := s.cloud.Compute.GetInstance(ctx, id)
		if err == nil {
			s.instance = instance
			return nil
		}
		if !mgc.IsNotFound(err) {
			return err
		}
	}
	found, err := labelled(ctx, s)
	if err != nil {
		return err
	}
	keep, duplicates := cloud.Adopt(found, func(i mgc.Instance) string { return i.ID }, "")
	for _, d := range duplicates {
		if err := s.cloud.Compute.DeleteInstance(ctx, d.ID); err != nil && !mgc.IsNotFound(err) && !mgc.IsConflict(err) {
			return err
		}
	}
	s.instance = keep
	return nil
}

// labelled returns the VMs made for this machine, without those that are on their way out.
func labelled(ctx context.Context, s *scope) ([]mgc.Instance, error) {
	all, err := s.cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{Name: s.mgk.Name, Label: cloud.MachineLabel(s.mgk)})
	if err != nil {
		return nil, err
	}
	var found []mgc.Instance
	for _, i := range all {
		if !leaving(i) {
			found = append(found, i)
		}
	}
	return found, nil
}

func (r *Reconciler) createInstance(ctx context.Context, s *scope) error {
	s.mgk.Status.InstanceID = ""
	if !ptr.Deref(s.cluster.Status.Initialization.InfrastructureProvisioned, false) {
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "WaitingForClusterInfrastructure", "waiting for the cluster's network and load balancer")
		return nil
	}
	if s.machine.Spec.Bootstrap.DataSecretName == nil {
		s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "WaitingForBootstrapData", "waiting for the VM's start-up data")
		return nil
	}
	userData, err := r.userData(ctx, s)
	if err != nil {
		return s.creationFailed(err)
	}
	subnet, err := r.chooseSubnet(ctx, s)
	if err != nil {
		return s.creationFailed(err)
	}
	id, err := s.cloud.Compute.CreateInstance(ctx, wantedInstance(s, subnet, userData))
	if err != nil {
		return s.creationFailed(err)
	}
	ctrl.LoggerFrom(ctx).Info("VM created", "instance", id, "zone", subnet.Zone)
	s.mgk.Status.InstanceID = id
	s.mgk.Status.InstanceState = mgc.InstanceNew
	s.mgk.Status.FailureDomain = subnet.Zone
	s.waiting = true
	s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "Provisioning", "the VM is being made")
	return nil
}

func wantedInstance(s *scope, subnet infrav1.Subnet, userData []byte) mgc.InstanceCreate {
	group := s.mgkCluster.Status.NodeSecurityGroupID
	if s.controlPlane() {
		group = s.mgkCluster.Status.ControlPlaneSecurityGroupID
	}
	return mgc.InstanceCreate{
		Name:             s.mgk.Name,
		MachineType:      mgc.Ref{Name: s.mgk.Spec.MachineType},
		Image:            mgc.Ref{Name: s.mgk.Spec.Image},
		AvailabilityZone: subnet.Zone,
		UserData:         userData,
		Labels:           []string{cloud.Mark(s.mgkCluster.Spec.ClusterID), cloud.MachineLabel(s.mgk)},
		Network: mgc.InstanceCreateNetwork{
			VPC:       &mgc.Ref{ID: s.mgkCluster.Spec.VPCID},
			Interface: &mgc.InstanceCreateInterface{SecurityGroups: []mgc.Ref{{ID: group}}, Subnets: []mgc.Ref{{ID: subnet.ID}}},
		},
	}
}

// userData reads the machine's bootstrap data.
func (r *Reconciler) userData(ctx context.Context, s *scope) ([]byte, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: s.mgk.Namespace, Name: *s.machine.Spec.Bootstrap.DataSecretName}
	if err := r.Live.Get(ctx, key, &secret); err != nil {
		return nil, fmt.Errorf("read the bootstrap data: %w", err)
	}
	data := secret.Data["value"]
	switch {
	case len(data) == 0:
		return nil, errors.New("the bootstrap data is empty")
	case base64.StdEncoding.EncodedLen(len(data)) > maxUserData:
		return nil, fmt.Errorf("the bootstrap data is larger than the cloud takes: %d bytes in base64, at most %d", base64.StdEncoding.EncodedLen(len(data)), maxUserData)
	}
	return data, nil
}

func failed(i *mgc.Instance) bool {
	return i.State == mgc.InstanceError || strings.HasPrefix(i.Status, "creating_error") || strings.HasPrefix(i.Status, "creating_network_error")
}

// replaceFailedInstance removes a VM that never ran, after a pause in which its error can be read, so that the next reconcile makes
// it again: a quota may have been raised meanwhile.
func (r *Reconciler) replaceFailedInstance(ctx context.Context, s *scope) error {
	if conditions.GetReason(s.mgk, infrav1.InstanceReadyCondition) != "Failed" {
		// The condition's own time does not move when only its reason changes.
		conditions.Delete(s.mgk, infrav1.InstanceReadyCondition)
	}
	s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "Failed", faultMessage(s.instance))
	s.waiting = true
	if since := conditions.GetLastTransitionTime(s.mgk, infrav1.InstanceReadyCondition); time.Since(since.Time) < recreateAfter {
		return nil
	}
	if err := s.cloud.Compute.DeleteInstance(ctx, s.instance.ID); err != nil && !mgc.IsNotFound(err) && !mgc.IsConflict(err) {
		return err
	}
	s.mgk.Status.InstanceID = ""
	conditions.Delete(s.mgk, infrav1.InstanceReadyCondition)
	s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "Recreating", "the VM could not be made and is being made again: "+faultMessage(s.instance))
	return nil
}

func faultMessage(i *mgc.Instance) string {
	if i.Error != nil && i.Error.Message != "" {
		return "the cloud could not run the VM: " + i.Error.Message
	}
	return "the cloud could not run the VM: " + i.Status
}
