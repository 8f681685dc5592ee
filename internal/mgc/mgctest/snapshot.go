package mgctest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

type snapshot struct {
	object
	mgc.Snapshot
	deleting bool
	order    int
}

// Snapshots returns all snapshots of Tenant in the order of their creation.
func (c *Cloud) Snapshots() []mgc.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []mgc.Snapshot
	for _, s := range c.sortedSnapshots(Tenant) {
		out = append(out, s.Snapshot)
	}
	return out
}

func (c *Cloud) routeSnapshots() {
	c.handle("POST /volume/v1/snapshots", c.createSnapshot)
	c.handle("GET /volume/v1/snapshots", func(rq call) {
		out := []mgc.Snapshot{}
		for _, s := range c.sortedSnapshots(rq.tenant) {
			if c.advanceSnapshot(s) && strings.Contains(s.Name, rq.URL.Query().Get("name")) {
				out = append(out, s.Snapshot)
			}
		}
		paginate(rq, "snapshots", 50, out)
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
			if slices.ContainsFunc(c.sortedVolumes(rq.tenant), func(v *volume) bool { return v.source == s.ID }) {
				rq.conflict("a volume was restored from the snapshot")
				return
			}
			s.deleting, s.Status, s.steps = true, "deleting", max(1, c.Steps)
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
		v = c.volumes[in.Volume.ID]
	}
	switch {
	case v == nil || !v.of(rq.tenant) || !c.advanceVolume(v):
		rq.refuse(http.StatusNotFound, "not_found", "volume not found")
	case len(in.Name) < 3 || len(in.Name) > 50:
		rq.refuse(http.StatusUnprocessableEntity, "validation_error", "String should have 3 to 50 characters")
	case slices.ContainsFunc(c.sortedSnapshots(rq.tenant), func(s *snapshot) bool { return s.Name == in.Name }):
		rq.conflict("a snapshot with this name exists")
	case v.Status != mgc.StorageCompleted:
		rq.conflict("the volume's status is %s", v.Status)
	default:
		s := &snapshot{object: object{tenant: rq.tenant, steps: max(1, c.Steps)}, order: c.order()}
		s.Snapshot = mgc.Snapshot{ID: uuid.NewString(), Name: in.Name, Description: in.Description, Size: v.Size, Type: in.Type, Status: "creating",
			State: mgc.StorageNew, Volume: &mgc.Ref{ID: v.ID}, AvailabilityZones: []string{v.AvailabilityZone},
			CreatedAt: time.Now().UTC().Format(time.RFC3339Nano)}
		c.snapshots[s.ID] = s
		rq.ok(http.StatusAccepted, map[string]string{"id": s.ID})
	}
}

// withSnapshot advances the snapshot by one step and calls f, or answers 404.
func (c *Cloud) withSnapshot(rq call, f func(*snapshot)) {
	s := c.snapshots[rq.PathValue("id")]
	if s == nil || !s.of(rq.tenant) || !c.advanceSnapshot(s) {
		rq.refuse(http.StatusNotFound, "not_found", "snapshot not found")
		return
	}
	f(s)
}

// advanceSnapshot takes a step and returns false if the snapshot is gone now.
func (c *Cloud) advanceSnapshot(s *snapshot) bool {
	if s.step() {
		if s.deleting {
			delete(c.snapshots, s.ID)
			return false
		}
		s.State, s.Status = mgc.StorageAvailable, mgc.StorageCompleted
	}
	return true
}

func (c *Cloud) snapshotOf(tenant string, ref *mgc.Ref) *snapshot {
	if ref == nil {
		return nil
	}
	for _, s := range c.sortedSnapshots(tenant) {
		if s.ID == ref.ID || s.Name == ref.Name {
			return s
		}
	}
	return nil
}

func (c *Cloud) sortedSnapshots(tenant string) []*snapshot {
	var out []*snapshot
	for _, s := range c.snapshots {
		if s.of(tenant) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *snapshot) int { return a.order - b.order })
	return out
}
