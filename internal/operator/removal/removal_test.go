package removal

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

const (
	ours   = "5d3c1f0e-0000-4000-8000-000000000001"
	theirs = "7a3c1f0e-0000-4000-8000-000000000002"
)

// world is a cloud in which two clusters have objects.
type world struct {
	t     *testing.T
	cloud *mgctest.Cloud
	c     *mgc.Client
	lists mkev1.DeletionStatus
	late  time.Duration // how much later than now it is
}

func newWorld(t *testing.T) *world {
	c := mgctest.New(t)
	return &world{t: t, cloud: c, c: c.Client(t)}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) loadBalancer(name, description string) {
	w.t.Helper()
	vpc, _ := w.cloud.DefaultVPC()
	_, err := w.c.LoadBalancer.Create(w.t.Context(), mgc.LoadBalancerCreate{
		Name: name, Description: description, Visibility: mgc.VisibilityExternal, VPCID: vpc.ID,
		Listeners: []mgc.ListenerCreate{{Name: "l", BackendName: "b", Protocol: "tcp", Port: 80}},
		Backends:  []mgc.BackendCreate{{Name: "b", BalanceAlgorithm: mgc.BalanceRoundRobin, TargetsType: mgc.TargetsInstance}},
	})
	w.must(err)
}

// storageNameOf is how the volume driver of a cluster names its nth object.
func storageNameOf(clusterID string, n int) string {
	return fmt.Sprintf("mke-%s-00000000-0000-4000-8000-%012d", clusterID[:8], n)
}

func (w *world) volume(name, snapshotID string) string {
	w.t.Helper()
	in := mgc.VolumeCreate{Name: name, Size: 10, Type: mgc.Ref{Name: "cloud_nvme20k"}, AvailabilityZone: "br-se1-a"}
	if snapshotID != "" {
		in.Snapshot = &mgc.Ref{ID: snapshotID}
	}
	id, err := w.c.Volume.Create(w.t.Context(), in)
	w.must(err)
	w.settled(func() string { v, err := w.c.Volume.Get(w.t.Context(), id); w.must(err); return v.Status })
	return id
}

func (w *world) snapshot(name, volumeID string) string {
	w.t.Helper()
	id, err := w.c.Volume.CreateSnapshot(w.t.Context(), mgc.SnapshotCreate{Name: name, Description: "d", Volume: &mgc.Ref{ID: volumeID}})
	w.must(err)
	w.settled(func() string { s, err := w.c.Volume.GetSnapshot(w.t.Context(), id); w.must(err); return s.Status })
	return id
}

func (w *world) settled(status func() string) {
	w.t.Helper()
	for range 10 {
		if status() == mgc.StorageCompleted {
			return
		}
	}
	w.t.Fatal("it does not settle")
}

// step is one step of a fresh process with the saved lists.
func (w *world) step() *Removal {
	r := New(w.c, ours, &w.lists)
	r.now = func() time.Time { return time.Now().Add(w.late) }
	return r
}

// until repeats steps, as a controller does, until nothing is left and the lists do not grow. Errors may only be transient.
func (w *world) until(step func(*Removal) (int, error)) {
	w.t.Helper()
	for range 100 {
		r := w.step()
		left, err := step(r)
		if err != nil && !mgc.IsTransient(err) {
			w.t.Fatal(err)
		}
		if err == nil && left == 0 && !r.Recorded() {
			return
		}
	}
	w.t.Fatalf("it does not end: %+v", w.lists)
}

func (w *world) loadBalancers(r *Removal) (int, error) { return r.LoadBalancers(w.t.Context()) }

func (w *world) deleteStorage(r *Removal) (int, error) {
	volumes, snapshots, err := r.DeleteStorage(w.t.Context())
	return volumes + snapshots, err
}

func names(list []mkev1.CloudObject, kind mkev1.CloudObjectKind) []string {
	var out []string
	for _, o := range list {
		if o.Kind == kind {
			out = append(out, o.Name)
		}
	}
	slices.Sort(out)
	return out
}

func TestLoadBalancers(t *testing.T) {
	for name, fault := range map[string]*mgctest.Fault{
		"nothing goes wrong":   nil,
		"the answer is lost":   {Method: "DELETE", Path: "/load-balancer/", Done: true, Times: 2},
		"the cloud is down":    {Status: 503, Times: 7},
		"the cloud is too hot": {Status: 429, Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mark := "mke.cluster-id=" + ours
			w.loadBalancer("mke-5d3c1f0e-web", mark+" service=default/web")
			w.loadBalancer("mke-5d3c1f0e-api", mark+" public-ip=retain service=default/api")
			w.loadBalancer("mke-"+ours+"-api", mark) // of the API server
			w.loadBalancer("mke-7a3c1f0e-web", "mke.cluster-id="+theirs+" service=default/web")
			w.loadBalancer("mke-5d3c1f0e-mine", "somebody's own")
			for range 5 {
				_ = w.cloud.LoadBalancers()
				_, _ = w.c.LoadBalancer.List(t.Context())
			}
			retained := w.cloud.LoadBalancers()[1].PublicIP.IPAddress
			if fault != nil {
				w.cloud.Inject(*fault)
			}
			w.until(w.loadBalancers)
			var left []string
			for _, lb := range w.cloud.LoadBalancers() {
				left = append(left, lb.Name)
			}
			if want := []string{"mke-" + ours + "-api", "mke-7a3c1f0e-web", "mke-5d3c1f0e-mine"}; !slices.Equal(left, want) {
				t.Errorf("left are %v, want %v", left, want)
			}
			if n := len(w.cloud.PublicIPs()); n != len(left)+1 {
				t.Errorf("%d public IPs are left, want those of the load balancers and the retained one", n)
			}
			if got := names(w.lists.Removed, mkev1.LoadBalancerObject); !slices.Equal(got, []string{"mke-5d3c1f0e-api", "mke-5d3c1f0e-web"}) {
				t.Errorf("removed %v", got)
			}
			if k := w.lists.Kept; len(k) != 1 || k[0].Kind != mkev1.PublicIPObject || k[0].Name != retained || k[0].Service != "default/api" {
				t.Errorf("kept %+v", k)
			}
		})
	}
}

// Nothing is touched before the list that names it is saved.
func TestListsComeFirst(t *testing.T) {
	w := newWorld(t)
	w.volume(storageNameOf(ours, 1), "")
	for range 3 { // each time the process dies before it saves
		r := New(w.c, ours, &mkev1.DeletionStatus{})
		if left, err := w.deleteStorage(r); err != nil || left != 1 || !r.Recorded() {
			t.Fatalf("left %d, recorded %v: %v", left, r.Recorded(), err)
		}
	}
	if n := w.cloud.Count("DELETE", "/volume/"); n != 0 {
		t.Errorf("%d deletions of what is on no list", n)
	}
}

// A volume with a snapshot from which another volume was restored: they go in the only order that the cloud allows.
func TestStorageGoes(t *testing.T) {
	w := newWorld(t)
	first := w.volume(storageNameOf(ours, 1), "")
	snapshot := w.snapshot(storageNameOf(ours, 2), first)
	w.volume(storageNameOf(ours, 3), snapshot)
	w.volume(storageNameOf(theirs, 4), "")
	w.volume("mke-5d3c1f0e-my-own-disk", "")
	w.cloud.Inject(mgctest.Fault{Method: "DELETE", Path: "/volume/", Done: true, Times: 1})
	w.until(w.deleteStorage)
	var left []string
	for _, v := range w.cloud.Volumes() {
		left = append(left, v.Name)
	}
	if want := []string{storageNameOf(theirs, 4), "mke-5d3c1f0e-my-own-disk"}; !slices.Equal(left, want) || len(w.cloud.Snapshots()) != 0 {
		t.Errorf("left are %v and %d snapshots", left, len(w.cloud.Snapshots()))
	}
	if got := names(w.lists.Removed, mkev1.VolumeObject); !slices.Equal(got, []string{storageNameOf(ours, 1), storageNameOf(ours, 3)}) || len(w.lists.Kept) != 0 {
		t.Errorf("removed %v, kept %+v", got, w.lists.Kept)
	}
}

func TestStorageStays(t *testing.T) {
	w := newWorld(t)
	id := w.volume(storageNameOf(ours, 1), "")
	w.snapshot(storageNameOf(ours, 2), id)
	w.volume(storageNameOf(theirs, 3), "")
	w.until(func(r *Removal) (int, error) { return 0, r.KeepStorage(t.Context()) })
	if w.cloud.Count("DELETE", "/volume/") != 0 || len(w.lists.Removed) != 0 {
		t.Error("something was removed")
	}
	if len(w.lists.Kept) != 2 || w.lists.Kept[0].ID != id || w.lists.Kept[0].SizeGiB != 10 || w.lists.Kept[1].Kind != mkev1.SnapshotObject {
		t.Errorf("kept %+v", w.lists.Kept)
	}
}

// Somebody took a snapshot of a volume by hand: the cloud refuses to delete it, and the cluster's deletion does not hang on it.
func TestVolumeThatTheCloudRefusesToDelete(t *testing.T) {
	w := newWorld(t)
	id := w.volume(storageNameOf(ours, 1), "")
	w.snapshot("my-backup", id)
	w.volume(storageNameOf(ours, 2), "")
	for range 20 {
		if _, err := w.deleteStorage(w.step()); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := w.deleteStorage(w.step()); err != nil || left != 1 {
		t.Fatalf("left %d: %v", left, err)
	}
	w.late = patience + time.Second
	w.until(w.deleteStorage)
	if k := w.lists.Kept; len(k) != 1 || k[0].ID != id || !strings.HasPrefix(k[0].Reason, "the cloud refuses to delete it: 409") {
		t.Errorf("kept %+v", k)
	}
	if got := names(w.lists.Removed, mkev1.VolumeObject); len(got) != 1 || len(w.cloud.Volumes()) != 1 || len(w.cloud.Snapshots()) != 1 {
		t.Errorf("removed %v", got)
	}
}
