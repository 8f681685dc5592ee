package mgctest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

const maxVolumesPerInstance = 25

type volume struct {
	object
	mgc.Volume
	source string // snapshot that it was restored from
}

func (v *volume) key() (id, name string) { return v.ID, v.Name }

// Volumes returns all volumes of Tenant in the order of their creation.
func (c *Cloud) Volumes() []mgc.Volume {
	return look(c, c.volumes, func(v *volume) mgc.Volume { return v.Volume })
}

// SetVolumeQuota limits the volumes per tenant; the creation of more is refused. 0 is no limit.
func (c *Cloud) SetVolumeQuota(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volumeQuota = n
}

// SetVolumeSpace limits the GiB of all volumes of a tenant together; extending beyond is refused. 0 is no limit.
func (c *Cloud) SetVolumeSpace(gib int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volumeSpace = gib
}

// FailVolume puts a volume into an error status, as when the cloud's storage broke during the work.
func (c *Cloud) FailVolume(id, status, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.volumes[id]; v != nil {
		v.Status, v.Error, v.steps = status, &mgc.InstanceFault{Slug: status, Message: message}, 0
	}
}

func (c *Cloud) routeVolume() {
	c.handle("POST /volume/v1/volumes", c.createVolume)
	c.handle("GET /volume/v1/volumes", func(rq call) {
		list(rq, "volumes", 50, c.volumes, rq.URL.Query().Get("name"), func(v *volume) mgc.Volume { return expandVolume(rq, v.Volume) })
	})
	c.handle("GET /volume/v1/volumes/{id}", func(rq call) {
		c.withVolume(rq, func(v *volume) { rq.ok(http.StatusOK, expandVolume(rq, v.Volume)) })
	})
	c.handle("DELETE /volume/v1/volumes/{id}", func(rq call) { c.withVolume(rq, func(v *volume) { c.deleteVolume(rq, v) }) })
	c.handle("POST /volume/v1/volumes/{id}/attach/{instance}", func(rq call) { c.withVolume(rq, func(v *volume) { c.attachVolume(rq, v) }) })
	c.handle("POST /volume/v1/volumes/{id}/detach", func(rq call) { c.withVolume(rq, func(v *volume) { c.detachVolume(rq, v) }) })
	c.handle("POST /volume/v1/volumes/{id}/extend", func(rq call) { c.withVolume(rq, func(v *volume) { c.extendVolume(rq, v) }) })
	c.handle("GET /volume/v1/volume-types", func(rq call) { rq.ok(http.StatusOK, map[string]any{"types": c.volumeTypes}) })
	c.routeSnapshots()
}

// refuse answers in the product's own shape of errors, a list.
func (c call) refuse(status int, slug, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	c.ok(status, []map[string]string{{"slug": slug, "message": message, "detail": message}})
}

func (c call) conflict(format string, args ...any) {
	c.refuse(http.StatusConflict, "conflict", format, args...)
}

func (c *Cloud) withVolume(rq call, f func(*volume)) {
	with(rq, c.volumes, func() { rq.refuse(http.StatusNotFound, "not_found", "volume not found") }, f)
}

// begin starts work on a volume.
func (c *Cloud) begin(v *volume, status string, settle func()) {
	v.Status = status
	c.start(&v.object, func() {
		v.Status = mgc.StorageCompleted
		settle()
	})
}

func (c *Cloud) createVolume(rq call) {
	var in mgc.VolumeCreate
	if !rq.decode(&in) {
		return
	}
	t := slices.IndexFunc(c.volumeTypes, func(t mgc.VolumeType) bool { return t.ID == in.Type.ID || t.Name == in.Type.Name })
	snapshot := c.snapshotOf(rq.tenant, in.Snapshot)
	switch {
	case len(in.Name) < 3 || len(in.Name) > 50:
		rq.refuse(http.StatusUnprocessableEntity, "validation_error", "String should have 3 to 50 characters")
	case in.Size < mgc.MinVolumeSize:
		rq.refuse(http.StatusUnprocessableEntity, "validation_error", "Input should be greater than or equal to 10")
	case t < 0:
		rq.refuse(http.StatusNotFound, "not_found", "volume type not found")
	case in.Encrypted && !c.volumeTypes[t].AllowsEncryption:
		rq.refuse(http.StatusUnprocessableEntity, "validation_error", "the volume type does not allow encryption")
	case in.Snapshot != nil && snapshot == nil:
		rq.refuse(http.StatusNotFound, "not_found", "snapshot not found")
	case snapshot != nil && in.Size < snapshot.Size:
		rq.refuse(http.StatusUnprocessableEntity, "validation_error", "the size must be at least the snapshot's")
	case snapshot != nil && (snapshot.Status != mgc.StorageCompleted || !slices.Contains(snapshot.AvailabilityZones, in.AvailabilityZone)):
		rq.conflict("the snapshot cannot be used in this zone or state")
	case slices.ContainsFunc(inOrder(c.volumes, rq.tenant), func(v *volume) bool { return v.Name == in.Name }):
		rq.conflict("a volume with this name exists")
	case c.volumeQuota != 0 && len(inOrder(c.volumes, rq.tenant)) >= c.volumeQuota:
		rq.refuse(http.StatusConflict, "creating_error_quota", "there is no capacity for the volume")
	default:
		v := &volume{object: c.newObject(rq.tenant)}
		v.Volume = mgc.Volume{ID: uuid.NewString(), Name: in.Name, Size: in.Size, State: mgc.StorageNew, AvailabilityZone: in.AvailabilityZone,
			Encrypted: in.Encrypted, Type: c.volumeTypes[t], CreatedAt: time.Now().UTC().Format(time.RFC3339Nano)}
		if snapshot != nil {
			v.source = snapshot.ID
		}
		c.volumes[v.ID] = v
		c.begin(v, "creating", func() { v.State = mgc.StorageAvailable })
		rq.ok(http.StatusAccepted, map[string]string{"id": v.ID})
	}
}

func (c *Cloud) deleteVolume(rq call, v *volume) {
	switch {
	case v.State == mgc.StorageInUse:
		rq.conflict("the volume is attached")
	case v.Status != mgc.StorageCompleted && !strings.HasPrefix(v.Status, "creating_error"):
		rq.conflict("the volume's status is %s", v.Status)
	case slices.ContainsFunc(inOrder(c.snapshots, rq.tenant), func(s *snapshot) bool { return s.VolumeID() == v.ID }):
		rq.conflict("the volume has snapshots")
	default:
		c.begin(v, "deleting", func() { delete(c.volumes, v.ID) })
		rq.ok(http.StatusNoContent, nil)
	}
}

func (c *Cloud) attachVolume(rq call, v *volume) {
	i := c.instances[rq.PathValue("instance")]
	attached := 0
	for _, other := range c.volumes {
		if i != nil && other.AttachedTo() == i.ID {
			attached++
		}
	}
	switch {
	case i == nil || !i.of(rq.tenant):
		rq.refuse(http.StatusNotFound, "not_found", "instance not found")
	case v.AttachedTo() == i.ID && (v.Status == "attaching" || v.Status == mgc.StorageCompleted):
		rq.ok(http.StatusNoContent, nil)
	case v.State != mgc.StorageAvailable || v.Status != mgc.StorageCompleted:
		rq.conflict("the volume is %s, %s", v.State, v.Status)
	case i.Status != mgc.InstanceCompleted:
		rq.conflict("the instance's status is %s", i.Status)
	case i.AvailabilityZone != v.AvailabilityZone:
		rq.conflict("the instance is in another zone")
	case attached >= maxVolumesPerInstance:
		rq.conflict("the instance has %d volumes, which is the most", attached)
	default:
		v.Attachment = &mgc.VolumeAttachment{Instance: mgc.Ref{ID: i.ID, Name: i.Name}, Device: "/dev/vd" + string(rune('b'+attached))}
		c.begin(v, "attaching", func() { v.State = mgc.StorageInUse })
		rq.ok(http.StatusNoContent, nil)
	}
}

func (c *Cloud) detachVolume(rq call, v *volume) {
	if v.State != mgc.StorageInUse || (v.Status != mgc.StorageCompleted && v.Status != "detaching_error") {
		rq.conflict("the volume is %s, %s", v.State, v.Status)
		return
	}
	c.begin(v, "detaching", func() { v.State, v.Attachment = mgc.StorageAvailable, nil })
	rq.ok(http.StatusNoContent, nil)
}

func (c *Cloud) extendVolume(rq call, v *volume) {
	var in struct {
		Size int `json:"size"`
	}
	switch {
	case !rq.decode(&in):
	case v.Status != mgc.StorageCompleted && v.Status != "extend_error":
		rq.conflict("the volume's status is %s", v.Status)
	case in.Size <= v.Size:
		rq.refuse(http.StatusUnprocessableEntity, "validation_error", "the new size must be larger than %d", v.Size)
	case c.volumeSpace != 0 && c.usedSpace(rq.tenant)+in.Size-v.Size > c.volumeSpace:
		rq.refuse(http.StatusConflict, "extend_error_quota", "there is no room for the volume")
	default:
		c.begin(v, "extending", func() { v.Size = in.Size })
		rq.ok(http.StatusNoContent, nil)
	}
}

// usedSpace is how many GiB the tenant's volumes have.
func (c *Cloud) usedSpace(tenant string) int {
	sum := 0
	for _, v := range inOrder(c.volumes, tenant) {
		sum += v.Size
	}
	return sum
}

// detachAll is what becomes of the volumes of an instance that goes.
func (c *Cloud) detachAll(instanceID string) {
	for _, v := range c.volumes {
		if v.AttachedTo() == instanceID {
			v.State, v.Status, v.Attachment, v.steps = mgc.StorageAvailable, mgc.StorageCompleted, nil, 0
		}
	}
}

// expandVolume leaves out what the request did not ask for.
func expandVolume(rq call, v mgc.Volume) mgc.Volume {
	wanted := strings.Split(rq.URL.Query().Get("expand"), ",")
	if !slices.Contains(wanted, "volume_type") {
		v.Type = mgc.VolumeType{ID: v.Type.ID}
	}
	if v.Attachment != nil && !slices.Contains(wanted, "attachment") {
		v.Attachment = &mgc.VolumeAttachment{Instance: mgc.Ref{ID: v.AttachedTo()}, Device: v.Attachment.Device}
	}
	return v
}
