//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

const (
	storageNamespace = "e2e-storage"
	storageZone      = "topology.kubernetes.io/zone"
	storageClass     = "mgc-csi-magalu-delete-sc"
	// storageLimit is how long one step may take on a busy machine.
	storageLimit = time.Minute
)

// storageSetup also has a class for ext4, the shipped ones make xfs.
const storageSetup = `
apiVersion: v1
kind: Namespace
metadata: {name: e2e-storage}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: e2e-storage-ext4}
provisioner: block.csi.magalu.cloud
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
parameters: {type: cloud_nvme5k, csi.storage.k8s.io/fstype: ext4}
`

// testStorage uses volumes in all ways that the driver claims.
func testStorage(t *testing.T, c *cluster) {
	c.apply(t, storageSetup)
	t.Cleanup(func() { c.removeStorage(t) })
	near := c.neighbours(t)
	t.Run("volumes", func(t *testing.T) { // returns when all of them have ended
		for name, test := range map[string]func(*testing.T, *cluster, []corev1.Node){
			"move": storageMove, "online expansion": storageExpand, "offline expansion": storageExpandOffline, "snapshot": storageSnapshot,
			"clone": storageClone, "raw block": storageRaw, "one pod": storageOnePod, "retained": storageRetained,
			"refused": storageRefused, "full": storageFull, "other zone": storageOtherZone,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, c, near)
			})
		}
	})
}

// neighbours returns the nodes of a zone that has at least two, the control plane's included, and not those that others let die or come
// and go.
func (c *cluster) neighbours(t *testing.T) []corev1.Node {
	t.Helper()
	nodes, err := c.nodes()
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string][]corev1.Node{}
	for _, n := range nodes {
		if !remains(n) {
			continue
		}
		zone := n.Labels[storageZone]
		if zones[zone] = append(zones[zone], n); len(zones[zone]) == 2 {
			return zones[zone]
		}
	}
	t.Fatalf("no zone has two of the %d nodes", len(nodes))
	return nil
}

// remains tells whether no other test lets the node die or go.
func remains(n corev1.Node) bool { return isControlPlane(n) || n.Labels[poolLabel] == poolName }

func storageClaim(name, class, size, more string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, namespace: e2e-storage}
spec: {storageClassName: %s, resources: {requests: {storage: %s}}, %s}
---`, name, class, size, more)
}

const (
	readWriteOnce    = `accessModes: [ReadWriteOnce]`
	readWriteOncePod = `accessModes: [ReadWriteOncePod]`
)

// storagePod has the claim of the given name as a folder /data, or as /dev/data.
func storagePod(name, claim, node string, raw bool) string {
	mount := `volumeMounts: [{name: data, mountPath: /data}]`
	if raw {
		mount = `volumeDevices: [{name: data, devicePath: /dev/data}]`
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: e2e-storage}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {kubernetes.io/hostname: %s}
  tolerations: [{operator: Exists}]
  containers:
  - {name: main, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: ["sleep", "100000"], %s}
  volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]
---`, name, node, mount, claim)
}

func (c *cluster) storage(args ...string) result {
	return c.kubectl(append([]string{"-n", storageNamespace}, args...)...)
}

func (c *cluster) mustStorage(t *testing.T, args ...string) string {
	t.Helper()
	return c.mustKubectl(t, append([]string{"-n", storageNamespace}, args...)...)
}

// run applies the manifests, waits until the pod runs and tells how long that took.
func (c *cluster) run(t *testing.T, pod string, manifests ...string) {
	t.Helper()
	begun := time.Now()
	c.apply(t, strings.Join(manifests, ""))
	c.mustStorage(t, "wait", "pod/"+pod, "--for=condition=Ready", "--timeout="+storageLimit.String())
	t.Logf("pod %s is Ready after %s", pod, time.Since(begun).Round(10*time.Millisecond))
}

// shell runs a command in the pod and returns what it says.
func (c *cluster) shell(t *testing.T, pod, command string) string {
	t.Helper()
	return strings.TrimSpace(c.mustStorage(t, "exec", pod, "--", "sh", "-c", command))
}

func (c *cluster) holds(t *testing.T, pod, want string) {
	t.Helper()
	if got := c.shell(t, pod, "cat /data/file"); got != want {
		t.Errorf("pod %s finds %q, not %q", pod, got, want)
	}
}

// persistentVolume of a claim.
func (c *cluster) persistentVolume(t *testing.T, claim string) corev1.PersistentVolume {
	t.Helper()
	name := strings.TrimSpace(c.mustStorage(t, "get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"))
	var pv corev1.PersistentVolume
	if err := json.Unmarshal([]byte(c.mustKubectl(t, "get", "pv", name, "-o", "json")), &pv); err != nil {
		t.Fatal(err)
	}
	return pv
}

// storageMove takes a pod from one node to another.
func storageMove(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "move-1", storageClaim("move", storageClass, "10Gi", readWriteOnce), storagePod("move-1", "move", near[0].Name, false))
	c.shell(t, "move-1", "echo moved > /data/file && sync")
	pv := c.persistentVolume(t, "move")
	c.refusesToTake(t, "move-1", pv.Spec.CSI.VolumeHandle)
	affinity, err := json.Marshal(pv.Spec.NodeAffinity)
	if zone := near[0].Labels[storageZone]; err != nil || !strings.Contains(string(affinity), `"`+storageZone+`"`) || !strings.Contains(string(affinity), `"`+zone+`"`) {
		t.Errorf("the volume's node affinity is not its zone %s: %s", zone, affinity)
	}
	c.mustStorage(t, "delete", "pod", "move-1")
	c.run(t, "move-2", storagePod("move-2", "move", near[1].Name, false))
	c.holds(t, "move-2", "moved")
	v, err := c.r.cloud.Volume.Get(t.Context(), pv.Spec.CSI.VolumeHandle)
	if err != nil || v.Attachment == nil || v.Attachment.Instance.Name != near[1].Name {
		t.Errorf("volume %+v, %v", v, err)
	}
}

// grows waits until the pod sees a file system of at least so many GiB.
func (c *cluster) grows(t *testing.T, pod string, least int) {
	t.Helper()
	eventually(t, storageLimit, fmt.Sprintf("pod %s has %d GiB", pod, least), func() error {
		res := c.storage("exec", pod, "--", "sh", "-c", fmt.Sprintf("test $(df -k /data | tail -1 | awk '{print $2}') -ge $((%d * 1024 * 1024 * 97 / 100))", least))
		if res.code != 0 {
			return fmt.Errorf("%s\n%s", res, c.storage("exec", pod, "--", "df", "-k", "/data"))
		}
		return nil
	})
}

// grow asks for a larger volume and returns when the cloud has extended it; the file system may follow later.
func (c *cluster) grow(t *testing.T, claim string) {
	t.Helper()
	c.mustStorage(t, "patch", "pvc", claim, "-p", `{"spec": {"resources": {"requests": {"storage": "12Gi"}}}}`)
	volume := c.mustStorage(t, "get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}")
	c.mustKubectl(t, "wait", "pv/"+volume, "--for=jsonpath={.spec.capacity.storage}=12Gi", "--timeout="+storageLimit.String())
}

func storageExpand(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "grow", storageClaim("grow", storageClass, "10Gi", readWriteOnce), storagePod("grow", "grow", near[0].Name, false))
	c.shell(t, "grow", "echo grown > /data/file && sync")
	c.grow(t, "grow")
	c.mustStorage(t, "annotate", "pod", "grow", "e2e=look-now") // kubelets look by themselves only every minute or so
	c.grows(t, "grow", 12)
	c.holds(t, "grow", "grown")
	c.mustStorage(t, "wait", "pvc/grow", "--for=jsonpath={.status.capacity.storage}=12Gi", "--timeout="+storageLimit.String())
}

func storageExpandOffline(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "ext4-1", storageClaim("ext4", "e2e-storage-ext4", "10Gi", readWriteOnce), storagePod("ext4-1", "ext4", near[0].Name, false))
	c.shell(t, "ext4-1", "echo ext4 > /data/file && sync")
	c.mustStorage(t, "delete", "pod", "ext4-1")
	c.isFree(t, c.persistentVolume(t, "ext4").Spec.CSI.VolumeHandle)
	c.grow(t, "ext4")
	c.run(t, "ext4-2", storagePod("ext4-2", "ext4", near[0].Name, false))
	c.grows(t, "ext4-2", 12)
	c.holds(t, "ext4-2", "ext4")
}

// isFree waits until the cloud has the volume, attached to nothing.
func (c *cluster) isFree(t *testing.T, id string) {
	t.Helper()
	eventually(t, storageLimit, "the volume is there, and free", func() error {
		v, err := c.r.cloud.Volume.Get(t.Context(), id)
		if err == nil && v.State != mgc.StorageAvailable {
			err = fmt.Errorf("its state is %s", v.State)
		}
		return err
	})
}

const storageSnapshotManifest = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: snap, namespace: e2e-storage}
spec: {source: {persistentVolumeClaimName: source}}
`

// storageSnapshot restores to a larger volume, beside the original on the same node, which then is on its way out.
func storageSnapshot(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "source", storageClaim("source", storageClass, "10Gi", readWriteOnce), storagePod("source", "source", near[0].Name, false))
	c.shell(t, "source", "echo before > /data/file && sync")
	c.apply(t, storageSnapshotManifest)
	c.mustStorage(t, "wait", "volumesnapshot/snap", "--for=jsonpath={.status.readyToUse}=true", "--timeout="+storageLimit.String())
	c.shell(t, "source", "echo after > /data/file && sync")
	from := readWriteOnce + `, dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap}`
	c.run(t, "restored", storageClaim("restored", storageClass, "12Gi", from), storagePod("restored", "restored", near[0].Name, false))
	c.holds(t, "restored", "before")
	c.holds(t, "source", "after")
	c.grows(t, "restored", 12)
	c.refusesSnapshot(t, "source")
}

func storageClone(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "original", storageClaim("original", storageClass, "10Gi", readWriteOnce), storagePod("original", "original", near[0].Name, false))
	c.shell(t, "original", "echo cloned > /data/file && sync")
	from := readWriteOnce + `, dataSource: {kind: PersistentVolumeClaim, name: original}`
	c.run(t, "clone", storageClaim("clone", storageClass, "10Gi", from), storagePod("clone", "clone", near[1].Name, false))
	c.holds(t, "clone", "cloned")
}

func storageRaw(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "raw-1", storageClaim("raw", storageClass, "10Gi", readWriteOnce+`, volumeMode: Block`), storagePod("raw-1", "raw", near[0].Name, true))
	c.shell(t, "raw-1", "echo raw | dd of=/dev/data bs=512 seek=100 conv=sync,fsync 2>/dev/null")
	c.mustStorage(t, "delete", "pod", "raw-1")
	c.run(t, "raw-2", storagePod("raw-2", "raw", near[1].Name, true))
	if got := c.shell(t, "raw-2", "dd if=/dev/data bs=512 skip=100 count=1 2>/dev/null | head -n 1"); got != "raw" {
		t.Errorf("the device holds %q", got)
	}
}

// says waits until an object has an event with the text.
func (c *cluster) says(t *testing.T, object, text string) {
	t.Helper()
	eventually(t, storageLimit, object+" has an event that says why", func() error {
		events := c.storage("get", "events", "--field-selector", "involvedObject.name="+object, "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(events.stdout, text) {
			return fmt.Errorf("%s", events)
		}
		return nil
	})
}

func storageOnePod(t *testing.T, c *cluster, near []corev1.Node) {
	c.run(t, "only", storageClaim("only", storageClass, "10Gi", readWriteOncePod), storagePod("only", "only", near[0].Name, false))
	c.apply(t, storagePod("second", "only", near[0].Name, false))
	c.says(t, "second", "ReadWriteOncePod")
	c.mustStorage(t, "delete", "pod", "only")
	c.mustStorage(t, "wait", "pod/second", "--for=condition=Ready", "--timeout="+storageLimit.String())
}

// storageRetained uses the default class: the volume outlives its claim.
func storageRetained(t *testing.T, c *cluster, near []corev1.Node) {
	claim := strings.Replace(storageClaim("kept", "", "10Gi", readWriteOnce), "storageClassName: , ", "", 1)
	c.run(t, "kept", claim, storagePod("kept", "kept", near[0].Name, false))
	pv := c.persistentVolume(t, "kept")
	c.mustStorage(t, "delete", "pod/kept", "pvc/kept")
	id := pv.Spec.CSI.VolumeHandle
	c.isFree(t, id)
	c.mustKubectl(t, "delete", "pv", pv.Name)
	if err := c.r.cloud.Volume.Delete(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// removeStorage ends when the cloud has none of the volumes and snapshots any more.
func (c *cluster) removeStorage(t *testing.T) {
	// Pods first: a snapshot waits for the volume that was made from it, and that one for its pod.
	if res := c.storage("delete", "pod", "--all", "--timeout=1m"); res.code != 0 {
		t.Errorf("%s", res)
	}
	if res := c.kubectl("delete", "namespace/"+storageNamespace, "storageclass/e2e-storage-ext4", "--timeout=2m"); res.code != 0 {
		t.Errorf("%s", res)
	}
	eventually(t, 2*storageLimit, "no volume of the test is left", func() error {
		pvs := c.kubectl("get", "pv", "-o", "jsonpath={.items[?(@.spec.claimRef.namespace=='"+storageNamespace+"')].metadata.name}")
		contents := c.kubectl("get", "volumesnapshotcontents", "-o", "jsonpath={.items[?(@.spec.volumeSnapshotRef.namespace=='"+storageNamespace+"')].metadata.name}")
		if pvs.code != 0 || contents.code != 0 || pvs.stdout+contents.stdout != "" {
			return fmt.Errorf("%s\n%s", pvs, contents)
		}
		return nil
	})
}
