package mgctest

import (
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

type snapshot struct {
	object
	mgc.Snapshot
}

func (s *snapshot) key() (id, name string) { return s.ID, s.Name }

// Snapshots returns all snapshots of Tenant in the order of their creation.
func (c *Cloud) Snapshots() []mgc.Snapshot {
	return look(c, c.snapshots, viewSnapshot)
}

func (c *Cloud) routeSnapshots() {
	c.handle("POST /volume/v1/snapshots", c.createSnapshot)
	c.handle("GET /volume/v1/snapshots", func(rq call) {
		list(rq, "snapshots", 50, c.snapshots, rq.URL.Query().Get("name"), viewSnapshot)
	})
	c.handle("GET /volume/v1/snapshots/{id}", func(rq call) {
		c.withSnapshot(rq, func(s *snapshot) { rq.ok(http.StatusOK, s.Snapshot) })
	})
	c.handle("DELETE /volume/v1/snapshots/{id}", func(rq call) {
		c.withSnapshot(rq, func(s *snapshot) {
			if s.Status != mgc.StorageCompleted {
				rq.conflict("the snapshot's status is %s", s.Status)
				return
			}
			if slices.ContainsFunc(inOrder(c.volumes, rq.tenant), func(v *volume) bool { return v.source == s.ID }) {
				rq.conflict("a volume was restored from the snapshot")
				return
			}
			s.Status = "deleting"
			c.start(&s.object, func() { delete(c.snapshots, s.ID) })
			rq.ok(http.StatusNoContent, nil)
		})
	})
}

func (c *Cloud) createSnapshot(rq call) {
	var in mgc.SnapshotCreate
	if !rq.decode(&in) {
		return
	}
	var v *volume
	if in.Volume != nil {
		if v = c.volumes[in.Volume.ID]; v != nil {
			v.step()
			v = c.volumes[in.Volume.ID]
		}
	}
	switch {
	case v == nil || !v.of(rq.tenant):
		rq.refuse(http.StatusNotFound, "not_found", "volume not found")
	case len(in.Name) < 3 || len(in.Name) > 50:
		rq.refuse(http.StatusUnprocessableEntity, "validation_error", "String should have 3 to 50 characters")
	case slices.ContainsFunc(inOrder(c.snapshots, rq.tenant), func(s *snapshot) bool { return s.Name == in.Name }):
		rq.conflict("a snapshot with this name exists")
	case v.Status != mgc.StorageCompleted:
		rq.conflict("the volume's status is %s", v.Status)
	default:
		s := &snapshot{object: c.newObject(rq.tenant)}
		s.Snapshot = mgc.Snapshot{ID: uuid.NewString(), Name: in.Name, Description: in.Description, Size: v.Size, Type: in.Type, Status: "creating",
			State: mgc.StorageNew, Volume: &mgc.Ref{ID: v.ID}, AvailabilityZones: []string{v.AvailabilityZone},
			CreatedAt: time.Now().UTC().Format(time.RFC3339Nano)}
		c.snapshots[s.ID] = s
		c.start(&s.object, func() { s.State, s.Status = mgc.StorageAvailable, mgc.StorageCompleted })
		rq.ok(http.StatusAccepted, map[string]string{"id": s.ID})
	}
}

func (c *Cloud) withSnapshot(rq call, f func(*snapshot)) {
	with(rq, c.snapshots, func() { rq.refuse(http.StatusNotFound, "not_found", "snapshot not found") }, f)
}

func viewSnapshot(s *snapshot) mgc.Snapshot { return s.Snapshot }

func (c *Cloud) snapshotOf(tenant string, ref *mgc.Ref) *snapshot {
	if ref == nil {
		return nil
	}
	for _, s := range inOrder(c.snapshots, tenant) {
		if s.ID == ref.ID || s.Name == ref.Name {
			return s
		}
	}
	return nil
}
