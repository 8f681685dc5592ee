package iam

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

type callerKey struct{}

// tellCallers lets handlers say whom a sign-in or a token is about: to the gateway, which records its calls, in a header; else for a record of
// our own. Others are not told, as that would say who has an account.
func (s *Service) tellCallers(next http.Handler) http.Handler {
	direct := s.recorded(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.isGateway(r):
			tell := func(c audit.Caller) { w.Header().Set(audit.CallerHeader, c.Encode()) }
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, tell)))
		case r.Method == http.MethodPost:
			direct.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Service) isGateway(r *http.Request) bool {
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		return false
	}
	id, err := s.Authenticate(r.Context(), key)
	return err == nil && id.Platform
}

// about says whom the request is about, if that is asked for. It is not worth failing for.
func about(ctx context.Context, find func() (audit.Caller, error)) {
	tell, asked := ctx.Value(callerKey{}).(func(audit.Caller))
	if !asked {
		return
	}
	caller, err := find()
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		slog.WarnContext(ctx, "find whom a sign-in is about", "request_id", httpapi.RequestID(ctx), "error", err.Error())
	}
	if err == nil {
		tell(caller)
	}
}

// aboutPerson takes an id or an e-mail. Without an organization it is the only one that the person belongs to, if there is one.
func (s *Service) aboutPerson(ctx context.Context, person, tenantID string) {
	about(ctx, func() (audit.Caller, error) {
		c := audit.Caller{TenantID: tenantID, SubjectType: "user"}
		var only string
		err := s.db.QueryRowContext(ctx, `SELECT id, email, coalesce((SELECT min(tenant_id) FROM iam_members WHERE user_id = u.id HAVING count(*) = 1), '')
			FROM iam_users u WHERE id = ?1 OR email = ?1`, person).Scan(&c.Subject, &c.SubjectName, &only)
		if tenantID == "" {
			c.TenantID = only
		}
		return c, err
	})
}

// aboutKey is about the service account that an API key belongs to.
func (s *Service) aboutKey(ctx context.Context, id string) {
	about(ctx, func() (audit.Caller, error) {
		c := audit.Caller{KeyID: id}
		err := s.db.QueryRowContext(ctx, `SELECT tenant_id, subject_type, subject FROM iam_api_keys WHERE id = ?`, id).Scan(&c.TenantID, &c.SubjectType, &c.Subject)
		if err == nil {
			c.SubjectName, err = s.subjectName(ctx, c.Subject)
		}
		return c, err
	})
}

// aboutToken is about whom an access token stands for.
func (s *Service) aboutToken(ctx context.Context, id string) {
	about(ctx, func() (audit.Caller, error) {
		t, err := s.token(ctx, id)
		if err != nil {
			return audit.Caller{}, sql.ErrNoRows // nobody's, or not any more
		}
		name, err := s.subjectName(ctx, t.subject)
		return audit.Caller{TenantID: t.tenantID, SubjectType: t.subjectType, Subject: t.subject, SubjectName: name, KeyID: t.keyID}, err
	})
}

// subjectName is what people call a user, a service account, or an organization whose own key it is.
func (s *Service) subjectName(ctx context.Context, subject string) (name string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT coalesce((SELECT email FROM iam_users WHERE id = ?1), (SELECT name FROM iam_service_accounts WHERE id = ?1),
		(SELECT legal_name FROM iam_tenants WHERE id = ?1), '')`, subject).Scan(&name)
	return name, err
}
