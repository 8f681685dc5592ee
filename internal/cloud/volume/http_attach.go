package volume

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func (s *Service) attach(r *http.Request) error {
	return s.attachTo(r, chi.URLParam(r, "id"), chi.URLParam(r, "instance"), "")
}

func (s *Service) createAttachment(r *http.Request) error {
	var body struct {
		Volume   *ref    `json:"volume"`
		Instance *ref    `json:"instance"`
		Device   *string `json:"device"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	for field, r := range map[string]*ref{"volume": body.Volume, "instance": body.Instance} {
		if r == nil || r.ID == "" {
			return httpapi.Invalid("%s.id: Field required", field)
		}
	}
	device := ""
	if body.Device != nil {
		match := devicePath.FindStringSubmatch(*body.Device)
		if match == nil {
			return httpapi.Invalid("device: Input should be /dev/vdb to /dev/vdz")
		}
		device = match[1]
	}
	return s.attachTo(r, body.Volume.ID, body.Instance.ID, device)
}

func (s *Service) attachTo(r *http.Request, id, instanceID, device string) error {
	return s.change(r, id, func(ctx context.Context, tx *sql.Tx, v volume) error {
		found, err := s.Instances(ctx, tx, instanceID)
		if err != nil {
			return err
		}
		i, exists := found[instanceID]
		if !exists || i.TenantID != v.TenantID {
			return httpapi.NotFound("instance")
		}
		if err := mayAttach(i); err != nil {
			return err
		}
		return claim(ctx, tx, v, i, device)
	})
}

// claim gives a volume to an instance; device is empty for the first that is free.
func claim(ctx context.Context, tx *sql.Tx, v volume, i compute.Instance, device string) error {
	if err := mayBegin(v, "attached", stateAvailable); err != nil {
		return err
	}
	if i.AvailabilityZone != v.Zone {
		return httpapi.Conflict("the volume is in %s and the instance in %s: both must be in the same availability zone", v.Zone, i.AvailabilityZone)
	}
	device, err := freeDevice(ctx, tx, i.ID, device)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE volume_volumes SET status = ?1, instance_id = ?2, device = ?3, attached_at = ?4, updated_at = ?4 WHERE id = ?5`,
		statusAttachingPending, i.ID, device, store.Now(), v.ID)
	return err
}

// Claim is compute's way to attach a volume to an instance that is being created.
func (s *Service) Claim(ctx context.Context, tx *sql.Tx, i compute.Instance, id, name string) (string, error) {
	v, err := tenantVolume(ctx, tx, i.TenantID, ref{ID: id, Name: name})
	if errors.Is(err, store.ErrNotFound) {
		return "", httpapi.NotFound("volume")
	}
	if err != nil {
		return "", err
	}
	return v.ID, claim(ctx, tx, v, i, "")
}

// Wake has volumes that were claimed attached, after the transaction.
func (s *Service) Wake(ids ...string) {
	for _, id := range ids {
		s.pool.Wake(id)
	}
}

func mayAttach(i compute.Instance) error {
	if i.Hollow() {
		return httpapi.Conflict("the instance is hollow and takes no volumes")
	}
	if i.Status != "completed" || (i.State != "running" && i.State != "stopped") {
		return httpapi.Conflict("the volume cannot be attached now: the instance's status is %s and its state is %s", i.Status, i.State)
	}
	return nil
}

// freeDevice returns the wanted device name of the instance, or its first free one.
func freeDevice(ctx context.Context, q store.Queryer, instanceID, wanted string) (string, error) {
	volumes, err := queryVolumes(ctx, q, `WHERE instance_id = ?`, instanceID)
	if err != nil {
		return "", err
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(volumes, func(v volume) bool { return v.Device == name })
	}
	if wanted != "" {
		if taken(wanted) {
			return "", httpapi.Conflict("the instance has another volume at /dev/%s", wanted)
		}
		return wanted, nil
	}
	for _, name := range deviceNames() {
		if !taken(name) {
			return name, nil
		}
	}
	return "", httpapi.Conflict("the instance has %d volumes already, and cannot have more", maxVolumes)
}

const mountedMessage = "the volume is in use inside the instance: unmount it first, or stop the instance"

// detach works whether the instance runs or not, unlike what is published: what
// is mounted inside a running one stays.
func (s *Service) detach(r *http.Request) error {
	id := chi.URLParam(r, "id")
	v, err := ownVolume(r.Context(), s.db, id)
	if err != nil {
		return err
	}
	busy, err := s.busy(r.Context(), v)
	if err != nil {
		return err
	}
	return s.change(r, id, func(ctx context.Context, tx *sql.Tx, v volume) error {
		if v.Status == statusDetachingPending || v.Status == statusDetaching {
			return nil
		}
		if err := mayBegin(v, "detached", stateInUse); err != nil {
			return err
		}
		if busy {
			return httpapi.Conflict(mountedMessage)
		}
		_, err := tx.ExecContext(ctx, `UPDATE volume_volumes SET status = ?, updated_at = ? WHERE id = ?`, statusDetachingPending, store.Now(), v.ID)
		return err
	})
}

// busy tells whether a volume must not be taken from its instance.
func (s *Service) busy(ctx context.Context, v volume) (bool, error) {
	if v.State != stateInUse {
		return false, nil
	}
	phase, _, err := s.Machines.State(ctx, v.InstanceID)
	if err != nil || phase != compute.Running {
		return false, err
	}
	return s.Driver.InUse(ctx, v.ID)
}
