package loadbalancer

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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

		for _, path := range []string{"/{lb}/tls-certificates", "/{lb}/tls-certificates/{certificate}"} {
			r.Handle(path, httpapi.Handler(httpapi.SlugMessage, func(http.ResponseWriter, *http.Request) error {
				return httpapi.NotImplemented("a TLS certificate")
			}))
		}
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

// orders are the columns by which lists can be sorted.
var orders = map[string]string{"created_at": "created_at", "updated_at": "updated_at", "name": "name", "status": "status"}

func order(r *http.Request) (string, error) {
	text := r.URL.Query().Get("_sort")
	if text == "" {
		return "created_at DESC, id", nil
	}
	field, direction, _ := strings.Cut(text, ":")
	column := orders[field]
	if column == "" || !slices.Contains([]string{"asc", "desc", ""}, direction) {
		return "", httpapi.Invalid("_sort: must be one of created_at, updated_at, name, status, with :asc or :desc")
	}
	return column + " " + direction + ", id", nil
}

func (s *Service) listLBs(w http.ResponseWriter, r *http.Request) error {
	by, err := order(r)
	if err != nil {
		return err
	}
	lbs, err := where(r.Context(), s.db, `tenant_id = ? ORDER BY `+by, tenant(r))
	if err != nil {
		return err
	}
	return answerPage(w, r, lbs, lbView)
}

func answerPage[T any](w http.ResponseWriter, r *http.Request, items []T, view func(T) object) error {
	page, err := httpapi.ParsePage(r, 10, 1000)
	if err != nil {
		return err
	}
	results := list(httpapi.Slice(items, page), view)
	link := func(offset int) string {
		if offset >= len(items) || offset == page.Offset {
			return ""
		}
		u := url.URL{Path: r.URL.Path, RawQuery: fmt.Sprintf("_limit=%d&_offset=%d", page.Limit, offset)}
		return u.String()
	}
	httpapi.JSON(w, http.StatusOK, object{"results": results, "meta": object{
		"links": object{"next": link(page.Offset + page.Limit), "previous": link(max(page.Offset-page.Limit, 0)), "self": r.URL.RequestURI()},
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
	remove := false
	if text := r.URL.Query().Get("delete_public_ip"); text != "" {
		var err error
		if remove, err = strconv.ParseBool(text); err != nil {
			return httpapi.Invalid("delete_public_ip: Input should be a valid boolean")
		}
	}
	return done(w, s.delete(r.Context(), tenant(r), param(r, "lb"), remove))
}
