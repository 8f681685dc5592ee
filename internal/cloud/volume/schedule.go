package volume

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// scheduler is a row of the table of schedulers.
type scheduler struct {
	ID, TenantID, Name, Description string
	Type                            string // of the snapshots
	Retention                       int    // days
	StartTime                       string // HH:MM:SS, UTC
	CreatedAt, UpdatedAt            string
}

const schedulerColumns = `id, tenant_id, name, description, snapshot_type, retention_in_days, start_time, created_at, updated_at`

func (c *scheduler) fields() []any {
	return []any{&c.ID, &c.TenantID, &c.Name, &c.Description, &c.Type, &c.Retention, &c.StartTime, &c.CreatedAt, &c.UpdatedAt}
}

func querySchedulers(ctx context.Context, q store.Queryer, tail string, args ...any) ([]scheduler, error) {
	return store.Rows(ctx, q, scan[scheduler], `SELECT `+schedulerColumns+` FROM volume_schedulers `+tail, args...)
}

func insertScheduler(ctx context.Context, tx *sql.Tx, c scheduler) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO volume_schedulers (`+schedulerColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, c.fields()...)
	return err
}

// due is the last time, up to now, at which the scheduler should have run.
func (c scheduler) due(now time.Time) (time.Time, error) {
	at, err := time.Parse(time.TimeOnly, c.StartTime)
	if err != nil {
		return time.Time{}, err
	}
	year, month, day := now.UTC().Date()
	due := time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
	if due.After(now) {
		due = due.AddDate(0, 0, -1)
	}
	return due, nil
}

// scheduleEvery is how late a scheduled snapshot may begin.
const scheduleEvery = 15 * time.Second

// schedule takes and removes snapshots at their time until ctx is done. What was
// due while no daemon ran is done once, when one starts.
func (s *Service) schedule(ctx context.Context) {
	ticker := time.NewTicker(scheduleEvery)
	defer ticker.Stop()
	for {
		if err := s.runSchedules(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.Logger.Error("volume: scheduled snapshots", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) runSchedules(ctx context.Context, now time.Time) error {
	schedulers, err := querySchedulers(ctx, s.db, `ORDER BY created_at`)
	errs := []error{err}
	for _, c := range schedulers {
		due, err := c.due(now)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		volumes, err := queryVolumes(ctx, s.db, `WHERE id IN (SELECT volume_id FROM volume_scheduled WHERE scheduler_id = ? AND last_run < ?)`,
			c.ID, store.Format(due))
		errs = append(errs, err)
		for _, v := range volumes {
			errs = append(errs, s.takeScheduled(ctx, c, v.ID, due))
		}
	}
	return errors.Join(append(errs, s.expire(ctx, now))...)
}

// takeScheduled records a snapshot and that it is taken, together. A volume on
// which something is under way has its turn later; one for which there is no room has it the next day.
func (s *Service) takeScheduled(ctx context.Context, c scheduler, volumeID string, due time.Time) error {
	taken := false
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		v, err := findVolume(ctx, tx, volumeID)
		if err != nil {
			return err
		}
		if mayBegin(v, "snapshotted", stateAvailable, stateInUse) != nil {
			return nil //nolint:nilerr // it has its turn later
		}
		result, err := tx.ExecContext(ctx, `UPDATE volume_scheduled SET last_run = ?1 WHERE scheduler_id = ?2 AND volume_id = ?3 AND last_run < ?1`,
			store.Format(due), c.ID, v.ID)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 { // detached meanwhile
			return err
		}
		var refused *httpapi.Error
		if err := s.checkCapacity(ctx, tx, v.Size, "creating_error_quota"); errors.As(err, &refused) {
			s.Logger.Error("volume: no room for a scheduled snapshot", "volume", v.ID, "scheduler", c.ID, "error", refused.Message)
			return nil
		} else if err != nil {
			return err
		}
		taken = true
		return insertSnapshot(ctx, tx, scheduledSnapshot(c, v, due))
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil && taken {
		s.pool.Wake(volumeID)
	}
	return err
}

func scheduledSnapshot(c scheduler, v volume, due time.Time) snapshot {
	n := snapshot{ID: uuid.NewString(), TenantID: c.TenantID, Description: "taken by the scheduler " + c.Name, VolumeID: v.ID, Type: c.Type, Size: v.Size,
		Name: fmt.Sprintf("auto-%.8s-%.8s-%s", c.ID, v.ID, due.Format("20060102-150405")),
		Zone: v.Zone, State: stateNew, Status: statusProvisioning, SchedulerID: c.ID,
		ExpiresAt: store.Format(due.AddDate(0, 0, c.Retention)), CreatedAt: store.Now()}
	n.UpdatedAt = n.CreatedAt
	return n
}

// expire deletes snapshots whose time is over; those that are needed stay until they are not.
func (s *Service) expire(ctx context.Context, now time.Time) error {
	expired, err := querySnapshots(ctx, s.db, `WHERE expires_at <> '' AND expires_at <= ? AND status <> 'deleting'`, store.Format(now))
	if err != nil {
		return err
	}
	for _, n := range expired {
		err := s.db.Tx(ctx, func(tx *sql.Tx) error { return beginDeletion(ctx, tx, n) })
		var needed *httpapi.Error
		if errors.As(err, &needed) {
			continue
		}
		if err != nil {
			return err
		}
		s.pool.Wake(n.VolumeID)
	}
	return nil
}
