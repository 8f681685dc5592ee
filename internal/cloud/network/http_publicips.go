package network

import (
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

func publicIPView(p PublicIP) map[string]any {
	return given(map[string]any{
		"id": p.ID, "external_id": p.ID, "vpc_id": p.VPCID, "tenant_id": p.TenantID, "project_type": "default",
		"description": p.Description, "public_ip": p.Address.String(), "port_id": orNothing(p.PortID),
		"created_at": p.CreatedAt, "updated": p.UpdatedAt, "status": StatusCreated,
	})
}

func (s *Service) getPublicIPs(w http.ResponseWriter, r *http.Request) error {
	ips, err := publicIPsWhere(r.Context(), s.db, `tenant_id = ?`, tenant(r))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"public_ips": list(ips, publicIPView)})
	return nil
}

func (s *Service) getVPCPublicIPs(w http.ResponseWriter, r *http.Request) error {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return err
	}
	ips, err := publicIPsWhere(r.Context(), s.db, `vpc_id = ?`, vpc.ID)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"public_ips": list(ips, publicIPView)})
	return nil
}

func (s *Service) postPublicIP(w http.ResponseWriter, r *http.Request) error {
	var body struct{ Description string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return err
	}
	ip, err := s.CreatePublicIP(r.Context(), PublicIP{TenantID: tenant(r), VPCID: param(r, "vpc"), Description: body.Description})
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, created(ip.ID))
	return nil
}

func (s *Service) getPublicIP(w http.ResponseWriter, r *http.Request) error {
	ip, err := tenantPublicIP(r.Context(), s.db, tenant(r), param(r, "ip"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, publicIPView(ip))
	return nil
}

func (s *Service) deletePublicIP(w http.ResponseWriter, r *http.Request) error {
	if err := s.DeletePublicIP(r.Context(), tenant(r), param(r, "ip")); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

func (s *Service) attachPublicIP(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.AttachPublicIP(r.Context(), tenant(r), param(r, "ip"), param(r, "port")))
}

func (s *Service) detachPublicIP(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.DetachPublicIP(r.Context(), tenant(r), param(r, "ip"), param(r, "port")))
}
