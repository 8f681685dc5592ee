package iam

import (
	"errors"
	"net/http"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// Register adds the published routes, relative to the product /iam.
func (s *Service) Register(r chi.Router) {
	handle := func(fn func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
		return httpapi.Handler(httpapi.SlugMessage, fn)
	}
	scopes := httpapi.RequireScopes("iam:read", "iam:write", httpapi.SlugMessage)
	r.Route("/api/v1/service-accounts", func(r chi.Router) {
		r.Use(scopes)
		r.Get("/", handle(s.listAccounts))
		r.Post("/", handle(s.createAccount))
		r.Patch("/{sa_uuid}", handle(s.editAccount))
		r.Delete("/{sa_uuid}", handle(s.deleteAccount))
		r.Get("/{sa_uuid}/api-keys", handle(s.listKeys))
		r.Post("/{sa_uuid}/api-keys", handle(s.createKey))
		r.Patch("/{sa_uuid}/api-keys/{apikey_uuid}", handle(s.editKey))
		r.Delete("/{sa_uuid}/api-keys/{apikey_uuid}", handle(s.revokeKey))
	})
	r.With(scopes).Get("/api/v1/scopes", func(w http.ResponseWriter, _ *http.Request) {
		httpapi.JSON(w, http.StatusOK, scopeGroups())
	})
	r.Post("/internal/v1/introspect", handle(s.introspect))
}

type introspection struct {
	Active      bool     `json:"active"`
	TenantID    string   `json:"tenant_id,omitempty"`
	Subject     string   `json:"subject,omitempty"`
	SubjectType string   `json:"subject_type,omitempty"`
	Scopes      []string `json:"scopes,omitempty"`
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
		httpapi.JSON(w, http.StatusOK, introspection{Active: true, TenantID: id.TenantID, Subject: id.Subject, SubjectType: id.SubjectType, Scopes: id.Scopes})
	}
	return nil
}
