package volume

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type snapshotList struct {
	Snapshots []snapshotView `json:"snapshots"`
	Meta      listMeta       `json:"meta"`
}

// snapshotParts are the parts of snapshots that can be expanded.
var snapshotParts = []string{"volume"}

func (s *Service) listSnapshots(r *http.Request) (*snapshotList, error) {
	snapshots, meta, err := list(s, r, listing[snapshot, snapshotView]{kind: "snapshots", orders: orders, expand: snapshotParts,
		filters: []filter{byName, {"type", "only those of this type, instant or object"}}, query: querySnapshots, views: s.snapshotViews})
	return &snapshotList{snapshots, meta}, err
}

func (s *Service) createSnapshot(r *http.Request) (*idView, error) {
	ctx := r.Context()
	var body createSnapshotRequest
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := body.validate(); err != nil {
		return nil, err
	}
	n := snapshot{ID: uuid.NewString(), TenantID: httpapi.TenantID(ctx), Name: *body.Name, Description: body.Description.text, Type: "instant",
		State: stateNew, Status: statusProvisioning, CreatedAt: store.Now()}
	n.UpdatedAt = n.CreatedAt
	if body.Type != nil {
		n.Type = *body.Type
	}
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := freeName(ctx, tx, "snapshot", n.TenantID, n.Name); err != nil {
			return err
		}
		if err := findSource(ctx, tx, &n, body); err != nil {
			return err
		}
		if err := s.checkCapacity(ctx, tx, n.Size, "creating_error_quota"); err != nil {
			return err
		}
		return insertSnapshot(ctx, tx, n)
	})
	if err != nil {
		return nil, err
	}
	s.pool.Wake(n.VolumeID)
	return &idView{n.ID}, nil
}

// findSource finds what a new snapshot is of: a volume, or another snapshot.
func findSource(ctx context.Context, q store.Queryer, n *snapshot, body createSnapshotRequest) error {
	if body.Source != nil {
		source, err := tenantSnapshot(ctx, q, n.TenantID, *body.Source)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return httpapi.NotFound("snapshot")
		case err != nil:
			return err
		case source.State != stateAvailable || source.Status != statusCompleted:
			return httpapi.Conflict("the snapshot cannot be copied now: its status is %s", source.Status)
		}
		n.VolumeID, n.SourceID, n.Size, n.Zone = source.VolumeID, source.ID, source.Size, source.Zone
		return nil
	}
	v, err := tenantVolume(ctx, q, n.TenantID, *body.Volume)
	if errors.Is(err, store.ErrNotFound) {
		return httpapi.NotFound("volume")
	}
	if err != nil {
		return err
	}
	if err := mayBegin(v, "snapshotted", stateAvailable, stateInUse); err != nil {
		return err
	}
	n.VolumeID, n.Size, n.Zone = v.ID, v.Size, v.Zone
	return nil
}

// ownSnapshot returns the caller's snapshot with the id of the path.
func ownSnapshot(r *http.Request, q store.Queryer) (snapshot, error) {
	n, err := tenantSnapshot(r.Context(), q, httpapi.TenantID(r.Context()), ref{ID: chi.URLParam(r, "id")})
	if errors.Is(err, store.ErrNotFound) {
		return snapshot{}, httpapi.NotFound("snapshot")
	}
	return n, err
}

func (s *Service) getSnapshot(r *http.Request) (*snapshotView, error) {
	expand := httpapi.ExpandParam(r, snapshotParts)
	n, err := ownSnapshot(r, s.db)
	if err != nil {
		return nil, err
	}
	views, err := s.snapshotViews(r.Context(), []snapshot{n}, expand)
	if err != nil {
		return nil, err
	}
	return &views[0], nil
}

func (s *Service) renameSnapshot(r *http.Request) error {
	name, err := decodeName(r)
	if err != nil {
		return err
	}
	return s.changeSnapshot(r, func(ctx context.Context, tx *sql.Tx, n snapshot) error {
		if n.Name == name {
			return nil
		}
		if err := freeName(ctx, tx, "snapshot", n.TenantID, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE volume_snapshots SET name = ?, updated_at = ? WHERE id = ?`, name, store.Now(), n.ID)
		return err
	})
}

func (s *Service) deleteSnapshot(r *http.Request) error {
	return s.changeSnapshot(r, func(ctx context.Context, tx *sql.Tx, n snapshot) error { return beginDeletion(ctx, tx, n) })
}

func beginDeletion(ctx context.Context, tx *sql.Tx, n snapshot) error {
	if n.Status == statusDeleting {
		return nil
	}
	if n.Status != statusCompleted && !strings.HasPrefix(n.Status, "creating_error") {
		return httpapi.Conflict("the snapshot cannot be deleted now: its status is %s", n.Status)
	}
	restored, err := store.Count(ctx, tx, `SELECT count(*) FROM volume_volumes WHERE snapshot_id = ?`, n.ID)
	if err != nil {
		return err
	}
	if restored > 0 {
		return httpapi.Conflict("%d volumes were made from the snapshot: delete them first", restored)
	}
	copying, err := store.Count(ctx, tx, `SELECT count(*) FROM volume_snapshots WHERE source_snapshot_id = ? AND status IN ('provisioning', 'creating')`, n.ID)
	if err != nil {
		return err
	}
	if copying > 0 {
		return httpapi.Conflict("the snapshot is being copied: try again later")
	}
	_, err = tx.ExecContext(ctx, `UPDATE volume_snapshots SET status = ?, updated_at = ? WHERE id = ?`, statusDeleting, store.Now(), n.ID)
	return err
}

// changeSnapshot does something to the caller's snapshot, in one transaction, and wakes the reconciler up.
func (s *Service) changeSnapshot(r *http.Request, fn func(ctx context.Context, tx *sql.Tx, n snapshot) error) error {
	volumeID := ""
	err := s.db.Tx(r.Context(), func(tx *sql.Tx) error {
		n, err := ownSnapshot(r, tx)
		if err != nil {
			return err
		}
		volumeID = n.VolumeID
		return fn(r.Context(), tx, n)
	})
	if err != nil {
		return err
	}
	s.pool.Wake(volumeID)
	return nil
}
