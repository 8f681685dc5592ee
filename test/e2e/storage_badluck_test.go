//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

// refusesToTake lets somebody detach and delete a volume that a Pod has, past Kubernetes. The cloud says why not, and the Pod goes on.
func (c *cluster) refusesToTake(t *testing.T, pod, volume string) {
	t.Helper()
	api := c.r.cloud.Volume
	for why, take := range map[string]func(context.Context, string) error{"in use inside the instance": api.Detach, "its state is in-use": api.Delete} {
		if err := take(t.Context(), volume); !mgc.IsConflict(err) || !strings.Contains(err.Error(), why) {
			t.Errorf("a volume that a Pod has can be taken away: %v", err)
		}
	}
	c.shell(t, pod, "echo still > /data/still && sync")
}

// storageOtherZone wants a Pod where its volume cannot be, with the scheduler and past it.
func storageOtherZone(t *testing.T, c *cluster, near []corev1.Node) {
	far := c.inOtherZone(t, near[0])
	c.run(t, "near", storageClaim("zonal", storageClass, "10Gi", readWriteOnce), storagePod("near", "zonal", near[0].Name, false))
	c.mustStorage(t, "delete", "pod", "near")
	pod := storagePod("far", "zonal", far.Name, false)
	c.apply(t, pod)
	c.says(t, "far", "didn't match PersistentVolume's node affinity")
	c.mustStorage(t, "delete", "pod", "far")
	past := strings.Replace(strings.Replace(pod, "name: far", "name: past", 1), "nodeSelector: {kubernetes.io/hostname: "+far.Name+"}", "nodeName: "+far.Name, 1)
	c.apply(t, past)
	c.says(t, "past", "both must be in the same availability zone")
	c.mustStorage(t, "delete", "pod", "past")
	c.run(t, "back", storagePod("back", "zonal", near[0].Name, false))
}

func (c *cluster) inOtherZone(t *testing.T, than corev1.Node) corev1.Node {
	t.Helper()
	nodes, err := c.nodes()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if remains(n) && n.Labels[storageZone] != than.Labels[storageZone] {
			return n
		}
	}
	t.Fatalf("all of the %d nodes are in one zone", len(nodes))
	return corev1.Node{}
}

// storageFull fills a volume, asks for more than the cloud has, and then for less.
func storageFull(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "full", storageClaim("full", storageClass, "10Gi", readWriteOnce), storagePod("full", "full", near[0].Name, false))
	c.shell(t, "full", "echo full > /data/file && sync")
	// What is reserved is not free, and takes no time. The last 64 MiB are written.
	c.shell(t, "full", `fallocate -l $(( ($(df -k /data | tail -n 1 | awk '{print $4}') - 64 * 1024) * 1024 )) /data/reserved`)
	write := []string{"exec", "full", "--", "dd", "if=/dev/zero", "of=/data/written", "bs=1M", "count=200", "conv=fsync"}
	if res := c.storage(write...); res.code == 0 || !strings.Contains(res.stderr, "No space left on device") {
		t.Fatalf("the volume is not full: %s", res)
	}
	c.mustStorage(t, "patch", "pvc", "full", "-p", `{"spec": {"resources": {"requests": {"storage": "1000Ti"}}}}`)
	c.says(t, "full", "no room for so many GiB")
	c.grow(t, "full")
	c.mustStorage(t, "annotate", "pod", "full", "e2e=look-now")
	c.grows(t, "full", 12)
	if res := c.storage(write...); res.code != 0 {
		t.Errorf("the volume has grown and is full: %s", res)
	}
	c.holds(t, "full", "full")
}

// storageRefused asks for what no volume can be.
func storageRefused(t *testing.T, c *cluster, near []corev1.Node) {
	refusals := map[string]struct{ size, event string }{
		"small": {"5Gi", "at least 10 GiB"},
		"huge":  {"1000Ti", "no room for so many GiB"},
	}
	for name, tt := range refusals {
		c.apply(t, storageClaim(name, "mgc-csi-magalu-sc", tt.size, readWriteOnce)+storagePod(name+"-pod", name, near[0].Name, false))
	}
	for name, tt := range refusals {
		c.says(t, name, tt.event)
	}
}

// refusesSnapshot: what is being deleted is not snapshot any more.
func (c *cluster) refusesSnapshot(t *testing.T, claim string) {
	t.Helper()
	c.mustStorage(t, "delete", "pvc", claim, "--wait=false") // it stays for as long as its Pod
	c.apply(t, strings.Replace(storageSnapshotManifest, "name: snap", "name: late", 1))
	c.says(t, "late", "it is being deleted")
}
