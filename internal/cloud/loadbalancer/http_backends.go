package loadbalancer

import (
	"encoding/json"
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func (s *Service) postBackend(w http.ResponseWriter, r *http.Request) error {
	var body backendBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	backend, err := body.backend()
	if err != nil {
		return err
	}
	err = s.change(r.Context(), tenant(r), param(r, "lb"), func(q store.Queryer, lb *LoadBalancer) error {
		if err := s.checkTargets(r.Context(), q, lb.VPCID, backend.Targets); err != nil {
			return err
		}
		return lb.Document.addBackend(backend, body)
	})
	if err != nil {
		return err
	}
	return ok(w, backend.ID)
}

func (s *Service) listBackends(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	return answerParts(w, r, doc.Backends, backendView)
}

func (s *Service) getBackend(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	backend, err := doc.backend(param(r, "backend"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, backendView(*backend))
	return nil
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

func (s *Service) putBackend(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		HealthCheckID  healthCheckRef `json:"health_check_id"`
		PanicThreshold *float64       `json:"panic_threshold"`
		CloseOnFailure *bool          `json:"close_connections_on_host_health_failure"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
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
		return err
	}
	return ok(w, param(r, "backend"))
}

func (s *Service) deleteBackend(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.edit(r, func(doc *Document) error { return doc.removeBackend(param(r, "backend")) }))
}

type targetsBody struct {
	HealthCheckID healthCheckRef `json:"health_check_id"`
	TargetsType   string         `json:"targets_type"`
	Targets       *[]targetBody  `json:"targets"`
}

func (s *Service) postTargets(w http.ResponseWriter, r *http.Request) error {
	return s.changeTargets(w, r, func(backend *Backend, kind string, wanted []Target) error {
		if kind != backend.TargetsType && len(backend.Targets) > 0 {
			return httpapi.Conflict("the backend has targets of type %s", backend.TargetsType)
		}
		return backend.addTargets(wanted)
	})
}

func (s *Service) putTargets(w http.ResponseWriter, r *http.Request) error {
	return s.changeTargets(w, r, func(backend *Backend, _ string, wanted []Target) error {
		backend.replaceTargets(wanted)
		return nil
	})
}

func (s *Service) changeTargets(w http.ResponseWriter, r *http.Request, apply func(backend *Backend, kind string, wanted []Target) error) error {
	var body targetsBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if body.Targets == nil {
		return httpapi.Invalid("targets: Field required")
	}
	wanted, err := targets(body.TargetsType, *body.Targets)
	if err != nil {
		return err
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
		return err
	}
	return ok(w, param(r, "backend"))
}

func (s *Service) deleteTarget(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.edit(r, func(doc *Document) error {
		backend, err := doc.backend(param(r, "backend"))
		if err != nil {
			return err
		}
		return backend.removeTarget(param(r, "target"))
	}))
}
