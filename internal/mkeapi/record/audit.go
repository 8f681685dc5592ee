package record

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// forgetAtOnce bounds how long the removal of old audit records holds anything up.
const forgetAtOnce = 5000

// AuditFilter chooses among a tenant's audit records, newest first; what is nil chooses nothing. BeforeAt and BeforeID are of the last
// record that was seen.
type AuditFilter = db.FindAuditRecordsParams

// KeepAudit keeps all of the records. Those that are kept already stay as they are.
func (s *Store) KeepAudit(ctx context.Context, records []audit.Record) (err error) {
	rows := make([]db.InsertAuditRecordsParams, len(records))
	for i, r := range records {
		rows[i] = db.InsertAuditRecordsParams{ID: r.ID, At: r.Time, TenantID: r.TenantID, SubjectType: r.SubjectType, Subject: r.Subject, SubjectName: r.SubjectName,
			KeyID: r.KeyID, Product: r.Product, Operation: r.Operation, Method: r.Method, Path: r.Path, Resources: append([]string{}, r.Resources...), DryRun: r.DryRun,
			Address: r.Address, UserAgent: r.UserAgent, RequestID: r.RequestID, TraceID: r.TraceID, Status: int32(r.Status), Error: r.Error, DurationMs: r.DurationMS}
	}
	s.q.InsertAuditRecords(ctx, rows).Exec(func(_ int, failure error) {
		if err == nil {
			err = failure
		}
	})
	return err
}

// planned has every query planned with its arguments. A plan that serves any of many filters would use the index of none.
type planned struct{ db.DBTX }

func (p planned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.DBTX.Query(ctx, sql, append([]any{pgx.QueryExecModeDescribeExec}, args...)...)
}

// FindAudit returns the tenant's records that the filter chooses.
func (s *Store) FindAudit(ctx context.Context, f AuditFilter) ([]audit.Record, error) {
	rows, err := db.New(planned{s.pool}).FindAuditRecords(ctx, f)
	records := make([]audit.Record, len(rows))
	for i := range rows {
		records[i] = toAudit(&rows[i])
	}
	return records, err
}

// GetAudit returns one record of the tenant, or audit_record_not_found.
func (s *Store) GetAudit(ctx context.Context, tenant string, id uuid.UUID) (audit.Record, error) {
	row, err := s.q.GetAuditRecord(ctx, db.GetAuditRecordParams{ID: id, TenantID: tenant})
	if err != nil {
		return audit.Record{}, notFound(err, problem.AuditRecordNotFound)
	}
	return toAudit(&row), nil
}

func toAudit(r *db.AuditRecord) audit.Record {
	return audit.Record{ID: r.ID, Time: r.At.UTC(), Caller: audit.Caller{TenantID: r.TenantID, SubjectType: r.SubjectType, Subject: r.Subject, SubjectName: r.SubjectName, KeyID: r.KeyID},
		Product: r.Product, Operation: r.Operation, Method: r.Method, Path: r.Path, Resources: r.Resources, DryRun: r.DryRun, Address: r.Address, UserAgent: r.UserAgent,
		RequestID: r.RequestID, TraceID: r.TraceID, Status: int(r.Status), Error: r.Error, DurationMS: r.DurationMs}
}

// ForgetAudit removes the records from before a moment, some at a time, and says how many there were.
func (s *Store) ForgetAudit(ctx context.Context, before time.Time) (total int64, err error) {
	for {
		n, err := s.q.ForgetAuditRecords(ctx, db.ForgetAuditRecordsParams{Before: before, AtMost: forgetAtOnce})
		total += n
		if err != nil || n < forgetAtOnce {
			return total, err
		}
	}
}
