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

func (s *Service) postListener(r *http.Request) (*listenerView, error) {
	backend, err := httpapi.RequiredParam(r, "backend_id", "the backend that gets the connections")
	if err != nil {
		return nil, err
	}
	var body listenerBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	listener, err := body.listener()
	if err != nil {
		return nil, err
	}
	listener.BackendID = backend
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
		return nil, err
	}
	v := viewListener(listener)
	return &v, nil
}

func (s *Service) listListeners(r *http.Request) (*pageView[listenerView], error) {
	return listParts(s, r, func(doc *Document) []Listener { return doc.Listeners }, viewListener)
}

func (s *Service) getListener(r *http.Request) (*listenerView, error) {
	doc, err := s.parts(r)
	if err != nil {
		return nil, err
	}
	listener, err := doc.listener(param(r, "listener"))
	if err != nil {
		return nil, err
	}
	v := viewListener(*listener)
	return &v, nil
}

func (s *Service) putListener(r *http.Request) (*idView, error) {
	var body listenerBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
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
		return nil, err
	}
	return &idView{param(r, "listener")}, nil
}

func (s *Service) deleteListener(r *http.Request) (*struct{}, error) {
	return done(s.edit(r, func(doc *Document) error { return doc.removeListener(param(r, "listener")) }))
}

func (s *Service) postHealthCheck(r *http.Request) (*healthCheckView, error) {
	var body healthCheckBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	check, err := body.healthCheck()
	if err != nil {
		return nil, err
	}
	if err := s.edit(r, func(doc *Document) error { return doc.addHealthCheck(check) }); err != nil {
		return nil, err
	}
	v := viewHealthCheck(check)
	return &v, nil
}

func (s *Service) listHealthChecks(r *http.Request) (*pageView[healthCheckView], error) {
	return listParts(s, r, func(doc *Document) []HealthCheck { return doc.HealthChecks }, viewHealthCheck)
}

func (s *Service) getHealthCheck(r *http.Request) (*healthCheckView, error) {
	doc, err := s.parts(r)
	if err != nil {
		return nil, err
	}
	check, err := doc.healthCheck(param(r, "check"))
	if err != nil {
		return nil, err
	}
	v := viewHealthCheck(*check)
	return &v, nil
}

// putHealthCheck replaces everything but name and description.
func (s *Service) putHealthCheck(r *http.Request) (*idView, error) {
	var body healthCheckBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
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
		return nil, err
	}
	return &idView{param(r, "check")}, nil
}

func (s *Service) deleteHealthCheck(r *http.Request) error {
	if err := s.edit(r, func(doc *Document) error { return doc.removeHealthCheck(param(r, "check")) }); err != nil {
		return err
	}
	return nil
}

func (s *Service) postACL(r *http.Request) (*idView, error) {
	var body aclBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	acl, err := body.acl()
	if err != nil {
		return nil, err
	}
	err = s.edit(r, func(doc *Document) error {
		if len(doc.ACLs) >= maxACLs {
			return httpapi.Invalid("acls: at most %d", maxACLs)
		}
		doc.ACLs = append(doc.ACLs, acl)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &idView{acl.ID}, nil
}

func (s *Service) putACLs(r *http.Request) (*struct{}, error) {
	var body struct{ ACLs *[]aclBody }
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.ACLs == nil {
		return nil, httpapi.Invalid("acls: Field required")
	}
	wanted, err := acls(*body.ACLs)
	if err != nil {
		return nil, err
	}
	return done(s.edit(r, func(doc *Document) error {
		doc.ACLs = wanted
		return nil
	}))
}

func (s *Service) deleteACL(r *http.Request) (*struct{}, error) {
	return done(s.edit(r, func(doc *Document) error { return doc.removeACL(param(r, "acl")) }))
}
