package volume

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type typeList struct {
	Types []listedType `json:"types"`
}

func (s *Service) listTypes(r *http.Request) (*typeList, error) {
	encrypted, err := httpapi.BoolParam(r, "allows-encryption", "only those that can be encrypted: none", false)
	if err != nil {
		return nil, err
	}
	name := httpapi.TextParam(r, "name", byName.about)
	zone := httpapi.TextParam(r, "availability-zone", "only those that this zone has")
	types := []listedType{}
	for _, t := range volumeTypes {
		if (name == "" || t.Name == name) && (zone == "" || slices.Contains(s.Zones, zone)) && !encrypted {
			types = append(types, listedType{IOPS: *t.IOPS, ID: t.ID, Name: t.Name, DiskType: t.DiskType, Status: t.Status, AvailabilityZones: s.Zones})
		}
	}
	return &typeList{types}, nil
}

type volumeList struct {
	Volumes []volumeView `json:"volumes"`
	Meta    listMeta     `json:"meta"`
}

// volumeParts are the parts of volumes that can be expanded.
var volumeParts = []string{"volume_type", "attachment"}

func (s *Service) listVolumes(r *http.Request) (*volumeList, error) {
	volumes, meta, err := list(s, r, listing[volume, volumeView]{kind: "volumes", orders: orders, filters: []filter{byName}, expand: volumeParts,
		query: queryVolumes, views: s.views})
	return &volumeList{volumes, meta}, err
}

func (s *Service) createVolume(r *http.Request) (*idView, error) {
	ctx := r.Context()
	var body createVolumeRequest
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := body.validate(); err != nil {
		return nil, err
	}
	t, ok := findType(*body.Type)
	if !ok {
		return nil, httpapi.NotFound("volume type")
	}
	v := volume{ID: uuid.NewString(), TenantID: httpapi.TenantID(ctx), Name: *body.Name, Size: *body.Size, TypeID: t.ID,
		State: stateNew, Status: statusProvisioning, CreatedAt: store.Now()}
	v.UpdatedAt = v.CreatedAt
	if body.Zone != nil {
		v.Zone = *body.Zone
	}
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := freeName(ctx, tx, "volume", v.TenantID, v.Name); err != nil {
			return err
		}
		if err := s.place(ctx, tx, &v, body.Snapshot); err != nil {
			return err
		}
		if err := s.checkQuota(ctx, tx, v.TenantID, 1, v.Size, "creating_error_quota"); err != nil {
			return err
		}
		if err := s.checkCapacity(ctx, tx, v.Size, "creating_error_quota"); err != nil {
			return err
		}
		return insertVolume(ctx, tx, v)
	})
	if err != nil {
		return nil, err
	}
	s.pool.Wake(v.ID)
	return &idView{v.ID}, nil
}

// place finds the zone of a new volume and the snapshot that it is made from.
func (s *Service) place(ctx context.Context, q store.Queryer, v *volume, from *ref) error {
	zones := s.Zones
	if from != nil {
		n, err := tenantSnapshot(ctx, q, v.TenantID, *from)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return httpapi.NotFound("snapshot")
		case err != nil:
			return err
		case n.State != stateAvailable || n.Status != statusCompleted:
			return httpapi.Conflict("the snapshot cannot be restored now: its status is %s", n.Status)
		case v.Size < n.Size:
			return httpapi.Invalid("size: Input should be greater than or equal to %d, the size of the snapshot", n.Size)
		}
		zones, v.SnapshotID = s.zonesOf(n), n.ID
	}
	if v.Zone == "" {
		v.Zone = zones[0]
	}
	if !slices.Contains(s.Zones, v.Zone) {
		return httpapi.Invalid("availability_zone: %q does not exist; there are %s", v.Zone, strings.Join(s.Zones, ", "))
	}
	if !slices.Contains(zones, v.Zone) {
		return httpapi.Conflict("the snapshot can only be restored in %s", strings.Join(zones, ", "))
	}
	return nil
}

// freeName makes sure that the tenant has no other volume, or snapshot, of the name.
func freeName(ctx context.Context, q store.Queryer, what, tenantID, name string) error {
	n, err := store.Count(ctx, q, `SELECT count(*) FROM volume_`+what+`s WHERE tenant_id = ? AND name = ?`, tenantID, name)
	if err == nil && n > 0 {
		return httpapi.Conflict("a %s with the name %q already exists", what, name)
	}
	return err
}

// ownVolume returns the caller's volume.
func ownVolume(ctx context.Context, q store.Queryer, id string) (volume, error) {
	v, err := findVolume(ctx, q, id)
	if errors.Is(err, store.ErrNotFound) || (err == nil && v.TenantID != httpapi.TenantID(ctx)) {
		return volume{}, httpapi.NotFound("volume")
	}
	return v, err
}

func (s *Service) getVolume(r *http.Request) (*volumeView, error) {
	expand := httpapi.ExpandParam(r, volumeParts)
	v, err := ownVolume(r.Context(), s.db, chi.URLParam(r, "id"))
	if err != nil {
		return nil, err
	}
	views, err := s.views(r.Context(), []volume{v}, expand)
	if err != nil {
		return nil, err
	}
	return &views[0], nil
}

// change does something to the caller's volume, in one transaction, and wakes the reconciler up.
func (s *Service) change(r *http.Request, id string, fn func(ctx context.Context, tx *sql.Tx, v volume) error) error {
	ctx := r.Context()
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		v, err := ownVolume(ctx, tx, id)
		if err != nil {
			return err
		}
		return fn(ctx, tx, v)
	})
	if err != nil {
		return err
	}
	s.pool.Wake(id)
	return nil
}

func (s *Service) renameVolume(r *http.Request) error {
	name, err := decodeName(r)
	if err != nil {
		return err
	}
	return s.change(r, chi.URLParam(r, "id"), func(ctx context.Context, tx *sql.Tx, v volume) error {
		if v.Name == name {
			return nil
		}
		if err := freeName(ctx, tx, "volume", v.TenantID, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE volume_volumes SET name = ?, updated_at = ? WHERE id = ?`, name, store.Now(), v.ID)
		return err
	})
}

func decodeName(r *http.Request) (string, error) {
	var body struct {
		Name *string `json:"name"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return "", err
	}
	if err := validateName(body.Name); err != nil {
		return "", err
	}
	return *body.Name, nil
}

// settled are the statuses in which nothing is under way on a volume that was created.
var settled = []string{statusCompleted, "attaching_error", statusDetachingError, "extend_error", "retype_error"}

func mayBegin(v volume, verb string, states ...string) error {
	if !slices.Contains(settled, v.Status) {
		return httpapi.Conflict("the volume cannot be %s now: its status is %s", verb, v.Status)
	}
	if !slices.Contains(states, v.State) {
		return httpapi.Conflict("the volume cannot be %s: its state is %s", verb, v.State)
	}
	return nil
}

// extend is also possible while the volume is attached, unlike what is published.
func (s *Service) extend(r *http.Request) error {
	var body struct {
		Size *int64 `json:"size"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := validateSize(body.Size); err != nil {
		return err
	}
	return s.change(r, chi.URLParam(r, "id"), func(ctx context.Context, tx *sql.Tx, v volume) error {
		if err := mayBegin(v, "extended", stateAvailable, stateInUse); err != nil {
			return err
		}
		if *body.Size <= v.Size {
			return httpapi.Invalid("size: Input should be greater than %d, the present size", v.Size)
		}
		if err := s.checkQuota(ctx, tx, v.TenantID, 0, *body.Size-v.Size, "extend_error_quota"); err != nil {
			return err
		}
		if err := s.checkCapacity(ctx, tx, *body.Size-v.Size, "extend_error_quota"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE volume_volumes SET status = ?, new_size = ?, updated_at = ? WHERE id = ?`,
			statusExtendPending, *body.Size, store.Now(), v.ID)
		return err
	})
}

// retype is also possible while the volume is attached, unlike what is published.
func (s *Service) retype(r *http.Request) error {
	var body struct {
		NewType *ref `json:"new_type"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := validateRef("new_type", body.NewType); err != nil {
		return err
	}
	t, ok := findType(*body.NewType)
	if !ok {
		return httpapi.NotFound("volume type")
	}
	return s.change(r, chi.URLParam(r, "id"), func(ctx context.Context, tx *sql.Tx, v volume) error {
		if err := mayBegin(v, "retyped", stateAvailable, stateInUse); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE volume_volumes SET status = ?, new_type_id = ?, updated_at = ? WHERE id = ?`,
			statusRetypePending, t.ID, store.Now(), v.ID)
		return err
	})
}

func (s *Service) deleteVolume(r *http.Request) error {
	return s.change(r, chi.URLParam(r, "id"), func(ctx context.Context, tx *sql.Tx, v volume) error {
		if v.Status == statusDeletingPending || v.Status == statusDeleting {
			return nil
		}
		if !strings.HasPrefix(v.Status, "creating_error") { // such a one has nothing to lose
			if err := mayBegin(v, "deleted", stateAvailable); err != nil {
				return err
			}
		}
		n, err := store.Count(ctx, tx, `SELECT count(*) FROM volume_snapshots WHERE volume_id = ?`, v.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return httpapi.Conflict("the volume has %d snapshots: delete them first", n)
		}
		_, err = tx.ExecContext(ctx, `UPDATE volume_volumes SET status = ?, updated_at = ? WHERE id = ?`, statusDeletingPending, store.Now(), v.ID)
		return err
	})
}
