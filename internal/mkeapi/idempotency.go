package mkeapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"time"

	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// tidyInterval is how often what has become too old is removed.
const tidyInterval = time.Hour

var idempotencyKey = regexp.MustCompile(`^[!-~]{1,255}$`)

// idempotent carries a POST with an Idempotency-Key out once. Dry runs change nothing and need none.
func (s *Server) idempotent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if dry, err := parseSwitch("dry_run", r.URL.Query().Get("dry_run")); r.Method != http.MethodPost || key == "" || dry || err != nil {
			next.ServeHTTP(w, r)
			return
		}
		if !idempotencyKey.MatchString(key) {
			problem.Write(w, r, problem.New(problem.InvalidIdempotencyKey))
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err != nil {
			problem.Write(w, r, problem.New(problem.BodyMissing))
			return
		}
		hash := sha256.Sum256(append([]byte(r.URL.RequestURI()+"\n"), compact(body)...))
		answer, known, err := s.store.Once(r.Context(), tenantOf(r.Context()), key, hash[:], func(ctx context.Context) record.Answer {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body)) // the rest, if it is too large
			kept := keptAnswer{header: w.Header(), status: http.StatusOK}
			next.ServeHTTP(&kept, r.WithContext(ctx))
			return record.Answer{Status: kept.status, ContentType: kept.header.Get("Content-Type"), Body: kept.body.Bytes()}
		})
		s.writeAnswer(w, r, answer, known, err)
	})
}

func (s *Server) writeAnswer(w http.ResponseWriter, r *http.Request, a record.Answer, known bool, err error) {
	var refused *problem.Error
	switch {
	case errors.As(err, &refused):
		if errors.Is(refused, problem.New(problem.IdempotencyKeyInUse)) {
			w.Header().Set("Retry-After", "1")
		}
		problem.Write(w, r, refused)
		return
	case err != nil:
		s.log.Error("answer once", "error", err)
		problem.Write(w, r, problem.New(problem.Unavailable))
		return
	}
	if known {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	if a.ContentType != "" {
		w.Header().Set("Content-Type", a.ContentType)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// keptAnswer takes an answer in.
type keptAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *keptAnswer) Header() http.Header         { return k.header }
func (k *keptAnswer) WriteHeader(status int)      { k.status = status }
func (k *keptAnswer) Write(b []byte) (int, error) { return k.body.Write(b) }

// compact takes the white space out of JSON.
func compact(raw []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return raw
	}
	return out.Bytes()
}

// hashOf identifies a request's content for the detection of repetitions.
func hashOf(raw []byte) []byte {
	sum := sha256.Sum256(compact(raw))
	return sum[:]
}

// Tidy removes what has become too old, until ctx ends. Audit records are kept for the given time.
func (s *Server) Tidy(ctx context.Context, keepAudit time.Duration) error {
	ticker := time.NewTicker(tidyInterval)
	defer ticker.Stop()
	for {
		if _, err := s.store.ForgetAnswers(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("remove old answers", "error", err)
		}
		if _, err := s.store.ForgetAudit(ctx, time.Now().Add(-keepAudit)); err != nil && ctx.Err() == nil {
			s.log.Warn("remove old audit records", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
