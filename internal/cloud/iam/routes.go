package iam

import (
	"errors"
	"net/http"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

// Register adds the published routes, relative to the product /iam.
func (s *Service) Register(r chi.Router) {
	routes := httpapi.Routes{Router: r, Shape: httpapi.SlugMessageOrigin}
	change := func(method, path string, fn func(*http.Request) error) {
		httpapi.HandleEmpty(routes, method, path, http.StatusNoContent, fn)
	}
	httpapi.Get(routes, "/api/v1/healthcheck", s.healthcheck)

	httpapi.Get(routes, "/api/v1/members", s.listMembers)
	httpapi.Handle(routes, "POST", "/api/v1/members", http.StatusOK, s.addMember)
	httpapi.Get(routes, "/api/v1/members/organizations", s.listOwnOrganizations)
	httpapi.Get(routes, "/api/v1/members/{member_id}/organizations", s.listMemberOrganizations)
	change("DELETE", "/api/v1/members/{uuid}", s.removeMember)
	httpapi.Get(routes, "/api/v1/members/{uuid}/grants", s.getGrants)
	change("PATCH", "/api/v1/members/{uuid}/grants", s.editGrants)
	change("PATCH", "/api/v1/members/grants/batch", s.editGrantsOfMany)
	httpapi.Get(routes, "/api/v1/users", s.listMembers)

	httpapi.Get(routes, "/api/v1/roles", s.listRoles)
	httpapi.Handle(routes, "POST", "/api/v1/roles", http.StatusCreated, s.createRole)
	change("DELETE", "/api/v1/roles/{role_name}", s.deleteRole)
	httpapi.Get(routes, "/api/v1/roles/{role_name}/permissions", s.getRolePermissions)
	httpapi.Handle(routes, "PATCH", "/api/v1/roles/{role_name}/permissions", http.StatusOK, s.editRolePermissions)
	httpapi.Get(routes, "/api/v1/roles/{role_name}/members", s.listRoleMembers)
	httpapi.Get(routes, "/api/v1/permissions", s.listPermissions)
	httpapi.Get(routes, "/api/v1/access-control", s.getAccessControl)
	httpapi.Handle(routes, "POST", "/api/v1/access-control", http.StatusAccepted, s.createAccessControl)
	httpapi.Handle(routes, "PATCH", "/api/v1/access-control", http.StatusOK, s.editAccessControl)

	httpapi.Get(routes, "/api/v1/groups", s.listGroups)
	httpapi.Handle(routes, "POST", "/api/v1/groups", http.StatusCreated, s.createGroup)
	httpapi.Get(routes, "/api/v1/groups/exists", s.groupExists)
	httpapi.Get(routes, "/api/v1/groups/{group_id}", s.getGroup)
	httpapi.Handle(routes, "PATCH", "/api/v1/groups/{group_id}", http.StatusOK, s.editGroup)
	change("DELETE", "/api/v1/groups/{group_id}", s.deleteGroup)
	httpapi.Get(routes, "/api/v1/groups/{group_id}/organizations", s.listGroupOrganizations)
	httpapi.Get(routes, "/api/v1/groups/{group_id}/members", s.listGroupMembers)
	httpapi.Handle(routes, "POST", "/api/v1/groups/{group_id}/members", http.StatusCreated, s.addGroupMember)
	httpapi.Handle(routes, "PATCH", "/api/v1/groups/{group_id}/members/{member_id}", http.StatusOK, s.editGroupMember)
	change("DELETE", "/api/v1/groups/{group_id}/members/{member_id}", s.removeGroupMember)

	httpapi.Get(routes, "/api/v1/service-accounts", s.listAccounts)
	httpapi.Handle(routes, "POST", "/api/v1/service-accounts", http.StatusCreated, s.createAccount)
	httpapi.Handle(routes, "PATCH", "/api/v1/service-accounts/{sa_uuid}", http.StatusOK, s.editAccount)
	change("DELETE", "/api/v1/service-accounts/{sa_uuid}", s.deleteAccount)
	httpapi.Get(routes, "/api/v1/service-accounts/{sa_uuid}/api-keys", s.listKeys)
	httpapi.Handle(routes, "POST", "/api/v1/service-accounts/{sa_uuid}/api-keys", http.StatusCreated, s.createKey)
	httpapi.Handle(routes, "PATCH", "/api/v1/service-accounts/{sa_uuid}/api-keys/{apikey_uuid}", http.StatusOK, s.editKey)
	change("DELETE", "/api/v1/service-accounts/{sa_uuid}/api-keys/{apikey_uuid}", s.revokeKey)
	httpapi.Get(routes, "/api/v1/scopes", s.listScopes)

	httpapi.Handle(routes, "POST", "/internal/v1/introspect", http.StatusOK, s.introspect)
	httpapi.Get(routes, audit.Path, s.listRecords)
	change("DELETE", audit.Path, s.forgetRecords)
	httpapi.RegisterUnavailable(routes, unavailable)
}

type health struct {
	Status string `json:"status"`
}

// healthcheck says that IAM can answer: it reads its database.
func (s *Service) healthcheck(r *http.Request) (*health, error) {
	if _, err := s.TenantExists(r.Context(), httpapi.TenantID(r.Context())); err != nil {
		return nil, err
	}
	return &health{"ok"}, nil
}

func (s *Service) listScopes(*http.Request) ([]scopeGroupView, error) {
	return scopeGroups(), nil
}

type introspection struct {
	Active      bool     `json:"active"`
	TenantID    string   `json:"tenant_id,omitempty"`
	Subject     string   `json:"subject,omitempty"`
	SubjectType string   `json:"subject_type,omitempty"`
	Name        string   `json:"name,omitempty"`
	KeyID       string   `json:"key_id,omitempty"`
	Scopes      []string `json:"scopes,omitempty"`
	Permissions []string `json:"permissions,omitempty"`
}

// introspect tells the platform whose a key is. To everybody else the path does not exist.
func (s *Service) introspect(r *http.Request) (introspection, error) {
	if !httpapi.IdentityOf(r.Context()).Platform {
		return introspection{}, httpapi.NotFound("page")
	}
	var body struct {
		APIKey string `json:"api_key"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return introspection{}, err
	}
	id, err := s.Authenticate(r.Context(), body.APIKey)
	switch {
	case errors.Is(err, httpapi.ErrUnknownKey):
		return introspection{}, nil
	case err != nil:
		return introspection{}, err
	default:
		name, err := s.subjectName(r.Context(), id.Subject)
		if err != nil {
			return introspection{}, err
		}
		return introspection{Active: true, TenantID: id.TenantID, Subject: id.Subject, SubjectType: id.SubjectType, Name: name, KeyID: id.KeyID,
			Scopes: id.Scopes, Permissions: id.Permissions}, nil
	}
}
