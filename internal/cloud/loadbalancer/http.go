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
		routes := httpapi.Routes{Router: r, Shape: httpapi.SlugMessage}
		httpapi.Handle(routes, "POST", "/", http.StatusOK, s.postLB)
		httpapi.Get(routes, "/", s.listLBs)
		httpapi.Get(routes, "/{lb}", s.getLB)
		httpapi.Handle(routes, "PUT", "/{lb}", http.StatusOK, s.putLB)
		httpapi.Handle(routes, "DELETE", "/{lb}", http.StatusOK, s.deleteLB)

		httpapi.Handle(routes, "POST", "/{lb}/listeners", http.StatusOK, s.postListener)
		httpapi.Get(routes, "/{lb}/listeners", s.listListeners)
		httpapi.Get(routes, "/{lb}/listeners/{listener}", s.getListener)
		httpapi.Handle(routes, "PUT", "/{lb}/listeners/{listener}", http.StatusOK, s.putListener)
		httpapi.Handle(routes, "DELETE", "/{lb}/listeners/{listener}", http.StatusOK, s.deleteListener)

		httpapi.Handle(routes, "POST", "/{lb}/backends", http.StatusOK, s.postBackend)
		httpapi.Get(routes, "/{lb}/backends", s.listBackends)
		httpapi.Get(routes, "/{lb}/backends/{backend}", s.getBackend)
		httpapi.Handle(routes, "PUT", "/{lb}/backends/{backend}", http.StatusOK, s.putBackend)
		httpapi.Handle(routes, "DELETE", "/{lb}/backends/{backend}", http.StatusOK, s.deleteBackend)
		httpapi.Handle(routes, "POST", "/{lb}/backends/{backend}/targets", http.StatusOK, s.postTargets)
		httpapi.Handle(routes, "PUT", "/{lb}/backends/{backend}/targets", http.StatusOK, s.putTargets)
		httpapi.Handle(routes, "DELETE", "/{lb}/backends/{backend}/targets/{target}", http.StatusOK, s.deleteTarget)

		httpapi.Handle(routes, "POST", "/{lb}/health-checks", http.StatusOK, s.postHealthCheck)
		httpapi.Get(routes, "/{lb}/health-checks", s.listHealthChecks)
		httpapi.Get(routes, "/{lb}/health-checks/{check}", s.getHealthCheck)
		httpapi.Handle(routes, "PUT", "/{lb}/health-checks/{check}", http.StatusOK, s.putHealthCheck)
		httpapi.HandleEmpty(routes, "DELETE", "/{lb}/health-checks/{check}", http.StatusNoContent, s.deleteHealthCheck)

		httpapi.Handle(routes, "POST", "/{lb}/acls", http.StatusOK, s.postACL)
		httpapi.Handle(routes, "PUT", "/{lb}/acls", http.StatusOK, s.putACLs)
		httpapi.Handle(routes, "DELETE", "/{lb}/acls/{acl}", http.StatusOK, s.deleteACL)

		httpapi.Handle(routes, "POST", "/{lb}/tls-certificates", http.StatusOK, s.postCertificate)
		httpapi.Get(routes, "/{lb}/tls-certificates", s.listCertificates)
		httpapi.Get(routes, "/{lb}/tls-certificates/{certificate}", s.getCertificate)
		httpapi.Handle(routes, "PUT", "/{lb}/tls-certificates/{certificate}", http.StatusOK, s.putCertificate)
		httpapi.Handle(routes, "DELETE", "/{lb}/tls-certificates/{certificate}", http.StatusOK, s.deleteCertificate)
	})
}

func tenant(r *http.Request) string             { return httpapi.TenantID(r.Context()) }
func param(r *http.Request, name string) string { return strings.ToLower(chi.URLParam(r, name)) }

type idView struct {
	ID string `json:"id"`
}

// done is the answer where no body is published; {} is what all clients can read.
func done(err error) (*struct{}, error) { return &struct{}{}, err }

func (s *Service) postLB(r *http.Request) (*idView, error) {
	var body createBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	lb, err := body.loadBalancer(tenant(r))
	if err != nil {
		return nil, err
	}
	if err := s.create(r.Context(), lb, body.PublicIPID); err != nil {
		return nil, err
	}
	return &idView{lb.ID}, nil
}

const newestFirst = "created_at:desc"

// orders are the columns by which load balancers can be sorted.
var orders = map[string]string{"id": "id", "created_at": "created_at", "updated_at": "updated_at", "name": "name", "status": "status"}

func (s *Service) listLBs(r *http.Request) (*pageView[lbView], error) {
	by, err := httpapi.ParseSort(r, newestFirst, orders)
	if err != nil {
		return nil, err
	}
	page, err := httpapi.ParsePage(r, 10, 1000)
	if err != nil {
		return nil, err
	}
	lbs, err := where(r.Context(), s.db, `tenant_id = ? ORDER BY `+by+`, id`, tenant(r))
	if err != nil {
		return nil, err
	}
	return pageOf(r, page, lbs, viewOf), nil
}

// listParts answers with the page that was asked for of one kind of parts of the load balancer in the path.
func listParts[T interface{ meta() Meta }, V any](s *Service, r *http.Request, parts func(*Document) []T, view func(T) V) (*pageView[V], error) {
	by := func(key func(Meta) string) func(a, b T) int {
		return httpapi.By(func(t T) string { return key(t.meta()) })
	}
	sorted, err := httpapi.ParseOrder(r, "_sort", newestFirst, httpapi.Order[T]{
		"id":         by(func(m Meta) string { return m.ID }),
		"name":       by(func(m Meta) string { return m.Name }),
		"created_at": by(func(m Meta) string { return m.CreatedAt }),
		"updated_at": by(func(m Meta) string { return m.UpdatedAt }),
	})
	if err != nil {
		return nil, err
	}
	page, err := httpapi.ParsePage(r, 10, 1000)
	if err != nil {
		return nil, err
	}
	doc, err := s.parts(r)
	if err != nil {
		return nil, err
	}
	return pageOf(r, page, sorted(parts(doc)), view), nil
}

func pageOf[T, V any](r *http.Request, page httpapi.Page, items []T, view func(T) V) *pageView[V] {
	v := &pageView[V]{Results: list(httpapi.Slice(items, page), view)}
	v.Meta.Links = httpapi.PageLinks(r, page, len(items))
	v.Meta.Page.Count, v.Meta.Page.Limit, v.Meta.Page.Offset, v.Meta.Page.Total = len(v.Results), page.Limit, page.Offset, len(items)
	return v
}

func (s *Service) getLB(r *http.Request) (*lbView, error) {
	lb, err := tenantLB(r.Context(), s.db, tenant(r), param(r, "lb"))
	if err != nil {
		return nil, err
	}
	v := viewOf(lb)
	return &v, nil
}

func (s *Service) putLB(r *http.Request) (*idView, error) {
	var body struct{ Name, Description *string }
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
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
		return nil, err
	}
	return &idView{param(r, "lb")}, nil
}

func (s *Service) deleteLB(r *http.Request) (*struct{}, error) {
	remove, err := httpapi.BoolParam(r, "delete_public_ip", "whether its public IP goes too", false)
	if err != nil {
		return nil, err
	}
	return done(s.delete(r.Context(), tenant(r), param(r, "lb"), remove))
}
