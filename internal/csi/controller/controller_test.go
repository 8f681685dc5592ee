package controller

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

const (
	clusterID = "5d3c1f0e-0000-4000-8000-00000000000b"
	zone      = "br-se1-a"
	pvName    = "mke-5d3c1f0e-11111111-2222-4333-8444-555555555555"
)

func newController(t *testing.T) (*Controller, *mgctest.Cloud) {
	fake := mgctest.New(t)
	api := fake.Client(t).Volume
	storage := cloud.Idempotent{Storage: cloud.NewClient(func() (cloud.API, error) { return api, nil })}
	return New(storage, clusterID), fake
}

func capability(mode csi.VolumeCapability_AccessMode_Mode, fs string) *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: fs}},
	}
}

var writer = capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER, "xfs")

func gib(n int64) *csi.CapacityRange { return &csi.CapacityRange{RequiredBytes: n * driver.GiB} }

func in(zones ...string) *csi.TopologyRequirement {
	r := &csi.TopologyRequirement{}
	for _, z := range zones {
		r.Requisite = append(r.Requisite, driver.Topology(z))
		r.Preferred = append(r.Preferred, driver.Topology(z))
	}
	return r
}

func claim() *csi.CreateVolumeRequest {
	return &csi.CreateVolumeRequest{Name: pvName, CapacityRange: gib(10), VolumeCapabilities: []*csi.VolumeCapability{writer},
		Parameters: map[string]string{"type": "cloud_nvme20k"}, AccessibilityRequirements: in(zone)}
}

func mustCreate(t *testing.T, c *Controller, change func(*csi.CreateVolumeRequest)) *csi.Volume {
	t.Helper()
	req := claim()
	if change != nil {
		change(req)
	}
	res, err := c.CreateVolume(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res.GetVolume()
}

func expect(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("got %v; want %s with %q", err, code, text)
	}
}

func TestCreate(t *testing.T) {
	c, fake := newController(t)
	v := mustCreate(t, c, func(r *csi.CreateVolumeRequest) { r.AccessibilityRequirements = in("br-se1-b", zone) })
	made := fake.Volumes()
	if len(made) != 1 || made[0].Name != pvName || made[0].AvailabilityZone != "br-se1-b" || made[0].Type.Name != "cloud_nvme20k" {
		t.Errorf("volumes %+v", made)
	}
	if v.GetCapacityBytes() != 10*driver.GiB || v.GetAccessibleTopology()[0].GetSegments()[driver.TopologyKey] != "br-se1-b" {
		t.Errorf("volume %+v", v)
	}
}

func TestRefusedClaims(t *testing.T) {
	c, fake := newController(t)
	for _, tt := range []struct {
		name   string
		change func(*csi.CreateVolumeRequest)
		code   codes.Code
		text   string
	}{
		{"no name", func(r *csi.CreateVolumeRequest) { r.Name = "" }, codes.InvalidArgument, "name"},
		{"no zone", func(r *csi.CreateVolumeRequest) { r.AccessibilityRequirements = nil }, codes.InvalidArgument, "zone"},
		{"5 GiB", func(r *csi.CreateVolumeRequest) { r.CapacityRange = gib(5) }, codes.OutOfRange, "at least 10 GiB large, 5 GiB are asked for"},
		{"limit below the size", func(r *csi.CreateVolumeRequest) {
			r.CapacityRange = &csi.CapacityRange{RequiredBytes: 10*driver.GiB + 1, LimitBytes: 10*driver.GiB + 2}
		}, codes.OutOfRange, "limit"},
		{"unknown parameter", func(r *csi.CreateVolumeRequest) { r.Parameters = map[string]string{"iops": "1"} }, codes.InvalidArgument, `"iops"`},
		{"unknown type", func(r *csi.CreateVolumeRequest) { r.Parameters = map[string]string{"type": "gold"} }, codes.InvalidArgument, `"gold"`},
		{"encrypted maybe", func(r *csi.CreateVolumeRequest) { r.Parameters = map[string]string{"encrypted": "maybe"} }, codes.InvalidArgument, "maybe"},
		{"encrypted", func(r *csi.CreateVolumeRequest) { r.Parameters = map[string]string{"encrypted": "true"} }, codes.InvalidArgument, "encryption"},
		{"many nodes", func(r *csi.CreateVolumeRequest) {
			r.VolumeCapabilities[0] = capability(csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER, "")
		}, codes.InvalidArgument, "ReadWriteOnce"},
		{"btrfs", func(r *csi.CreateVolumeRequest) {
			r.VolumeCapabilities[0] = capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER, "btrfs")
		}, codes.InvalidArgument, "ext4 and xfs"},
		{"snapshot that is not there", func(r *csi.CreateVolumeRequest) {
			r.VolumeContentSource = fromSnapshot("00000000-0000-4000-8000-000000000009")
		}, codes.NotFound, "does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := claim()
			tt.change(req)
			_, err := c.CreateVolume(t.Context(), req)
			expect(t, err, tt.code, tt.text)
		})
	}
	fake.SetVolumeQuota(1)
	mustCreate(t, c, nil)
	req := claim()
	req.Name += "x"
	_, err := c.CreateVolume(t.Context(), req)
	expect(t, err, codes.ResourceExhausted, "capacity")
	if n := len(fake.Volumes()); n != 1 {
		t.Errorf("%d volumes", n)
	}
}

func fromSnapshot(id string) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: id}}}
}

func fromVolume(id string) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: id}}}
}

func TestRestore(t *testing.T) {
	c, _ := newController(t)
	source := mustCreate(t, c, func(r *csi.CreateVolumeRequest) { r.CapacityRange = gib(20) })
	made, err := c.CreateSnapshot(t.Context(), &csi.CreateSnapshotRequest{Name: "snap", SourceVolumeId: source.GetVolumeId()})
	if err != nil {
		t.Fatal(err)
	}
	s := made.GetSnapshot()
	if !s.GetReadyToUse() || s.GetSizeBytes() != 20*driver.GiB || s.GetSourceVolumeId() != source.GetVolumeId() {
		t.Errorf("snapshot %+v", s)
	}
	restore := func(name string, capacity *csi.CapacityRange, zones ...string) (*csi.CreateVolumeResponse, error) {
		req := claim()
		req.Name, req.CapacityRange, req.VolumeContentSource, req.AccessibilityRequirements = name, capacity, fromSnapshot(s.GetSnapshotId()), in(zones...)
		return c.CreateVolume(t.Context(), req)
	}
	if res, err := restore("restored", nil, "br-se1-b", zone); err != nil || res.GetVolume().GetCapacityBytes() != 20*driver.GiB {
		t.Errorf("restore: %v, %v", res, err)
	}
	_, err = restore("smaller", gib(10), zone)
	expect(t, err, codes.OutOfRange, "at least 20 GiB")
	_, err = restore("elsewhere", nil, "br-se1-b")
	expect(t, err, codes.ResourceExhausted, zone)
	_, err = c.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: s.GetSnapshotId()})
	expect(t, err, codes.FailedPrecondition, "restored")
}

func TestCloneAndDelete(t *testing.T) {
	c, fake := newController(t)
	source := mustCreate(t, c, nil)
	clone := mustCreate(t, c, func(r *csi.CreateVolumeRequest) {
		r.Name, r.VolumeContentSource = "clone", fromVolume(source.GetVolumeId())
	})
	list, err := c.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{})
	if err != nil || len(list.GetEntries()) != 0 {
		t.Errorf("the clone's snapshot shows: %v, %v", list, err)
	}
	_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: source.GetVolumeId()})
	expect(t, err, codes.FailedPrecondition, c.names.object("clone"))
	for _, id := range []string{clone.GetVolumeId(), source.GetVolumeId(), source.GetVolumeId()} {
		if _, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id}); err != nil {
			t.Error(err)
		}
	}
	if n := len(fake.Volumes()) + len(fake.Snapshots()); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// TestJanitor: a clone goes, and the call that should remove its snapshot fails.
func TestJanitor(t *testing.T) {
	c, fake := newController(t)
	source := mustCreate(t, c, nil)
	clone := mustCreate(t, c, func(r *csi.CreateVolumeRequest) {
		r.Name, r.VolumeContentSource = "clone", fromVolume(source.GetVolumeId())
	})
	remove := fake.Inject(mgctest.Fault{Path: "/snapshots", Status: http.StatusInternalServerError})
	if _, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: clone.GetVolumeId()}); err != nil {
		t.Fatal(err)
	}
	remove()
	user, err := c.CreateSnapshot(t.Context(), &csi.CreateSnapshotRequest{Name: "the user's", SourceVolumeId: source.GetVolumeId()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.janitor.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := fake.Snapshots(); len(left) != 1 || left[0].ID != user.GetSnapshot().GetSnapshotId() {
		t.Errorf("left: %+v", left)
	}
}

// TestOthersAreSafe: nothing is deleted that another cluster or a person made.
func TestOthersAreSafe(t *testing.T) {
	c, fake := newController(t)
	api := fake.Client(t).Volume
	id, err := api.Create(t.Context(), mgc.VolumeCreate{Name: "mke-aaaaaaaa-pvc", Size: 10, Type: mgc.Ref{Name: "cloud_nvme1k"}, AvailabilityZone: zone})
	if err != nil {
		t.Fatal(err)
	}
	snapshotID, err := snapshotWhenSettled(t.Context(), api, id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id})
	expect(t, err, codes.FailedPrecondition, "not made by this cluster")
	_, err = c.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: snapshotID})
	expect(t, err, codes.FailedPrecondition, "not made by this cluster")
	// It can be used, though, and then shows in the list that the attacher compares with.
	vm := fake.AddInstance("vm", zone, "BV2-4-40")
	if _, err := c.ControllerPublishVolume(t.Context(), publish(id, vm.ID)); err != nil {
		t.Error(err)
	}
	list, err := c.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
	if err != nil || len(list.GetEntries()) != 1 || !slices.Equal(list.GetEntries()[0].GetStatus().GetPublishedNodeIds(), []string{vm.ID}) {
		t.Errorf("list %v, %v", list, err)
	}
}

func snapshotWhenSettled(ctx context.Context, api *mgc.VolumeClient, id string) (snapshotID string, err error) {
	for range 10 {
		if snapshotID, err = api.CreateSnapshot(ctx, mgc.SnapshotCreate{Name: "backup", Volume: &mgc.Ref{ID: id}}); err == nil {
			return snapshotID, nil
		}
	}
	return "", err
}

func publish(id, node string) *csi.ControllerPublishVolumeRequest {
	return &csi.ControllerPublishVolumeRequest{VolumeId: id, NodeId: node, VolumeCapability: writer}
}

func TestPublish(t *testing.T) {
	c, fake := newController(t)
	a, other := fake.AddInstance("a", zone, "BV2-4-40"), fake.AddInstance("b", "br-se1-b", "BV2-4-40")
	v := mustCreate(t, c, nil)
	_, err := c.ControllerPublishVolume(t.Context(), publish(v.GetVolumeId(), other.ID))
	expect(t, err, codes.FailedPrecondition, "another zone")
	res, err := c.ControllerPublishVolume(t.Context(), publish(v.GetVolumeId(), a.ID))
	if err != nil || res.GetPublishContext()[driver.SizeKey] != "10737418240" {
		t.Errorf("publish: %v, %v", res, err)
	}
	_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
	expect(t, err, codes.FailedPrecondition, "attached")
	grown, err := c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: v.GetVolumeId(), CapacityRange: gib(12)})
	if err != nil || grown.GetCapacityBytes() != 12*driver.GiB || !grown.GetNodeExpansionRequired() {
		t.Errorf("expand: %v, %v", grown, err)
	}
	for range 2 {
		if _, err := c.ControllerUnpublishVolume(t.Context(), &csi.ControllerUnpublishVolumeRequest{VolumeId: v.GetVolumeId(), NodeId: a.ID}); err != nil {
			t.Error(err)
		}
	}
	if got := fake.Volumes()[0].AttachedTo(); got != "" {
		t.Errorf("attached to %s", got)
	}
}

// TestExpandWithoutRoom: the refusal is final, so that the claim can ask for less.
func TestExpandWithoutRoom(t *testing.T) {
	c, fake := newController(t)
	v := mustCreate(t, c, nil)
	fake.SetVolumeSpace(12)
	_, err := c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: v.GetVolumeId(), CapacityRange: gib(13)})
	expect(t, err, codes.FailedPrecondition, "no room")
	grown, err := c.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: v.GetVolumeId(), CapacityRange: gib(12)})
	if err != nil || grown.GetCapacityBytes() != 12*driver.GiB {
		t.Errorf("expand: %v, %v", grown, err)
	}
}

func TestBusyVolume(t *testing.T) {
	c, fake := newController(t)
	a := fake.AddInstance("a", zone, "BV2-4-40")
	v := mustCreate(t, c, nil)
	fake.SetSteps(1_000_000)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := c.ControllerPublishVolume(ctx, publish(v.GetVolumeId(), a.ID))
		done <- err
	}()
	for fake.Count(http.MethodPost, "/attach/") == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := c.ControllerUnpublishVolume(t.Context(), &csi.ControllerUnpublishVolumeRequest{VolumeId: v.GetVolumeId(), NodeId: a.ID})
	expect(t, err, codes.Aborted, v.GetVolumeId())
	expect(t, <-done, codes.DeadlineExceeded, "still working")
}

// TestCannotTell: what is not known is never success, and is repeated.
func TestCannotTell(t *testing.T) {
	c, fake := newController(t)
	v := mustCreate(t, c, nil)
	for fault, want := range map[*mgctest.Fault]codes.Code{
		{Status: 500}: codes.Unavailable, {Status: 429}: codes.Unavailable, {}: codes.Unavailable, {Status: 401}: codes.PermissionDenied,
	} {
		remove := fake.Inject(*fault)
		_, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
		expect(t, err, want, "")
		_, err = c.ControllerUnpublishVolume(t.Context(), &csi.ControllerUnpublishVolumeRequest{VolumeId: v.GetVolumeId(), NodeId: "x"})
		expect(t, err, want, "")
		remove()
	}
}

func TestNames(t *testing.T) {
	n := newNames(clusterID)
	for _, name := range []string{pvName, "short", strings.Repeat("x", 128), "mke-5d3c1f0e-tooshort", "mke-5d3c1f0e-" + strings.Repeat("Ü", 18)} {
		got := n.object(name)
		clone := n.cloneSnapshot(got)
		back, ok := n.clonedVolume(clone)
		if len(got) != 49 || !n.own(got) || len(clone) != 50 || back != got || !ok {
			t.Errorf("%q: %q, %q", name, got, clone)
		}
		if _, ok := n.clonedVolume(got); ok {
			t.Errorf("%q looks like a clone's snapshot", got)
		}
	}
	if n.object(pvName) != pvName || n.object("a") == n.object("b") {
		t.Error("names are not what they should be")
	}
}

func TestRunNeedsAClusterID(t *testing.T) {
	if err := Run(t.Context(), Options{}); err == nil {
		t.Error("it runs")
	}
}
