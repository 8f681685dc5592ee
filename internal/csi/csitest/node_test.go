package csitest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	spec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/mount-utils"
	utilexec "k8s.io/utils/exec"

	"magalu.cloud/mke/internal/cloud/volume/volumetest"
	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/csi/node"
	"magalu.cloud/mke/internal/mgc"
)

// vm is a node with real devices, file systems and mounts.
type vm struct {
	*node.Node
	id, dev, dir string
	storage      cloud.Storage
}

func newVM(t *testing.T) *vm {
	region := volumetest.Start(t)
	m := &vm{id: uuid.NewString(), dir: t.TempDir()}
	m.dev = region.AddInstance(t, m.id, volumetest.Zone)
	client, err := mgc.New(mgc.Config{Endpoint: region.URL + "/" + volumetest.Region, APIKey: volumetest.APIKey})
	if err != nil {
		t.Fatal(err)
	}
	m.storage = cloud.Idempotent{Storage: cloud.NewClient(func() (cloud.API, error) { return client.Volume, nil })}
	m.Node = node.New(node.Place{InstanceID: m.id, Zone: volumetest.Zone}, driver.MaxVolumes, mount.New(""), utilexec.New(), node.Devices{Dir: m.dev})
	return m
}

// attach makes a volume, from a snapshot if there is one, and plugs it in until the test ends.
func (m *vm) attach(t *testing.T, name string, size int, snapshot *mgc.Ref) *mgc.Volume {
	t.Helper()
	v, err := m.storage.CreateVolume(t.Context(), mgc.VolumeCreate{Name: name, Size: size, Type: mgc.Ref{Name: "cloud_nvme20k"},
		AvailabilityZone: volumetest.Zone, Snapshot: snapshot})
	if err != nil {
		t.Fatal(err)
	}
	if v, err = m.storage.AttachVolume(t.Context(), v.ID, m.id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(m.unpublish(v.ID), m.unstage(v.ID), m.storage.DetachVolume(context.Background(), v.ID, m.id))
		if err != nil {
			t.Error(err)
		}
	})
	return v
}

func (m *vm) device(id string) string {
	return filepath.Join(m.dev, "disk", "by-id", driver.LinkName(id))
}

func (m *vm) staging(id string) string { return filepath.Join(m.dir, id, "staging") }
func (m *vm) target(id string) string  { return filepath.Join(m.dir, id, "target") }

func (m *vm) stage(id string, c *spec.VolumeCapability) error {
	_, err := m.NodeStageVolume(context.Background(), &spec.NodeStageVolumeRequest{VolumeId: id, StagingTargetPath: m.staging(id), VolumeCapability: c})
	return err
}

func (m *vm) publish(id, target string, c *spec.VolumeCapability, readonly bool) error {
	_, err := m.NodePublishVolume(context.Background(), &spec.NodePublishVolumeRequest{VolumeId: id, StagingTargetPath: m.staging(id),
		TargetPath: target, VolumeCapability: c, Readonly: readonly})
	return err
}

func (m *vm) unpublish(id string) error {
	_, err := m.NodeUnpublishVolume(context.Background(), &spec.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: m.target(id)})
	return err
}

func (m *vm) unstage(id string) error {
	_, err := m.NodeUnstageVolume(context.Background(), &spec.NodeUnstageVolumeRequest{VolumeId: id, StagingTargetPath: m.staging(id)})
	return err
}

func formatted(fs string) *spec.VolumeCapability {
	return &spec.VolumeCapability{
		AccessMode: &spec.VolumeCapability_AccessMode{Mode: spec.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER},
		AccessType: &spec.VolumeCapability_Mount{Mount: &spec.VolumeCapability_MountVolume{FsType: fs}},
	}
}

func raw() *spec.VolumeCapability {
	return &spec.VolumeCapability{
		AccessMode: &spec.VolumeCapability_AccessMode{Mode: spec.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER},
		AccessType: &spec.VolumeCapability_Block{Block: &spec.VolumeCapability_BlockVolume{}},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("got %v; want %s with %q", err, code, text)
	}
}

// capacity of the file system at path, in GiB.
func capacity(t *testing.T, path string) int64 {
	t.Helper()
	var fs unix.Statfs_t
	must(t, unix.Statfs(path, &fs))
	return (int64(fs.Blocks)*fs.Bsize + driver.GiB/2) / driver.GiB
}

func TestFileSystem(t *testing.T) {
	m := newVM(t)
	v := m.attach(t, "mke-test-fs", 10, nil)
	must(t, m.stage(v.ID, formatted("ext4")))
	must(t, m.publish(v.ID, m.target(v.ID), formatted("ext4"), false))
	must(t, os.WriteFile(filepath.Join(m.target(v.ID), "data"), []byte("kept"), 0o600))
	other := filepath.Join(m.dir, v.ID, "other")
	expect(t, m.publish(v.ID, other, formatted("ext4"), false), codes.FailedPrecondition, "one Pod only")
	stats, err := m.NodeGetVolumeStats(t.Context(), &spec.NodeGetVolumeStatsRequest{VolumeId: v.ID, VolumePath: m.target(v.ID)})
	if err != nil || len(stats.GetUsage()) != 2 || stats.GetUsage()[0].GetTotal() < 9*driver.GiB || stats.GetUsage()[1].GetUsed() == 0 {
		t.Errorf("stats %v, %v", stats, err)
	}
	// The cloud does not let go of a volume that is mounted.
	if err := m.storage.DetachVolume(t.Context(), v.ID, m.id); !mgc.IsConflict(err) {
		t.Errorf("detach while mounted: %v", err)
	}
	must(t, m.unpublish(v.ID))
	must(t, m.unstage(v.ID))
	must(t, m.storage.DetachVolume(t.Context(), v.ID, m.id))
	if _, err := m.storage.AttachVolume(t.Context(), v.ID, m.id); err != nil {
		t.Fatal(err)
	}
	must(t, m.stage(v.ID, formatted("")))
	must(t, m.publish(v.ID, m.target(v.ID), formatted(""), true))
	if data, err := os.ReadFile(filepath.Join(m.target(v.ID), "data")); err != nil || string(data) != "kept" {
		t.Errorf("data %q, %v", data, err)
	}
	if err := os.WriteFile(filepath.Join(m.target(v.ID), "data"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("written to a read-only volume: %v", err)
	}
}

// TestDataIsNeverFormatted: only an empty device gets a file system.
func TestDataIsNeverFormatted(t *testing.T) {
	m := newVM(t)
	v := m.attach(t, "mke-test-data", 10, nil)
	f, err := os.OpenFile(m.device(v.ID), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("somebody's database"), 3<<20)
	must(t, errors.Join(err, f.Sync(), f.Close()))
	expect(t, m.stage(v.ID, formatted("ext4")), codes.FailedPrecondition, "no file system")
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", m.device(v.ID)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	expect(t, m.stage(v.ID, formatted("xfs")), codes.FailedPrecondition, "holds ext4, not the wanted xfs")
}

// TestRestoreLarger also has source and copy on one node.
func TestRestoreLarger(t *testing.T) {
	m := newVM(t)
	source := m.attach(t, "mke-test-source", 10, nil)
	must(t, m.stage(source.ID, formatted("ext4")))
	must(t, os.WriteFile(filepath.Join(m.staging(source.ID), "data"), []byte("kept"), 0o600))
	s, err := m.storage.CreateSnapshot(t.Context(), mgc.SnapshotCreate{Name: "mke-test-snap", Volume: &mgc.Ref{ID: source.ID}})
	must(t, err)
	restored := m.attach(t, "mke-test-restored", 20, &mgc.Ref{ID: s.ID})
	must(t, m.stage(restored.ID, formatted("ext4")))
	if got := capacity(t, m.staging(restored.ID)); got < 19 {
		t.Errorf("the file system has %d GiB", got)
	}
	if data, err := os.ReadFile(filepath.Join(m.staging(restored.ID), "data")); err != nil || string(data) != "kept" {
		t.Errorf("data %q, %v", data, err)
	}
}

func TestRawDevice(t *testing.T) {
	m := newVM(t)
	v := m.attach(t, "mke-test-raw", 10, nil)
	must(t, m.stage(v.ID, raw()))
	must(t, m.publish(v.ID, m.target(v.ID), raw(), false))
	must(t, m.publish(v.ID, m.target(v.ID), raw(), false))
	expect(t, m.publish(v.ID, filepath.Join(m.dir, "other"), raw(), false), codes.FailedPrecondition, "one Pod only")
	info, err := os.Stat(m.target(v.ID))
	if err != nil || info.Mode().Type() != os.ModeDevice {
		t.Errorf("target %v, %v", info, err)
	}
	if _, err := m.storage.ExtendVolume(t.Context(), v.ID, 12); err != nil {
		t.Fatal(err)
	}
	res, err := m.NodeExpandVolume(t.Context(), &spec.NodeExpandVolumeRequest{VolumeId: v.ID, VolumePath: m.target(v.ID),
		CapacityRange: &spec.CapacityRange{RequiredBytes: 12 * driver.GiB}})
	if err != nil || res.GetCapacityBytes() != 12*driver.GiB {
		t.Errorf("expand: %v, %v", res, err)
	}
}

// TestDeviceChanged: a volume was taken away by force and came back as another device; what is mounted is dead.
func TestDeviceChanged(t *testing.T) {
	m := newVM(t)
	dead, v := m.attach(t, "mke-test-dead", 10, nil), m.attach(t, "mke-test-new", 10, nil)
	must(t, m.stage(dead.ID, formatted("ext4")))
	must(t, os.MkdirAll(m.staging(v.ID), 0o750))
	must(t, unix.Mount(m.staging(dead.ID), m.staging(v.ID), "", unix.MS_BIND, ""))
	must(t, m.stage(v.ID, formatted("ext4")))
	must(t, os.WriteFile(filepath.Join(m.staging(v.ID), "data"), nil, 0o600))
	if _, err := os.Stat(filepath.Join(m.staging(dead.ID), "data")); !os.IsNotExist(err) {
		t.Errorf("the wrong device was written to: %v", err)
	}
}
