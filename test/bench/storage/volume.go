package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"magalu.cloud/mke/test/bench/benchsite"
)

// Marks on the way to a Pod with a volume.
const (
	provisioned = "provisioned" // the claim is bound
	attached    = "attached"    // the device is in the VM
	mounted     = "mounted"     // volumes are mounted and the Pod's sandbox is up
	running     = "running"
)

var marks = []string{provisioned, attached, mounted, running}

const storageClass = "mgc-csi-magalu-delete-sc"

// iopsLimit of the class's volume type, cloud_nvme20k.
const iopsLimit = 20000

// volume is a Pod with a new volume.
type volume struct {
	site  *benchsite.Site
	name  string
	pid   string
	marks map[string]time.Duration
}

// newVolume makes claim and Pod, and notes when what is done.
func newVolume(ctx context.Context, s *benchsite.Site, name string) (*volume, error) {
	v := &volume{site: s, name: name, marks: map[string]time.Duration{}}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: ptr.To(storageClass),
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}},
	}}
	begun := time.Now()
	if _, err := s.Kube.CoreV1().PersistentVolumeClaims(s.Namespace).Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if _, err := s.Kube.CoreV1().Pods(s.Namespace).Create(ctx, s.Pod(name, "", name), metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	err := benchsite.Until(ctx, "the Pod with the volume runs", func(ctx context.Context) (bool, error) {
		if err := v.look(ctx, time.Since(begun)); err != nil {
			return false, err
		}
		return v.marks[running] > 0, nil
	})
	if err != nil {
		return nil, err
	}
	v.pid, err = s.Process(name)
	return v, err
}

// look notes what has been reached.
func (v *volume) look(ctx context.Context, at time.Duration) error {
	reached := func(mark string, is bool) {
		if _, known := v.marks[mark]; is && !known {
			v.marks[mark] = at
		}
	}
	claim, err := v.site.Kube.CoreV1().PersistentVolumeClaims(v.site.Namespace).Get(ctx, v.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	reached(provisioned, claim.Status.Phase == corev1.ClaimBound)
	if _, known := v.marks[attached]; !known && claim.Spec.VolumeName != "" {
		all, err := v.site.Kube.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, a := range all.Items {
			reached(attached, ptr.Deref(a.Spec.Source.PersistentVolumeName, "") == claim.Spec.VolumeName && a.Status.Attached)
		}
	}
	pod, err := v.site.Kube.CoreV1().Pods(v.site.Namespace).Get(ctx, v.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range pod.Status.Conditions {
		reached(mounted, c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue)
	}
	reached(running, pod.Status.Phase == corev1.PodRunning)
	return nil
}

// folder is the Pod's volume as the host sees it.
func (v *volume) folder() string { return "/proc/" + v.pid + "/root/data" }

// remove deletes Pod and claim and waits until the volume is gone.
func (v *volume) remove(ctx context.Context) error {
	claims := v.site.Kube.CoreV1().PersistentVolumeClaims(v.site.Namespace)
	claim, err := claims.Get(ctx, v.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := v.site.Kube.CoreV1().Pods(v.site.Namespace).Delete(ctx, v.name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := claims.Delete(ctx, v.name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return benchsite.Until(ctx, "the volume is gone", func(ctx context.Context) (bool, error) {
		_, err := v.site.Kube.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
}
