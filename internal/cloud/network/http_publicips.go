package network

import (
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

type publicIPView struct {
	ID          string `json:"id"`
	ExternalID  string `json:"external_id"`
	VPCID       string `json:"vpc_id"`
	TenantID    string `json:"tenant_id"`
	ProjectType string `json:"project_type"`
	Description string `json:"description"`
	PublicIP    string `json:"public_ip"`
	PortID      string `json:"port_id,omitempty"`
	CreatedAt   string `json:"created_at"`
	UpdatedAt   string `json:"updated"`
	Status      string `json:"status"`
}

func viewPublicIP(p PublicIP) publicIPView {
	return publicIPView{ID: p.ID, ExternalID: p.ID, VPCID: p.VPCID, TenantID: p.TenantID, ProjectType: "default", Description: p.Description,
		PublicIP: p.Address.String(), PortID: p.PortID, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, Status: StatusCreated}
}

type publicIPList struct {
	PublicIPs []publicIPView `json:"public_ips"`
}

func (s *Service) getPublicIPs(r *http.Request) (*publicIPList, error) {
	ips, err := publicIPsWhere(r.Context(), s.db, `tenant_id = ?`, tenant(r))
	if err != nil {
		return nil, err
	}
	return &publicIPList{list(ips, viewPublicIP)}, nil
}

func (s *Service) getVPCPublicIPs(r *http.Request) (*publicIPList, error) {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return nil, err
	}
	ips, err := publicIPsWhere(r.Context(), s.db, `vpc_id = ?`, vpc.ID)
	if err != nil {
		return nil, err
	}
	return &publicIPList{list(ips, viewPublicIP)}, nil
}

func (s *Service) postPublicIP(r *http.Request) (*idView, error) {
	var body struct{ Description string }
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return nil, err
	}
	ip, err := s.CreatePublicIP(r.Context(), PublicIP{TenantID: tenant(r), VPCID: param(r, "vpc"), Description: body.Description})
	if err != nil {
		return nil, err
	}
	return &idView{ip.ID}, nil
}

func (s *Service) getPublicIP(r *http.Request) (*publicIPView, error) {
	ip, err := tenantPublicIP(r.Context(), s.db, tenant(r), param(r, "ip"))
	if err != nil {
		return nil, err
	}
	v := viewPublicIP(ip)
	return &v, nil
}

func (s *Service) deletePublicIP(r *http.Request) error {
	return s.DeletePublicIP(r.Context(), tenant(r), param(r, "ip"))
}

func (s *Service) attachPublicIP(r *http.Request) error {
	return s.AttachPublicIP(r.Context(), tenant(r), param(r, "ip"), param(r, "port"))
}

func (s *Service) detachPublicIP(r *http.Request) error {
	return s.DetachPublicIP(r.Context(), tenant(r), param(r, "ip"), param(r, "port"))
}
