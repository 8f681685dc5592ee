package loadbalancer

import (
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// edit changes the parts of the load balancer in the path.
func (s *Service) edit(r *http.Request, fn func(doc *Document) error) error {
	return s.change(r.Context(), tenant(r), param(r, "lb"), func(_ store.Queryer, lb *LoadBalancer) error { return fn(&lb.Document) })
}

// parts returns the parts of the load balancer in the path.
func (s *Service) parts(r *http.Request) (*Document, error) {
	lb, err := tenantLB(r.Context(), s.db, tenant(r), param(r, "lb"))
	return &lb.Document, err
}

func (s *Service) postListener(w http.ResponseWriter, r *http.Request) error {
	var body listenerBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	listener, err := body.listener()
	if err != nil {
		return err
	}
	listener.BackendID = r.URL.Query().Get("backend_id")
	err = s.edit(r, func(doc *Document) error {
		if _, err := doc.backend(listener.BackendID); err != nil {
			return httpapi.Invalid("backend_id: there is no backend %q", listener.BackendID)
		}
		if err := doc.setCertificate(&listener, body.TLSCertificateID); err != nil {
			return err
		}
		return doc.addListener(listener)
	})
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, listenerView(listener))
	return nil
}

func (s *Service) listListeners(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	return answerParts(w, r, doc.Listeners, listenerView)
}

func (s *Service) getListener(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	listener, err := doc.listener(param(r, "listener"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, listenerView(*listener))
	return nil
}

func (s *Service) putListener(w http.ResponseWriter, r *http.Request) error {
	var body listenerBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	err := s.edit(r, func(doc *Document) error {
		listener, err := doc.listener(param(r, "listener"))
		if err != nil {
			return err
		}
		if body.TLSCertificateID != "" {
			if err := doc.setCertificate(listener, body.TLSCertificateID); err != nil {
				return err
			}
		}
		if body.Name == "" || body.Name == listener.Name {
			return nil
		}
		for _, other := range doc.Listeners {
			if other.Name == body.Name {
				return httpapi.Conflict("there is already a listener named %q", body.Name)
			}
		}
		listener.Name, listener.UpdatedAt = body.Name, store.Now()
		return checkText("name", body.Name, 1, 64)
	})
	if err != nil {
		return err
	}
	return ok(w, param(r, "listener"))
}

func (s *Service) deleteListener(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.edit(r, func(doc *Document) error { return doc.removeListener(param(r, "listener")) }))
}

func (s *Service) postHealthCheck(w http.ResponseWriter, r *http.Request) error {
	var body healthCheckBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	check, err := body.healthCheck()
	if err != nil {
		return err
	}
	if err := s.edit(r, func(doc *Document) error { return doc.addHealthCheck(check) }); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, healthCheckView(check))
	return nil
}

func (s *Service) listHealthChecks(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	return answerParts(w, r, doc.HealthChecks, healthCheckView)
}

func (s *Service) getHealthCheck(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	check, err := doc.healthCheck(param(r, "check"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, healthCheckView(*check))
	return nil
}

// putHealthCheck replaces everything but name and description.
func (s *Service) putHealthCheck(w http.ResponseWriter, r *http.Request) error {
	var body healthCheckBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	err := s.edit(r, func(doc *Document) error {
		check, err := doc.healthCheck(param(r, "check"))
		if err != nil {
			return err
		}
		body.Name, body.Description = check.Name, check.Description
		wanted, err := body.healthCheck()
		wanted.ID, wanted.CreatedAt = check.ID, check.CreatedAt
		*check = wanted
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, param(r, "check"))
}

func (s *Service) deleteHealthCheck(w http.ResponseWriter, r *http.Request) error {
	if err := s.edit(r, func(doc *Document) error { return doc.removeHealthCheck(param(r, "check")) }); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

func (s *Service) postACL(w http.ResponseWriter, r *http.Request) error {
	var body aclBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	acl, err := body.acl()
	if err != nil {
		return err
	}
	err = s.edit(r, func(doc *Document) error {
		if len(doc.ACLs) >= maxACLs {
			return httpapi.Invalid("acls: at most %d", maxACLs)
		}
		doc.ACLs = append(doc.ACLs, acl)
		return nil
	})
	if err != nil {
		return err
	}
	return ok(w, acl.ID)
}

func (s *Service) putACLs(w http.ResponseWriter, r *http.Request) error {
	var body struct{ ACLs *[]aclBody }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if body.ACLs == nil {
		return httpapi.Invalid("acls: Field required")
	}
	wanted, err := acls(*body.ACLs)
	if err != nil {
		return err
	}
	return done(w, s.edit(r, func(doc *Document) error {
		doc.ACLs = wanted
		return nil
	}))
}

func (s *Service) deleteACL(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.edit(r, func(doc *Document) error { return doc.removeACL(param(r, "acl")) }))
}
