package iam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	// maxWaitingRecords bounds what strangers can fill the database with while nobody takes records.
	maxWaitingRecords = 100_000
	// recordsAtOnce is how many the platform takes at a time.
	recordsAtOnce = 200
	// refusalsRecorded are the failed attempts per second of one address that are recorded: as many as the gateway lets through.
	refusalsRecorded = 20
)

var errRecordsFull = errors.New("too many audit records wait for the platform")

func newRefusals() *httprate.RateLimiter {
	return httprate.NewRateLimiter(refusalsRecorded, time.Second, httprate.WithResponseHeaders(httprate.ResponseHeaders{}))
}

// recorded answers a request that did not come through the gateway, and keeps the audit record that the gateway would have made. The record
// comes before the answer: nobody holds a token whose sign-in is on no record.
func (s *Service) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		record := audit.Record{ID: uuid.New(), Time: start.UTC().Truncate(time.Microsecond), Product: "iam", Operation: r.Method + " " + chi.RouteContext(r.Context()).RoutePath,
			Method: r.Method, Path: r.URL.Path, Address: remoteHost(r), UserAgent: r.UserAgent(), RequestID: httpapi.RequestID(r.Context()), TraceID: httpapi.RequestID(r.Context())}
		answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		var body bytes.Buffer
		answer.Tee(&body)
		answer.Discard()
		next.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), callerKey{}, func(c audit.Caller) { record.Caller = c })))

		record.Status, record.DurationMS = max(answer.Status(), http.StatusOK), time.Since(start).Milliseconds()
		if record.Status >= http.StatusBadRequest {
			record.Error = oauthError(w.Header(), body.Bytes())
		}
		record.Clean()
		if record.Status < http.StatusBadRequest || !s.refusals.OnLimit(w, r, record.Address) {
			s.keepRecord(r.Context(), &record)
		}
		w.WriteHeader(record.Status)
		_, _ = w.Write(body.Bytes())
	})
}

// oauthError is the code in an error of OAuth. The sign-in page has none.
func oauthError(header http.Header, body []byte) string {
	var e struct{ Error string }
	if !strings.HasPrefix(header.Get("Content-Type"), "application/json") || json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.Error
}

// keepRecord is not worth failing a sign-in for: a record that cannot be kept is a line of the log.
func (s *Service) keepRecord(ctx context.Context, record *audit.Record) {
	line, err := json.Marshal(record)
	if err == nil {
		var kept int64
		// The client may be gone; what it did stays done.
		kept, err = s.db.Exec(context.WithoutCancel(ctx), `INSERT INTO iam_audit_records (record) SELECT ?1
			WHERE coalesce((SELECT max(number) FROM iam_audit_records) - (SELECT min(number) FROM iam_audit_records) + 1, 0) < ?2`, string(line), s.maxRecords)
		if err == nil && kept == 0 {
			err = errRecordsFull
		}
	}
	if err != nil {
		slog.ErrorContext(ctx, "an audit record is lost but for this line", "record", string(line), "error", err.Error())
	}
}

// listRecords gives the platform the records that have waited longest. To everybody else the path does not exist.
func (s *Service) listRecords(r *http.Request) (*audit.Waiting, error) {
	if !httpapi.IdentityOf(r.Context()).Platform {
		return nil, httpapi.NotFound("page")
	}
	type row struct {
		number int64
		record string
	}
	rows, err := list(r.Context(), s.db, func(in store.Scanner) (out row, err error) {
		err = in.Scan(&out.number, &out.record)
		return out, err
	}, `SELECT number, record FROM iam_audit_records ORDER BY number LIMIT ?`, recordsAtOnce)
	if err != nil {
		return nil, err
	}
	waiting := audit.Waiting{Batch: audit.Batch{Records: make([]audit.Record, len(rows))}}
	for i, row := range rows {
		if err := json.Unmarshal([]byte(row.record), &waiting.Records[i]); err != nil {
			return nil, fmt.Errorf("audit record %d: %w", row.number, err)
		}
		waiting.Last = row.number
	}
	return &waiting, nil
}

// forgetRecords removes the records up to the one with the number, which the platform has kept.
func (s *Service) forgetRecords(r *http.Request) error {
	if !httpapi.IdentityOf(r.Context()).Platform {
		return httpapi.NotFound("page")
	}
	text, err := httpapi.RequiredParam(r, "last", "Number of the last record that was kept")
	if err != nil {
		return err
	}
	last, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return httpapi.Invalid("last must be the number of a record")
	}
	_, err = s.db.Exec(r.Context(), `DELETE FROM iam_audit_records WHERE number <= ?`, last)
	return err
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
