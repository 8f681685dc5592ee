package iam

import (
	"errors"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

// Register adds the published routes, relative to the product /iam.
func (s *Service) Register(r chi.Router) {
	for route, fn := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v1/healthcheck": s.healthcheck,

		"GET /api/v1/members":                           s.listMembers,
		"POST /api/v1/members":                          s.addMember,
		"GET /api/v1/members/organizations":             s.listOwnOrganizations,
		"GET /api/v1/members/{member_id}/organizations": s.listMemberOrganizations,
		"DELETE /api/v1/members/{uuid}":                 s.removeMember,
		"GET /api/v1/members/{uuid}/grants":             s.getGrants,
		"PATCH /api/v1/members/{uuid}/grants":           s.editGrants,
		"PATCH /api/v1/members/grants/batch":            s.editGrantsOfMany,
		"GET /api/v1/users":                             s.listMembers,

		"GET /api/v1/roles":                           s.listRoles,
		"POST /api/v1/roles":                          s.createRole,
		"DELETE /api/v1/roles/{role_name}":            s.deleteRole,
		"GET /api/v1/roles/{role_name}/permissions":   s.getRolePermissions,
		"PATCH /api/v1/roles/{role_name}/permissions": s.editRolePermissions,
		"GET /api/v1/roles/{role_name}/members":       s.listRoleMembers,
		"GET /api/v1/permissions":                     s.listPermissions,
		"GET /api/v1/access-control":                  s.getAccessControl,
		"POST /api/v1/access-control":                 s.createAccessControl,
		"PATCH /api/v1/access-control":                s.editAccessControl,

		"GET /api/v1/groups":                                   s.listGroups,
		"POST /api/v1/groups":                                  s.createGroup,
		"GET /api/v1/groups/exists":                            s.groupExists,
		"GET /api/v1/groups/{group_id}":                        s.getGroup,
		"PATCH /api/v1/groups/{group_id}":                      s.editGroup,
		"DELETE /api/v1/groups/{group_id}":                     s.deleteGroup,
		"GET /api/v1/groups/{group_id}/organizations":          s.listGroupOrganizations,
		"GET /api/v1/groups/{group_id}/members":                s.listGroupMembers,
		"POST /api/v1/groups/{group_id}/members":               s.addGroupMember,
		"PATCH /api/v1/groups/{group_id}/members/{member_id}":  s.editGroupMember,
		"DELETE /api/v1/groups/{group_id}/members/{member_id}": s.removeGroupMember,

		"GET /api/v1/service-accounts":                                     s.listAccounts,
		"POST /api/v1/service-accounts":                                    s.createAccount,
		"PATCH /api/v1/service-accounts/{sa_uuid}":                         s.editAccount,
		"DELETE /api/v1/service-accounts/{sa_uuid}":                        s.deleteAccount,
		"GET /api/v1/service-accounts/{sa_uuid}/api-keys":                  s.listKeys,
		"POST /api/v1/service-accounts/{sa_uuid}/api-keys":                 s.createKey,
		"PATCH /api/v1/service-accounts/{sa_uuid}/api-keys/{apikey_uuid}":  s.editKey,
		"DELETE /api/v1/service-accounts/{sa_uuid}/api-keys/{apikey_uuid}": s.revokeKey,
		"GET /api/v1/scopes":                                               s.listScopes,

		"POST /internal/v1/introspect": s.introspect,
		"GET " + audit.Path:            s.listRecords,
		"DELETE " + audit.Path:         s.forgetRecords,
	} {
		method, path, _ := strings.Cut(route, " ")
		r.Method(method, path, httpapi.Handler(httpapi.SlugMessageOrigin, fn))
	}
	httpapi.RegisterUnavailable(r, httpapi.SlugMessageOrigin, unavailable)
}

// healthcheck says that IAM can answer: it reads its database.
func (s *Service) healthcheck(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.TenantExists(r.Context(), httpapi.TenantID(r.Context())); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

func (s *Service) listScopes(w http.ResponseWriter, _ *http.Request) error {
	httpapi.JSON(w, http.StatusOK, scopeGroups())
	return nil
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
func (s *Service) introspect(w http.ResponseWriter, r *http.Request) error {
	if !httpapi.IdentityOf(r.Context()).Platform {
		return httpapi.NotFound("page")
	}
	var body struct {
		APIKey string `json:"api_key"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	id, err := s.Authenticate(r.Context(), body.APIKey)
	switch {
	case errors.Is(err, httpapi.ErrUnknownKey):
		httpapi.JSON(w, http.StatusOK, introspection{})
	case err != nil:
		return err
	default:
		name, err := s.subjectName(r.Context(), id.Subject)
		if err != nil {
			return err
		}
		httpapi.JSON(w, http.StatusOK, introspection{Active: true, TenantID: id.TenantID, Subject: id.Subject, SubjectType: id.SubjectType, Name: name, KeyID: id.KeyID,
			Scopes: id.Scopes, Permissions: id.Permissions})
	}
	return nil
}
