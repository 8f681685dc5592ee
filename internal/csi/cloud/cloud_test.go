package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

const zone = "br-se1-a"

func newStorage(t *testing.T, cloud *mgctest.Cloud) Storage {
	api := cloud.Client(t).Volume
	return Idempotent{NewClient(func() (API, error) { return api, nil })}
}

func wanted(name string) mgc.VolumeCreate {
	return mgc.VolumeCreate{Name: name, Size: 10, Type: mgc.Ref{Name: "cloud_nvme20k"}, AvailabilityZone: zone}
}

func mustCreate(t *testing.T, s Storage, name string) *mgc.Volume {
	t.Helper()
	v, err := s.CreateVolume(t.Context(), wanted(name))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mishaps are what may happen to any call that changes something; each must end as if nothing had happened.
var mishaps = []struct {
	name  string
	fault mgctest.Fault
}{
	{"answer lost", mgctest.Fault{MutatingOnly: true, Done: true, Times: 1}},
	{"500 after the work", mgctest.Fault{MutatingOnly: true, Done: true, Status: http.StatusInternalServerError, Times: 1}},
	{"500 before the work", mgctest.Fault{MutatingOnly: true, Status: http.StatusBadGateway, Times: 1}},
	{"429", mgctest.Fault{MutatingOnly: true, Status: http.StatusTooManyRequests, Times: 1}},
	{"reads fail", mgctest.Fault{Method: http.MethodGet, Status: http.StatusServiceUnavailable, Times: 4}},
	{"reads are limited", mgctest.Fault{Method: http.MethodGet, Status: http.StatusTooManyRequests, Times: 1}},
}

// repeat calls until success, as sidecars do; errors on the way must be ones that they repeat.
func repeat(t *testing.T, call func() error) {
	t.Helper()
	for range 5 {
		err := call()
		if err == nil {
			return
		}
		if !mgc.IsTransient(err) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("not an error to repeat: %v", err)
		}
	}
	t.Fatal("no success")
}

func TestMishaps(t *testing.T) {
	for _, m := range mishaps {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			cloud := mgctest.New(t)
			s := newStorage(t, cloud)
			a := cloud.AddInstance("a", zone, "BV2-4-40")
			var v *mgc.Volume
			var snapshot *mgc.Snapshot
			for _, step := range []struct {
				name string
				do   func() error
			}{
				{"create", func() (err error) { v, err = s.CreateVolume(t.Context(), wanted("mke-one")); return err }},
				{"attach", func() error { _, err := s.AttachVolume(t.Context(), v.ID, a.ID); return err }},
				{"extend", func() error { _, err := s.ExtendVolume(t.Context(), v.ID, 20); return err }},
				{"detach", func() error { return s.DetachVolume(t.Context(), v.ID, a.ID) }},
				{"snapshot", func() (err error) {
					snapshot, err = s.CreateSnapshot(t.Context(), mgc.SnapshotCreate{Name: "mke-snap", Volume: &mgc.Ref{ID: v.ID}})
					return err
				}},
				{"delete snapshot", func() error { return s.DeleteSnapshot(t.Context(), snapshot.ID) }},
				{"delete", func() error { return s.DeleteVolume(t.Context(), v.ID) }},
			} {
				remove := cloud.Inject(m.fault)
				repeat(t, step.do)
				remove()
				repeat(t, step.do) // the same call again, when its work is done
				if volumes := cloud.Volumes(); step.name != "delete" && (len(volumes) != 1 || volumes[0].Status != mgc.StorageCompleted) {
					t.Fatalf("after %s: %+v", step.name, volumes)
				}
			}
			if n := len(cloud.Volumes()) + len(cloud.Snapshots()); n != 0 {
				t.Errorf("%d objects are left", n)
			}
		})
	}
}

func TestSameNameOtherVolume(t *testing.T) {
	cloud := mgctest.New(t)
	s := newStorage(t, cloud)
	mustCreate(t, s, "mke-one")
	for _, change := range []func(*mgc.VolumeCreate){
		func(in *mgc.VolumeCreate) { in.Size = 20 },
		func(in *mgc.VolumeCreate) { in.AvailabilityZone = "br-se1-b" },
		func(in *mgc.VolumeCreate) { in.Type = mgc.Ref{Name: "cloud_nvme1k"} },
	} {
		in := wanted("mke-one")
		change(&in)
		if _, err := s.CreateVolume(t.Context(), in); !errors.Is(err, ErrDiffers) {
			t.Errorf("%+v: error %v", in, err)
		}
	}
}

func TestFull(t *testing.T) {
	cloud := mgctest.New(t)
	s := newStorage(t, cloud)
	mustCreate(t, s, "mke-one")
	cloud.SetVolumeQuota(1)
	_, err := s.CreateVolume(t.Context(), wanted("mke-two"))
	if err == nil || !strings.Contains(err.Error(), "capacity") {
		t.Errorf("error %v", err)
	}
}

// TestWreckIsRemoved: a volume that the cloud could not finish must not block its name.
func TestWreckIsRemoved(t *testing.T) {
	cloud := mgctest.New(t)
	cloud.SetSteps(1000)
	s := newStorage(t, cloud)
	go func() {
		for len(cloud.Volumes()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cloud.SetSteps(1)
		cloud.FailVolume(cloud.Volumes()[0].ID, "creating_error_quota", "no room")
	}()
	if _, err := s.CreateVolume(t.Context(), wanted("mke-one")); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "no room") {
		t.Errorf("error %v", err)
	}
	if left := cloud.Volumes(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	mustCreate(t, s, "mke-one")
}

func TestAttachElsewhere(t *testing.T) {
	cloud := mgctest.New(t)
	s := newStorage(t, cloud)
	a, b := cloud.AddInstance("a", zone, "BV2-4-40"), cloud.AddInstance("b", zone, "BV2-4-40")
	v := mustCreate(t, s, "mke-one")
	if _, err := s.AttachVolume(t.Context(), v.ID, a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AttachVolume(t.Context(), v.ID, b.ID); !errors.Is(err, ErrElsewhere) {
		t.Errorf("attach: error %v", err)
	}
	if err := s.DetachVolume(t.Context(), v.ID, b.ID); err != nil {
		t.Errorf("detach from another instance: %v", err)
	}
	if got := cloud.Volumes()[0].AttachedTo(); got != a.ID {
		t.Errorf("the volume is attached to %q", got)
	}
	if err := s.DeleteVolume(t.Context(), v.ID); !errors.Is(err, ErrInUse) {
		t.Errorf("delete: error %v", err)
	}
	// The VM dies with the volume attached.
	cloud.RemoveInstance(a.ID)
	if err := s.DetachVolume(t.Context(), v.ID, a.ID); err != nil {
		t.Errorf("detach from a dead instance: %v", err)
	}
	if _, err := s.AttachVolume(t.Context(), v.ID, b.ID); err != nil {
		t.Errorf("attach: %v", err)
	}
}

// TestAttachWhileDetaching: the volume is on its way out of the node that its Pod left.
func TestAttachWhileDetaching(t *testing.T) {
	cloud := mgctest.New(t)
	s := newStorage(t, cloud)
	a, b := cloud.AddInstance("a", zone, "BV2-4-40"), cloud.AddInstance("b", zone, "BV2-4-40")
	v := mustCreate(t, s, "mke-one")
	if _, err := s.AttachVolume(t.Context(), v.ID, a.ID); err != nil {
		t.Fatal(err)
	}
	if err := cloud.Client(t).Volume.Detach(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AttachVolume(t.Context(), v.ID, b.ID); err != nil {
		t.Error(err)
	}
}

func TestGone(t *testing.T) {
	s := newStorage(t, mgctest.New(t))
	for _, id := range []string{"not-an-id", "00000000-0000-4000-8000-000000000009"} {
		if _, err := s.Volume(t.Context(), id); !IsNotFound(err) {
			t.Errorf("volume: %v", err)
		}
		if err := s.DetachVolume(t.Context(), id, "x"); err != nil {
			t.Errorf("detach: %v", err)
		}
		if _, err := s.ExtendVolume(t.Context(), id, 20); !IsNotFound(err) {
			t.Errorf("extend: %v", err)
		}
		if _, err := s.Snapshot(t.Context(), id); !IsNotFound(err) {
			t.Errorf("snapshot: %v", err)
		}
	}
}

// TestCannotTell: an unreachable cloud never looks like one without the volume.
func TestCannotTell(t *testing.T) {
	cloud := mgctest.New(t)
	s := newStorage(t, cloud)
	v := mustCreate(t, s, "mke-one")
	for _, fault := range []mgctest.Fault{{Status: 500}, {Status: 429}, {Status: 401}, {}} {
		remove := cloud.Inject(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := s.DeleteVolume(ctx, v.ID); err == nil || IsNotFound(err) {
			t.Errorf("%+v: delete: %v", fault, err)
		}
		if err := s.DetachVolume(ctx, v.ID, "x"); err == nil || IsNotFound(err) {
			t.Errorf("%+v: detach: %v", fault, err)
		}
		cancel()
		remove()
	}
}

func TestClone(t *testing.T) {
	cloud := mgctest.New(t)
	s := newStorage(t, cloud)
	source := mustCreate(t, s, "mke-source")
	in := wanted("mke-clone")
	// The first try ends when the snapshot has been made.
	remove := cloud.Inject(mgctest.Fault{Method: http.MethodPost, Path: "/volumes$", Status: 500, Times: 1})
	if _, err := Clone(t.Context(), s, in, source.ID, "mke-clone-snapshot"); !mgc.IsTransient(err) {
		t.Fatalf("error %v", err)
	}
	remove()
	var clone *mgc.Volume
	for range 2 {
		var err error
		if clone, err = Clone(t.Context(), s, in, source.ID, "mke-clone-snapshot"); err != nil {
			t.Fatal(err)
		}
	}
	if volumes, snapshots := cloud.Volumes(), cloud.Snapshots(); len(volumes) != 2 || len(snapshots) != 1 {
		t.Errorf("%d volumes, %d snapshots", len(volumes), len(snapshots))
	}
	if err := s.DeleteVolume(t.Context(), clone.ID); err != nil {
		t.Error(err)
	}
	if _, err := Clone(t.Context(), s, in, "00000000-0000-4000-8000-000000000009", "mke-clone-other"); !IsNotFound(err) {
		t.Errorf("clone of nothing: %v", err)
	}
	// A clone that can never be made leaves nothing behind.
	in.Type = mgc.Ref{Name: "unknown"}
	if _, err := Clone(t.Context(), s, in, source.ID, "mke-clone-never"); !IsNotFound(err) {
		t.Errorf("clone of an unknown type: %v", err)
	}
	for _, left := range cloud.Snapshots() {
		if left.Name == "mke-clone-never" {
			t.Error("the snapshot of the impossible clone is left")
		}
	}
}

// TestManyWaitersShareOneList: a hundred volumes at once must not be a hundred pollers.
func TestManyWaitersShareOneList(t *testing.T) {
	cloud := mgctest.New(t)
	cloud.Steps = 3
	s := newStorage(t, cloud)
	const n = 100
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := s.CreateVolume(t.Context(), wanted(fmt.Sprintf("mke-%03d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if reads := cloud.Count(http.MethodGet, "/volumes"); reads > n/2 {
		t.Errorf("%d reads for %d volumes", reads, n)
	}
}
