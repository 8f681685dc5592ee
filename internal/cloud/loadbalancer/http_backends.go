package loadbalancer

import (
	"encoding/json"
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func (s *Service) postBackend(r *http.Request) (*idView, error) {
	var body backendBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	backend, err := body.backend()
	if err != nil {
		return nil, err
	}
	err = s.change(r.Context(), tenant(r), param(r, "lb"), func(q store.Queryer, lb *LoadBalancer) error {
		if err := s.checkTargets(r.Context(), q, lb.VPCID, backend.Targets); err != nil {
			return err
		}
		return lb.Document.addBackend(backend, body)
	})
	if err != nil {
		return nil, err
	}
	return &idView{backend.ID}, nil
}

func (s *Service) listBackends(r *http.Request) (*pageView[backendView], error) {
	return listParts(s, r, func(doc *Document) []Backend { return doc.Backends }, viewBackend)
}

func (s *Service) getBackend(r *http.Request) (*backendView, error) {
	doc, err := s.parts(r)
	if err != nil {
		return nil, err
	}
	backend, err := doc.backend(param(r, "backend"))
	if err != nil {
		return nil, err
	}
	v := viewBackend(*backend)
	return &v, nil
}

// healthCheckRef tells apart what a request says of the health check: nothing
// (keep it), null or "" (none), or an id.
type healthCheckRef struct {
	given bool
	id    string
}

func (ref *healthCheckRef) UnmarshalJSON(text []byte) error {
	ref.given = true
	return json.Unmarshal(text, &ref.id) // null leaves it empty
}

func (s *Service) putBackend(r *http.Request) (*idView, error) {
	var body struct {
		HealthCheckID  healthCheckRef `json:"health_check_id"`
		PanicThreshold *float64       `json:"panic_threshold"`
		CloseOnFailure *bool          `json:"close_connections_on_host_health_failure"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	err := s.edit(r, func(doc *Document) error {
		backend, err := doc.backend(param(r, "backend"))
		if err != nil {
			return err
		}
		if body.PanicThreshold != nil {
			backend.PanicThreshold = *body.PanicThreshold
		}
		if body.CloseOnFailure != nil {
			backend.CloseOnFailure = *body.CloseOnFailure
		}
		backend.UpdatedAt = store.Now()
		if body.HealthCheckID.given {
			if err := doc.setHealthCheck(backend, body.HealthCheckID.id); err != nil {
				return err
			}
		}
		return checkPanic(backend.PanicThreshold)
	})
	if err != nil {
		return nil, err
	}
	return &idView{param(r, "backend")}, nil
}

func (s *Service) deleteBackend(r *http.Request) (*struct{}, error) {
	return done(s.edit(r, func(doc *Document) error { return doc.removeBackend(param(r, "backend")) }))
}

type targetsBody struct {
	HealthCheckID healthCheckRef `json:"health_check_id"`
	TargetsType   string         `json:"targets_type"`
	Targets       *[]targetBody  `json:"targets"`
}

func (s *Service) postTargets(r *http.Request) (*idView, error) {
	return s.changeTargets(r, func(backend *Backend, kind string, wanted []Target) error {
		if kind != backend.TargetsType && len(backend.Targets) > 0 {
			return httpapi.Conflict("the backend has targets of type %s", backend.TargetsType)
		}
		return backend.addTargets(wanted)
	})
}

func (s *Service) putTargets(r *http.Request) (*idView, error) {
	return s.changeTargets(r, func(backend *Backend, _ string, wanted []Target) error {
		backend.replaceTargets(wanted)
		return nil
	})
}

func (s *Service) changeTargets(r *http.Request, apply func(backend *Backend, kind string, wanted []Target) error) (*idView, error) {
	var body targetsBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.Targets == nil {
		return nil, httpapi.Invalid("targets: Field required")
	}
	wanted, err := targets(body.TargetsType, *body.Targets)
	if err != nil {
		return nil, err
	}
	err = s.change(r.Context(), tenant(r), param(r, "lb"), func(q store.Queryer, lb *LoadBalancer) error {
		backend, err := lb.Document.backend(param(r, "backend"))
		if err != nil {
			return err
		}
		if err := s.checkTargets(r.Context(), q, lb.VPCID, wanted); err != nil {
			return err
		}
		if err := apply(backend, body.TargetsType, wanted); err != nil {
			return err
		}
		backend.TargetsType, backend.UpdatedAt = body.TargetsType, store.Now()
		if body.HealthCheckID.given {
			return lb.Document.setHealthCheck(backend, body.HealthCheckID.id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &idView{param(r, "backend")}, nil
}

func (s *Service) deleteTarget(r *http.Request) (*struct{}, error) {
	return done(s.edit(r, func(doc *Document) error {
		backend, err := doc.backend(param(r, "backend"))
		if err != nil {
			return err
		}
		return backend.removeTarget(param(r, "target"))
	}))
}
