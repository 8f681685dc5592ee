//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// expectAttached wants the volume of each Pod of a namespace plugged into the VM below the Pod and nowhere else, those of claims that no
// Pod has plugged in nowhere, and no other VolumeAttachment of them: by the word of Kubernetes, of the cloud and of the machine.
func (c *cluster) expectAttached(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, time.Minute, "volumes are attached where they are used, once", func() error {
		k, err := c.storageObjects(namespace)
		if err != nil {
			return err
		}
		want := k.used()
		inCloud, err := c.r.attachedInCloud(t.Context(), want)
		if err != nil {
			return err
		}
		for who, got := range map[string]attached{"Kubernetes": k.attached(), "the cloud": inCloud, "the machine": c.r.attachedOnMachine(k)} {
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("%s has other volumes attached (-wanted +got):\n%s", who, diff)
			}
		}
		return nil
	})
}

// attached has the VMs that have a volume, by the volume's id; all volumes of the namespace are in it.
type attached map[string][]string

// storageObjects is what Kubernetes knows of a namespace's volumes.
type storageObjects struct {
	pods        []corev1.Pod
	pvs         []corev1.PersistentVolume
	attachments []storagev1.VolumeAttachment
	instances   map[string]string // VMs by the names of their Nodes
}

func (c *cluster) storageObjects(namespace string) (*storageObjects, error) {
	var pods corev1.PodList
	if err := c.list(&pods, "pods", "-n", namespace); err != nil {
		return nil, err
	}
	var mixed struct{ Items []json.RawMessage }
	if err := c.list(&mixed, "nodes,persistentvolumes,volumeattachments"); err != nil {
		return nil, err
	}
	k := &storageObjects{pods: pods.Items, instances: map[string]string{}}
	for _, raw := range mixed.Items {
		if err := k.add(raw, namespace); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *storageObjects) add(raw json.RawMessage, namespace string) error {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(raw, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "Node":
		var n corev1.Node
		err := json.Unmarshal(raw, &n)
		k.instances[n.Name] = instanceOf(n)
		return err
	case "PersistentVolume":
		var pv corev1.PersistentVolume
		err := json.Unmarshal(raw, &pv)
		if pv.Spec.CSI != nil && pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.Namespace == namespace {
			k.pvs = append(k.pvs, pv)
		}
		return err
	}
	var a storagev1.VolumeAttachment
	err := json.Unmarshal(raw, &a)
	k.attachments = append(k.attachments, a)
	return err
}

// used says where volumes have to be: below the Pods that have them.
func (k *storageObjects) used() attached {
	out := attached{}
	for _, pv := range k.pvs {
		id := pv.Spec.CSI.VolumeHandle
		out[id] = nil
		for _, p := range k.pods {
			if slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
				return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == pv.Spec.ClaimRef.Name
			}) {
				out[id] = append(out[id], k.instances[p.Spec.NodeName])
			}
		}
	}
	return out
}

// attached says what VolumeAttachments there are, those on their way in or out included.
func (k *storageObjects) attached() attached {
	out := attached{}
	for _, pv := range k.pvs {
		id := pv.Spec.CSI.VolumeHandle
		out[id] = nil
		for _, a := range k.attachments {
			if a.Spec.Source.PersistentVolumeName == nil || *a.Spec.Source.PersistentVolumeName != pv.Name {
				continue
			}
			where := k.instances[a.Spec.NodeName]
			if !a.Status.Attached || a.DeletionTimestamp != nil {
				where += " (changing)"
			}
			out[id] = append(out[id], where)
		}
	}
	return out
}

func (r *region) attachedInCloud(ctx context.Context, volumes attached) (attached, error) {
	all, err := r.cloud.Volume.List(ctx, "")
	out := attached{}
	for _, v := range all {
		if _, ours := volumes[v.ID]; !ours {
			continue
		}
		out[v.ID] = nil
		if v.AttachedTo() != "" {
			out[v.ID] = []string{v.AttachedTo()}
		}
	}
	return out, err
}

// attachedOnMachine looks for the volumes' devices in all VMs of the cluster that run.
func (r *region) attachedOnMachine(k *storageObjects) attached {
	var ids []string
	for _, id := range k.instances {
		ids = append(ids, id)
	}
	inits, out := r.vmInits(ids), attached{}
	for _, pv := range k.pvs {
		id := pv.Spec.CSI.VolumeHandle
		out[id] = nil
		for pid, instance := range inits {
			if _, err := os.Lstat(fmt.Sprintf("/proc/%d/root/dev/disk/by-id/virtio-%s", pid, id[:20])); err == nil {
				out[id] = append(out[id], instance)
			}
		}
	}
	return out
}

// list reads a list of objects.
func (c *cluster) list(into any, args ...string) error {
	res := c.kubectl(append([]string{"get", "-o", "json"}, args...)...)
	if res.code != 0 {
		return fmt.Errorf("%s", res)
	}
	return json.Unmarshal([]byte(res.stdout), into)
}
