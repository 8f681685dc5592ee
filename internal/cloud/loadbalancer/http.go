package loadbalancer

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// Register adds the product's routes. Writes are answered when they are
// recorded; the load balancer is `running` again when they are in force.
func (s *Service) Register(r chi.Router) {
	r.Route("/v0beta1/network-load-balancers", func(r chi.Router) {
		handle := func(method, path string, fn func(http.ResponseWriter, *http.Request) error) {
			r.Method(method, path, httpapi.Handler(httpapi.SlugMessage, fn))
		}
		handle("POST", "/", s.postLB)
		handle("GET", "/", s.listLBs)
		handle("GET", "/{lb}", s.getLB)
		handle("PUT", "/{lb}", s.putLB)
		handle("DELETE", "/{lb}", s.deleteLB)

		handle("POST", "/{lb}/listeners", s.postListener)
		handle("GET", "/{lb}/listeners", s.listListeners)
		handle("GET", "/{lb}/listeners/{listener}", s.getListener)
		handle("PUT", "/{lb}/listeners/{listener}", s.putListener)
		handle("DELETE", "/{lb}/listeners/{listener}", s.deleteListener)

		handle("POST", "/{lb}/backends", s.postBackend)
		handle("GET", "/{lb}/backends", s.listBackends)
		handle("GET", "/{lb}/backends/{backend}", s.getBackend)
		handle("PUT", "/{lb}/backends/{backend}", s.putBackend)
		handle("DELETE", "/{lb}/backends/{backend}", s.deleteBackend)
		handle("POST", "/{lb}/backends/{backend}/targets", s.postTargets)
		handle("PUT", "/{lb}/backends/{backend}/targets", s.putTargets)
		handle("DELETE", "/{lb}/backends/{backend}/targets/{target}", s.deleteTarget)

		handle("POST", "/{lb}/health-checks", s.postHealthCheck)
		handle("GET", "/{lb}/health-checks", s.listHealthChecks)
		handle("GET", "/{lb}/health-checks/{check}", s.getHealthCheck)
		handle("PUT", "/{lb}/health-checks/{check}", s.putHealthCheck)
		handle("DELETE", "/{lb}/health-checks/{check}", s.deleteHealthCheck)

		handle("POST", "/{lb}/acls", s.postACL)
		handle("PUT", "/{lb}/acls", s.putACLs)
		handle("DELETE", "/{lb}/acls/{acl}", s.deleteACL)

		handle("POST", "/{lb}/tls-certificates", s.postCertificate)
		handle("GET", "/{lb}/tls-certificates", s.listCertificates)
		handle("GET", "/{lb}/tls-certificates/{certificate}", s.getCertificate)
		handle("PUT", "/{lb}/tls-certificates/{certificate}", s.putCertificate)
		handle("DELETE", "/{lb}/tls-certificates/{certificate}", s.deleteCertificate)
	})
}

func tenant(r *http.Request) string             { return httpapi.TenantID(r.Context()) }
func param(r *http.Request, name string) string { return strings.ToLower(chi.URLParam(r, name)) }

func ok(w http.ResponseWriter, id string) error {
	httpapi.JSON(w, http.StatusOK, object{"id": id})
	return nil
}

// done answers 200, for which no body is published; {} is what all clients can read.
func done(w http.ResponseWriter, err error) error {
	if err == nil {
		httpapi.JSON(w, http.StatusOK, object{})
	}
	return err
}

func (s *Service) postLB(w http.ResponseWriter, r *http.Request) error {
	var body createBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	lb, err := body.loadBalancer(tenant(r))
	if err != nil {
		return err
	}
	if err := s.create(r.Context(), lb, body.PublicIPID); err != nil {
		return err
	}
	return ok(w, lb.ID)
}

const newestFirst = "created_at:desc"

// orders are the columns by which load balancers can be sorted.
var orders = map[string]string{"id": "id", "created_at": "created_at", "updated_at": "updated_at", "name": "name", "status": "status"}

func (s *Service) listLBs(w http.ResponseWriter, r *http.Request) error {
	by, err := httpapi.ParseSort(r, newestFirst, orders)
	if err != nil {
		return err
	}
	lbs, err := where(r.Context(), s.db, `tenant_id = ? ORDER BY `+by+`, id`, tenant(r))
	if err != nil {
		return err
	}
	return answerPage(w, r, lbs, lbView)
}

// answerParts is answerPage for parts of a load balancer.
func answerParts[T interface{ meta() Meta }](w http.ResponseWriter, r *http.Request, parts []T, view func(T) object) error {
	by := func(key func(Meta) string) func(a, b T) int {
		return httpapi.By(func(t T) string { return key(t.meta()) })
	}
	parts, err := httpapi.Sort(r, "_sort", newestFirst, parts, httpapi.Order[T]{
		"id":         by(func(m Meta) string { return m.ID }),
		"name":       by(func(m Meta) string { return m.Name }),
		"created_at": by(func(m Meta) string { return m.CreatedAt }),
		"updated_at": by(func(m Meta) string { return m.UpdatedAt }),
	})
	if err != nil {
		return err
	}
	return answerPage(w, r, parts, view)
}

func answerPage[T any](w http.ResponseWriter, r *http.Request, items []T, view func(T) object) error {
	page, err := httpapi.ParsePage(r, 10, 1000)
	if err != nil {
		return err
	}
	results := list(httpapi.Slice(items, page), view)
	httpapi.JSON(w, http.StatusOK, object{"results": results, "meta": object{
		"links": httpapi.PageLinks(r, page, len(items)),
		"page":  object{"count": len(results), "limit": page.Limit, "offset": page.Offset, "total": len(items)},
	}})
	return nil
}

func (s *Service) getLB(w http.ResponseWriter, r *http.Request) error {
	lb, err := tenantLB(r.Context(), s.db, tenant(r), param(r, "lb"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, lbView(lb))
	return nil
}

func (s *Service) putLB(w http.ResponseWriter, r *http.Request) error {
	var body struct{ Name, Description *string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	err := s.change(r.Context(), tenant(r), param(r, "lb"), func(q store.Queryer, lb *LoadBalancer) error {
		if body.Name != nil && *body.Name != lb.Name {
			if err := checkText("name", *body.Name, 1, 64); err != nil {
				return err
			}
			others, err := where(r.Context(), q, `tenant_id = ? AND name = ?`, lb.TenantID, *body.Name)
			if err != nil {
				return err
			}
			if len(others) > 0 {
				return httpapi.Conflict("a load balancer named %q already exists", *body.Name)
			}
			lb.Name = *body.Name
		}
		if body.Description != nil {
			lb.Document.Description = *body.Description
		}
		return checkText("description", lb.Document.Description, 0, 128)
	})
	if err != nil {
		return err
	}
	return ok(w, param(r, "lb"))
}

func (s *Service) deleteLB(w http.ResponseWriter, r *http.Request) error {
	remove, err := httpapi.BoolParam(r, "delete_public_ip", false)
	if err != nil {
		return err
	}
	return done(w, s.delete(r.Context(), tenant(r), param(r, "lb"), remove))
}
