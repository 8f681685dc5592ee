package cloud

import (
	"net/http"

	"magalu.cloud/mke/internal/cloud/compute/hollow/machine"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

// hollowBehavior answers with how hollow VMs behave; it comes over the unix socket only.
func (s *services) hollowBehavior(w http.ResponseWriter, _ *http.Request) error {
	rules, err := s.hollow.Rules()
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, rules)
	return nil
}

// setHollowBehavior puts all rules in force in place of those before, at once and for VMs that run too.
func (s *services) setHollowBehavior(w http.ResponseWriter, r *http.Request) error {
	var rules machine.Rules
	if err := httpapi.Decode(r, &rules); err != nil {
		return err
	}
	if err := rules.Validate(); err != nil {
		return httpapi.Invalid("%s", err)
	}
	if err := s.hollow.SetRules(r.Context(), rules); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}
