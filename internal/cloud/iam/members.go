package iam

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/mail"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type memberView struct {
	UUID     string `json:"uuid"`
	Email    string `json:"email"`
	Name     string `json:"name"`
	TenantID string `json:"tenant_id"`
	Profile  string `json:"profile"` // owner | member
}

// addedMemberView tells also what became of the invitation.
type addedMemberView struct {
	UUID     string `json:"uuid"`
	Email    string `json:"email"`
	Name     string `json:"name"`
	TenantID string `json:"tenant_id"`
	Profile  string `json:"profile"`
	Action   string `json:"action"`
}

const selectMember = `SELECT u.id, u.email, u.name, m.tenant_id, m.profile FROM iam_members m JOIN iam_users u ON u.id = m.user_id `

func scanMember(row store.Scanner) (memberView, error) {
	var m memberView
	err := row.Scan(&m.UUID, &m.Email, &m.Name, &m.TenantID, &m.Profile)
	if errors.Is(err, sql.ErrNoRows) {
		return m, httpapi.NotFound("member")
	}
	return m, err
}

func (s *Service) member(ctx context.Context, q store.Queryer, id string) (memberView, error) {
	return scanMember(q.QueryRowContext(ctx, selectMember+`WHERE m.tenant_id = ? AND m.user_id = ?`, httpapi.TenantID(ctx), id))
}

// listMembers is also the list of users: in an organization both are the same.
func (s *Service) listMembers(r *http.Request) ([]memberView, error) {
	members, err := list(r.Context(), s.db, scanMember, selectMember+`WHERE m.tenant_id = ?1 AND (?2 = '' OR u.email = ?2) ORDER BY u.email`,
		httpapi.TenantID(r.Context()), httpapi.TextParam(r, "email", "only the one with this address"))
	if err != nil {
		return nil, err
	}
	return members, nil
}

// addMember makes a person a member at once: the local cloud sends no mail, so nobody could accept an invitation. Whoever is
// not known yet becomes a user without a password.
func (s *Service) addMember(r *http.Request) (*addedMemberView, error) {
	var body struct {
		Email       string   `json:"email"`
		Roles       []string `json:"roles"`
		Permissions []string `json:"permissions"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkEmail("email", body.Email); err != nil {
		return nil, err
	}
	ctx, tenant := r.Context(), httpapi.TenantID(r.Context())
	if len(body.Roles)+len(body.Permissions) > 0 && !httpapi.IdentityOf(ctx).Can(permissionToGrant) {
		return nil, httpapi.Forbidden("to give roles or permissions you need the permission %s", permissionToGrant)
	}
	var member memberView
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := s.knownTenant(ctx, tx); err != nil {
			return err
		}
		userID, err := s.ensureUser(ctx, tx, body.Email)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO iam_members (tenant_id, user_id, profile, created_at) VALUES (?, ?, 'member', ?)
			ON CONFLICT DO NOTHING`, tenant, userID, store.Format(s.now()))
		if err != nil {
			return err
		}
		if added, err := result.RowsAffected(); err != nil {
			return err
		} else if added == 0 {
			return httpapi.Conflict("%s is a member already", body.Email)
		}
		if err := s.edit(ctx, tx, userID, "add", body.Roles, body.Permissions); err != nil {
			return err
		}
		member, err = s.member(ctx, tx, userID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &addedMemberView{UUID: member.UUID, Email: member.Email, Name: member.Name, TenantID: member.TenantID, Profile: member.Profile, Action: "added"}, nil
}

func checkEmail(field, email string) error {
	if address, err := mail.ParseAddress(email); err != nil || address.Address != email || len(email) > 254 {
		return httpapi.Invalid("%s: value is not a valid email address", field)
	}
	return nil
}

// ensureUser returns the id of the person with the address; their name is what is before the @ until they say another.
func (s *Service) ensureUser(ctx context.Context, tx *sql.Tx, email string) (string, error) {
	name, _, _ := strings.Cut(email, "@")
	if _, err := tx.ExecContext(ctx, `INSERT INTO iam_users (id, email, name, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (email) DO NOTHING`,
		uuid.NewString(), email, name, store.Format(s.now())); err != nil {
		return "", err
	}
	return store.Text(tx.QueryRowContext(ctx, `SELECT id FROM iam_users WHERE email = ?`, email))
}

// removeMember takes from a person everything they have in the organization.
func (s *Service) removeMember(r *http.Request) error {
	ctx, tenant := r.Context(), httpapi.TenantID(r.Context())
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		member, err := s.member(ctx, tx, chi.URLParam(r, "uuid"))
		if err != nil {
			return err
		}
		if member.Profile == "owner" {
			return httpapi.Conflict("%s owns the organization and cannot be removed", member.Email)
		}
		for _, statement := range []string{
			`DELETE FROM iam_grants WHERE tenant_id = ? AND subject = ?`,
			`DELETE FROM iam_group_members WHERE group_id IN (SELECT id FROM iam_groups WHERE tenant_id = ?) AND user_id = ?`,
			`DELETE FROM iam_api_keys WHERE tenant_id = ? AND subject_type = 'user' AND subject = ?`,
			`DELETE FROM iam_members WHERE tenant_id = ? AND user_id = ?`,
		} {
			if _, err := tx.ExecContext(ctx, statement, tenant, member.UUID); err != nil {
				return err
			}
		}
		return nil
	})
}

type organizationView struct {
	UUID      string `json:"uuid"`
	LegalName string `json:"legal_name"`
	Email     string `json:"email"` // of its first owner
}

type organizationList struct {
	Items []organizationView `json:"items"`
}

const selectOrganization = `SELECT t.id, t.legal_name, coalesce((SELECT u.email FROM iam_members o JOIN iam_users u ON u.id = o.user_id
	WHERE o.tenant_id = t.id AND o.profile = 'owner' ORDER BY o.created_at LIMIT 1), '') FROM iam_tenants t `

func scanOrganization(row store.Scanner) (organizationView, error) {
	var o organizationView
	err := row.Scan(&o.UUID, &o.LegalName, &o.Email)
	return o, err
}

// listOwnOrganizations are those that who asks belongs to.
func (s *Service) listOwnOrganizations(r *http.Request) (*organizationList, error) {
	id := httpapi.IdentityOf(r.Context())
	return s.answerOrganizations(r, `WHERE t.id = ?1 OR t.id IN (SELECT tenant_id FROM iam_members WHERE user_id = ?2)`, id.TenantID, id.Subject)
}

// listMemberOrganizations tells of a member only what this organization knows: that they belong to it.
func (s *Service) listMemberOrganizations(r *http.Request) (*organizationList, error) {
	member, err := s.member(r.Context(), s.db, chi.URLParam(r, "member_id"))
	if err != nil {
		return nil, err
	}
	return s.answerOrganizations(r, `WHERE t.id = ?`, member.TenantID)
}

func (s *Service) answerOrganizations(r *http.Request, where string, args ...any) (*organizationList, error) {
	organizations, err := list(r.Context(), s.db, scanOrganization, selectOrganization+where+` ORDER BY t.legal_name`, args...)
	return &organizationList{organizations}, err
}
