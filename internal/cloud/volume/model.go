package volume

import (
	"context"
	"database/sql"

	"magalu.cloud/mke/internal/cloud/store"
)

// volume is a row of the table of volumes.
type volume struct {
	ID, TenantID, Name             string
	Size                           int64 // GiB
	TypeID, Zone, SnapshotID       string
	State, Status                  string
	ErrorSlug, ErrorMessage        string
	NewSize                        int64
	NewTypeID                      string
	InstanceID, Device, AttachedAt string
	CreatedAt, UpdatedAt           string
}

// snapshot is a row of the table of snapshots.
type snapshot struct {
	ID, TenantID, Name, Description string
	VolumeID, SourceID              string
	Type                            string
	Size                            int64 // GiB
	Zone                            string
	State, Status                   string
	ErrorSlug, ErrorMessage         string
	CreatedAt, UpdatedAt            string
	SchedulerID, ExpiresAt          string // of those that a scheduler took
}

// States, as published.
const (
	stateNew       = "new"
	stateAvailable = "available"
	stateInUse     = "in-use"
)

// Statuses, as published. Those that end in _error are in the outcomes of reconcile.go.
const (
	statusProvisioning     = "provisioning"
	statusCreating         = "creating"
	statusCompleted        = "completed"
	statusAttachingPending = "attaching_pending"
	statusAttaching        = "attaching"
	statusDetachingPending = "detaching_pending"
	statusDetaching        = "detaching"
	statusDetachingError   = "detaching_error"
	statusExtendPending    = "extend_pending"
	statusExtending        = "extending"
	statusRetypePending    = "retype_pending"
	statusRetyping         = "retyping"
	statusDeletingPending  = "deleting_pending"
	statusDeleting         = "deleting"
)

const gib = 1 << 30

const volumeColumns = `id, tenant_id, name, size, type_id, availability_zone, snapshot_id, state, status, error_slug, error_message,
	new_size, new_type_id, instance_id, device, attached_at, created_at, updated_at`

func (v *volume) fields() []any {
	return []any{&v.ID, &v.TenantID, &v.Name, &v.Size, &v.TypeID, &v.Zone, &v.SnapshotID, &v.State, &v.Status, &v.ErrorSlug, &v.ErrorMessage,
		&v.NewSize, &v.NewTypeID, &v.InstanceID, &v.Device, &v.AttachedAt, &v.CreatedAt, &v.UpdatedAt}
}

const snapshotColumns = `id, tenant_id, name, description, volume_id, source_snapshot_id, type, size, availability_zone, state, status,
	error_slug, error_message, created_at, updated_at, scheduler_id, expires_at`

func (s *snapshot) fields() []any {
	return []any{&s.ID, &s.TenantID, &s.Name, &s.Description, &s.VolumeID, &s.SourceID, &s.Type, &s.Size, &s.Zone, &s.State, &s.Status,
		&s.ErrorSlug, &s.ErrorMessage, &s.CreatedAt, &s.UpdatedAt, &s.SchedulerID, &s.ExpiresAt}
}

type record[T any] interface {
	*T
	fields() []any
}

func scan[T any, P record[T]](row store.Scanner) (item T, err error) {
	err = row.Scan(P(&item).fields()...)
	return item, err
}

func queryVolumes(ctx context.Context, q store.Queryer, tail string, args ...any) ([]volume, error) {
	return store.Rows(ctx, q, scan[volume], `SELECT `+volumeColumns+` FROM volume_volumes `+tail, args...)
}

func querySnapshots(ctx context.Context, q store.Queryer, tail string, args ...any) ([]snapshot, error) {
	return store.Rows(ctx, q, scan[snapshot], `SELECT `+snapshotColumns+` FROM volume_snapshots `+tail, args...)
}

// findVolume returns a volume, whoever it belongs to.
func findVolume(ctx context.Context, q store.Queryer, id string) (volume, error) {
	return store.Row(ctx, q, scan[volume], `SELECT `+volumeColumns+` FROM volume_volumes WHERE id = ?`, id)
}

// ofTenant is the tenant's object with the id, or without an id with the name.
const ofTenant = ` WHERE tenant_id = ?1 AND (id = ?2 OR (?2 = '' AND name = ?3))`

func tenantVolume(ctx context.Context, q store.Queryer, tenantID string, r ref) (volume, error) {
	return store.Row(ctx, q, scan[volume], `SELECT `+volumeColumns+` FROM volume_volumes`+ofTenant, tenantID, r.ID, r.Name)
}

func tenantSnapshot(ctx context.Context, q store.Queryer, tenantID string, r ref) (snapshot, error) {
	return store.Row(ctx, q, scan[snapshot], `SELECT `+snapshotColumns+` FROM volume_snapshots`+ofTenant, tenantID, r.ID, r.Name)
}

func insertVolume(ctx context.Context, tx *sql.Tx, v volume) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO volume_volumes (`+volumeColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, v.fields()...)
	return err
}

func insertSnapshot(ctx context.Context, tx *sql.Tx, s snapshot) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO volume_snapshots (`+snapshotColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, s.fields()...)
	return err
}
