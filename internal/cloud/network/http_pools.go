package network

import (
	"net/http"
	"net/netip"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// PoolView is a subnet pool as lists show it.
type PoolView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	TenantID    string `json:"tenant_id"`
	Description string `json:"description"`
	CIDR        string `json:"cidr"`
	IsDefault   bool   `json:"is_default"`
}

func viewPool(p SubnetPool) PoolView {
	return PoolView{ID: p.ID, Name: p.Name, TenantID: p.TenantID, Description: p.Description, CIDR: p.CIDR.String(), IsDefault: p.Default}
}

type poolDetail struct {
	PoolView
	CreatedAt string `json:"created_at"`
	IPVersion int    `json:"ip_version"`
}

type poolPage struct {
	Results []PoolView `json:"results"`
	Meta    struct {
		Page  countView     `json:"page"`
		Links httpapi.Links `json:"links"`
	} `json:"meta"`
}

type countView struct {
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
	Count  int `json:"count"`
	Total  int `json:"total"`
}

type cidrView struct {
	CIDR string `json:"cidr"`
}

var poolOrder = httpapi.Order[SubnetPool]{
	"id":         httpapi.By(func(p SubnetPool) string { return p.ID }),
	"name":       httpapi.By(func(p SubnetPool) string { return p.Name }),
	"created_at": httpapi.By(func(p SubnetPool) string { return p.CreatedAt }),
	"cidr":       func(a, b SubnetPool) int { return a.CIDR.Compare(b.CIDR) },
}

func (s *Service) getPools(r *http.Request) (*poolPage, error) {
	page, err := httpapi.ParsePage(r, 20, 1000)
	if err != nil {
		return nil, err
	}
	sorted, err := httpapi.ParseOrder(r, "_sort", "created_at:desc", poolOrder)
	if err != nil {
		return nil, err
	}
	if _, err := s.ResolveVPC(r.Context(), s.db, tenant(r), "", DefaultVPCName); err != nil { // makes the default pool too
		return nil, err
	}
	pools, err := listPools(r.Context(), s.db, tenant(r))
	if err != nil {
		return nil, err
	}
	v := &poolPage{Results: list(httpapi.Slice(sorted(pools), page), viewPool)}
	v.Meta.Page, v.Meta.Links = countView{page.Limit, page.Offset, len(v.Results), len(pools)}, httpapi.PageLinks(r, page, len(pools))
	return v, nil
}

func (s *Service) getPool(r *http.Request) (*poolDetail, error) {
	pool, err := tenantPool(r.Context(), s.db, tenant(r), param(r, "pool"))
	if err != nil {
		return nil, err
	}
	return &poolDetail{viewPool(pool), pool.CreatedAt, 4}, nil
}

func (s *Service) postPool(r *http.Request) (*idView, error) {
	body := struct{ Name, Description, CIDR, Type string }{CIDR: DefaultPoolCIDR.String(), Type: "default"}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkText("name", body.Name, 1, 100); err != nil {
		return nil, err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return nil, err
	}
	if body.Type == "pip" {
		return nil, httpapi.NotImplemented("a subnet pool of type pip", "Public IPs come from the region's pool: POST /v0/vpcs/{vpc_id}/public_ips.")
	}
	if body.Type != "default" {
		return nil, httpapi.Invalid("type: must be pip or default")
	}
	cidr, err := parsePrivateCIDR("cidr", body.CIDR, 8, 29)
	if err != nil {
		return nil, err
	}
	pool, err := s.CreatePool(r.Context(), SubnetPool{TenantID: tenant(r), Name: body.Name, Description: body.Description, CIDR: cidr, Type: body.Type})
	if err != nil {
		return nil, err
	}
	return &idView{pool.ID}, nil
}

func (s *Service) deletePool(r *http.Request) error {
	return s.DeletePool(r.Context(), tenant(r), param(r, "pool"))
}

func (s *Service) bookCIDR(r *http.Request) (*cidrView, error) {
	var body struct {
		CIDR string `json:"cidr"`
		Mask int    `json:"mask"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	var want netip.Prefix
	if (body.CIDR == "") == (body.Mask == 0) {
		return nil, httpapi.Invalid("exactly one of cidr and mask is required")
	}
	if body.CIDR != "" {
		var err error
		if want, err = parseCIDR("cidr", body.CIDR, 8, 30); err != nil {
			return nil, err
		}
	}
	booked, err := s.BookCIDR(r.Context(), tenant(r), param(r, "pool"), want, body.Mask)
	if err != nil {
		return nil, err
	}
	return &cidrView{booked.String()}, nil
}

func (s *Service) unbookCIDR(r *http.Request) error {
	var body struct{ CIDR string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	cidr, err := parseCIDR("cidr", body.CIDR, 8, 30)
	if err != nil {
		return err
	}
	return s.UnbookCIDR(r.Context(), tenant(r), param(r, "pool"), cidr)
}
