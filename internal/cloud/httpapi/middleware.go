// Package httpapi has what the HTTP services of the local cloud share: request
// ids, logs, limits, authentication, JSON, pages, error shapes, faults for tests.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
)

type requestIDKey struct{}

// RequestID returns the id of the request; it is in the answer's X-Request-Id too.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// A caller's id goes to headers and logs: only short and harmless ones are kept.
var harmlessID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// RequestIDs gives every request an id: the caller's X-Request-Id, else a new one.
func RequestIDs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !harmlessID.MatchString(id) {
			id = uuid.NewString()
		}
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Mgc-Trace-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// Log writes one line per request. Neither headers nor bodies nor query strings are logged.
func Log(logger *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			next.ServeHTTP(answer, r)
			level := slog.LevelInfo
			if reads := r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/internal/"); reads && answer.Status() < http.StatusBadRequest {
				level = slog.LevelDebug // there are many, and they change nothing
			}
			logger.LogAttrs(r.Context(), level, "request",
				slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", answer.Status()),
				slog.Int64("took_ms", time.Since(start).Milliseconds()), slog.Int("bytes", answer.BytesWritten()),
				slog.String("request_id", RequestID(r.Context())), slog.String("client", r.RemoteAddr))
		})
	}
}

// Recover answers 500 when a handler panics.
func Recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler:
				panic(cause)
			default:
				slog.ErrorContext(r.Context(), "panic", "cause", cause, "stack", string(debug.Stack()))
				WriteError(w, r, SlugMessage, &Error{Status: http.StatusInternalServerError, Slug: "internal_error",
					Message: "something went wrong on our side; request id " + RequestID(r.Context())})
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// LimitBody makes bodies larger than MaxBody fail with 413.
func LimitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		next.ServeHTTP(w, r)
	})
}
