package volume

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// schedulerRequest is SchedulerPayload. Pointers tell a missing field from an empty one.
type schedulerRequest struct {
	Name        *string `json:"name"`
	Description *string `json:"description"`
	Snapshot    *struct {
		Type *string `json:"type"`
	} `json:"snapshot"`
	Policy *struct {
		Retention *int `json:"retention_in_days"`
		Frequency *struct {
			Daily *struct {
				StartTime *string `json:"start_time"`
			} `json:"daily"`
		} `json:"frequency"`
	} `json:"policy"`
}

const maxRetention = 3650 // days

// startTimes are the ways to write a time of day; all are UTC.
var startTimes = []string{time.TimeOnly, time.TimeOnly + "Z", "15:04"}

// scheduler checks the request and returns what it asks for, without id and tenant.
func (b schedulerRequest) scheduler() (scheduler, error) {
	var s scheduler
	if b.Name == nil {
		return s, httpapi.Invalid("name: Field required")
	}
	s.Name = *b.Name
	if b.Description != nil {
		s.Description = *b.Description
	}
	switch {
	case s.Name == "" || len([]rune(s.Name)) > maxDescription:
		return s, httpapi.Invalid("name: String should have 1 to %d characters", maxDescription)
	case len([]rune(s.Description)) > maxDescription:
		return s, httpapi.Invalid("description: String should have at most %d characters", maxDescription)
	case b.Snapshot == nil || b.Snapshot.Type == nil:
		return s, httpapi.Invalid("snapshot.type: Field required")
	case *b.Snapshot.Type != "instant" && *b.Snapshot.Type != "object":
		return s, httpapi.Invalid("snapshot.type: Input should be 'instant' or 'object'")
	case b.Policy == nil || b.Policy.Retention == nil:
		return s, httpapi.Invalid("policy.retention_in_days: Field required")
	case *b.Policy.Retention < 1 || *b.Policy.Retention > maxRetention:
		return s, httpapi.Invalid("policy.retention_in_days: Input should be between 1 and %d", maxRetention)
	case b.Policy.Frequency == nil || b.Policy.Frequency.Daily == nil || b.Policy.Frequency.Daily.StartTime == nil:
		return s, httpapi.Invalid("policy.frequency.daily.start_time: Field required")
	}
	s.Type, s.Retention = *b.Snapshot.Type, *b.Policy.Retention
	for _, layout := range startTimes {
		if at, err := time.Parse(layout, *b.Policy.Frequency.Daily.StartTime); err == nil {
			s.StartTime = at.Format(time.TimeOnly)
			return s, nil
		}
	}
	return s, httpapi.Invalid("policy.frequency.daily.start_time: Input should be a time of day in UTC, such as 14:10:00")
}

func (s *Service) createScheduler(r *http.Request) (*idView, error) {
	ctx := r.Context()
	var body schedulerRequest
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	c, err := body.scheduler()
	if err != nil {
		return nil, err
	}
	c.ID, c.TenantID, c.CreatedAt = uuid.NewString(), httpapi.TenantID(ctx), store.Now()
	c.UpdatedAt = c.CreatedAt
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := freeName(ctx, tx, "scheduler", c.TenantID, c.Name); err != nil {
			return err
		}
		return insertScheduler(ctx, tx, c)
	})
	if err != nil {
		return nil, err
	}
	return &idView{c.ID}, nil
}

// schedulerView is SchedulerResponse.
type schedulerView struct {
	ID          string        `json:"id"`
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Volumes     []string      `json:"volumes"`
	Snapshot    scheduledType `json:"snapshot"`
	State       string        `json:"state"`
	Policy      policyView    `json:"policy"`
	CreatedAt   string        `json:"created_at"`
	UpdatedAt   string        `json:"updated_at"`
}

type scheduledType struct {
	Type string `json:"type"`
}

type policyView struct {
	Retention int           `json:"retention_in_days"`
	Frequency frequencyView `json:"frequency"`
}

type frequencyView struct {
	Daily dailyView `json:"daily"`
}

type dailyView struct {
	StartTime string `json:"start_time"`
}

func (s *Service) schedulerView(ctx context.Context, c scheduler) (schedulerView, error) {
	volumes, err := queryVolumes(ctx, s.db, `WHERE id IN (SELECT volume_id FROM volume_scheduled WHERE scheduler_id = ?) ORDER BY created_at, id`, c.ID)
	ids := []string{}
	for _, v := range volumes {
		ids = append(ids, v.ID)
	}
	return schedulerView{
		ID: c.ID, Name: c.Name, Description: c.Description, Volumes: ids, Snapshot: scheduledType{c.Type}, State: stateAvailable,
		Policy: policyView{c.Retention, frequencyView{dailyView{c.StartTime}}}, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}, err
}

var schedulerOrders = map[string]string{"id": "id", "name": "name", "created_at": "created_at", "updated_at": "updated_at"}

type schedulerList struct {
	Schedulers []schedulerView `json:"schedulers"`
	Meta       listMeta        `json:"meta"`
}

func (s *Service) listSchedulers(r *http.Request) (*schedulerList, error) {
	schedulers, meta, err := list(s, r, listing[scheduler, schedulerView]{kind: "schedulers", orders: schedulerOrders,
		query: querySchedulers, views: s.schedulerViews})
	return &schedulerList{schedulers, meta}, err
}

func (s *Service) schedulerViews(ctx context.Context, schedulers []scheduler, _ []string) ([]schedulerView, error) {
	views := []schedulerView{}
	for _, c := range schedulers {
		view, err := s.schedulerView(ctx, c)
		if err != nil {
			return nil, err
		}
		views = append(views, view)
	}
	return views, nil
}

// ownScheduler returns the caller's scheduler with the id of the path.
func ownScheduler(r *http.Request, q store.Queryer) (scheduler, error) {
	c, err := store.Row(r.Context(), q, scan[scheduler], `SELECT `+schedulerColumns+` FROM volume_schedulers WHERE id = ? AND tenant_id = ?`,
		chi.URLParam(r, "id"), httpapi.TenantID(r.Context()))
	if errors.Is(err, store.ErrNotFound) {
		return c, httpapi.NotFound("scheduler")
	}
	return c, err
}

func (s *Service) getScheduler(r *http.Request) (*schedulerView, error) {
	c, err := ownScheduler(r, s.db)
	if err != nil {
		return nil, err
	}
	view, err := s.schedulerView(r.Context(), c)
	if err != nil {
		return nil, err
	}
	return &view, nil
}

// deleteScheduler keeps the snapshots that were taken; they expire as they were promised to.
func (s *Service) deleteScheduler(r *http.Request) error {
	return s.db.Tx(r.Context(), func(tx *sql.Tx) error {
		c, err := ownScheduler(r, tx)
		if err == nil {
			_, err = tx.ExecContext(r.Context(), `DELETE FROM volume_schedulers WHERE id = ?`, c.ID)
		}
		return err
	})
}

// attachScheduler may be repeated.
func (s *Service) attachScheduler(r *http.Request) error {
	return s.changeScheduled(r, func(ctx context.Context, tx *sql.Tx, c scheduler, v volume) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO volume_scheduled (scheduler_id, volume_id, last_run) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
			c.ID, v.ID, store.Now())
		return err
	})
}

func (s *Service) detachScheduler(r *http.Request) error {
	return s.changeScheduled(r, func(ctx context.Context, tx *sql.Tx, c scheduler, v volume) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM volume_scheduled WHERE scheduler_id = ? AND volume_id = ?`, c.ID, v.ID)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return httpapi.NotFound("volume of the scheduler")
	})
}

func (s *Service) changeScheduled(r *http.Request, change func(context.Context, *sql.Tx, scheduler, volume) error) error {
	var body struct {
		Volume *ref `json:"volume"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := validateRef("volume", body.Volume); err != nil {
		return err
	}
	ctx := r.Context()
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		c, err := ownScheduler(r, tx)
		if err != nil {
			return err
		}
		v, err := tenantVolume(ctx, tx, c.TenantID, *body.Volume)
		if errors.Is(err, store.ErrNotFound) {
			return httpapi.NotFound("volume")
		}
		if err != nil {
			return err
		}
		return change(ctx, tx, c, v)
	})
}
