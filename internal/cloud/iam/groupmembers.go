package iam

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type groupMemberView struct {
	GroupID  string `json:"group_id"`
	MemberID string `json:"member_id"`
	Profile  string `json:"profile"`
	Email    string `json:"email"`
	Name     string `json:"name"`
}

const selectGroupMember = `SELECT m.group_id, m.user_id, m.profile, u.email, u.name FROM iam_group_members m JOIN iam_users u ON u.id = m.user_id `

func scanGroupMember(row store.Scanner) (groupMemberView, error) {
	var m groupMemberView
	err := row.Scan(&m.GroupID, &m.MemberID, &m.Profile, &m.Email, &m.Name)
	if errors.Is(err, sql.ErrNoRows) {
		return m, httpapi.NotFound("member of the group")
	}
	return m, err
}

func (s *Service) groupMember(ctx context.Context, q store.Queryer, groupID, userID string) (groupMemberView, error) {
	return scanGroupMember(q.QueryRowContext(ctx, selectGroupMember+`JOIN iam_groups g ON g.id = m.group_id
		WHERE g.tenant_id = ? AND m.group_id = ? AND m.user_id = ?`, httpapi.TenantID(ctx), groupID, userID))
}

type groupMemberList struct {
	Items []groupMemberView `json:"items"`
	Meta  groupMembersMeta  `json:"meta"`
}

type groupMembersMeta struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	TotalPages int `json:"total_pages"`
	TotalItems int `json:"total_items"`
}

func (s *Service) listGroupMembers(r *http.Request) (*groupMemberList, error) {
	page, err := httpapi.ParseNumberedPage(r, "page", "per_page", 20, 20)
	if err != nil {
		return nil, err
	}
	group, err := s.group(r.Context(), s.db, chi.URLParam(r, "group_id"))
	if err != nil {
		return nil, err
	}
	members, err := list(r.Context(), s.db, scanGroupMember, selectGroupMember+`WHERE m.group_id = ? ORDER BY u.email LIMIT ? OFFSET ?`,
		group.ID, page.Limit, page.Offset)
	if err != nil {
		return nil, err
	}
	var total int
	if err := s.db.QueryRowContext(r.Context(), `SELECT count(*) FROM iam_group_members WHERE group_id = ?`, group.ID).Scan(&total); err != nil {
		return nil, err
	}
	return &groupMemberList{members, groupMembersMeta{Page: page.Offset/page.Limit + 1, PerPage: page.Limit,
		TotalPages: (total + page.Limit - 1) / page.Limit, TotalItems: total}}, nil
}

// Profiles of a person in a group; they tell people who looks after it and decide nothing.
var groupProfiles = []string{"member", "admin", "viewer"}

func checkGroupProfile(profile string) error {
	if !slices.Contains(groupProfiles, profile) {
		return httpapi.Invalid("profile: Input should be 'member', 'admin' or 'viewer'")
	}
	return nil
}

func (s *Service) addGroupMember(r *http.Request) (*groupMemberView, error) {
	var body struct {
		Email   string `json:"member_email"`
		Profile string `json:"profile"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkEmail("member_email", body.Email); err != nil {
		return nil, err
	}
	if err := checkGroupProfile(body.Profile); err != nil {
		return nil, err
	}
	ctx := r.Context()
	var added groupMemberView
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		group, err := s.group(ctx, tx, chi.URLParam(r, "group_id"))
		if err != nil {
			return err
		}
		member, err := scanMember(tx.QueryRowContext(ctx, selectMember+`WHERE m.tenant_id = ? AND u.email = ?`, httpapi.TenantID(ctx), body.Email))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO iam_group_members (group_id, user_id, profile, created_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (group_id, user_id) DO UPDATE SET profile = excluded.profile`, group.ID, member.UUID, body.Profile, store.Format(s.now())); err != nil {
			return err
		}
		added, err = s.groupMember(ctx, tx, group.ID, member.UUID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &added, nil
}

func (s *Service) editGroupMember(r *http.Request) (*groupMemberView, error) {
	var body struct {
		Profile string `json:"profile"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkGroupProfile(body.Profile); err != nil {
		return nil, err
	}
	member, err := s.groupMember(r.Context(), s.db, chi.URLParam(r, "group_id"), chi.URLParam(r, "member_id"))
	if err != nil {
		return nil, err
	}
	if _, err := s.db.Exec(r.Context(), `UPDATE iam_group_members SET profile = ? WHERE group_id = ? AND user_id = ?`,
		body.Profile, member.GroupID, member.MemberID); err != nil {
		return nil, err
	}
	member.Profile = body.Profile
	return &member, nil
}

func (s *Service) removeGroupMember(r *http.Request) error {
	member, err := s.groupMember(r.Context(), s.db, chi.URLParam(r, "group_id"), chi.URLParam(r, "member_id"))
	if err != nil {
		return err
	}
	if _, err := s.db.Exec(r.Context(), `DELETE FROM iam_group_members WHERE group_id = ? AND user_id = ?`, member.GroupID, member.MemberID); err != nil {
		return err
	}
	return nil
}
