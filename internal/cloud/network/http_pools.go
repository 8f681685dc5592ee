package network

import (
	"net/http"
	"net/netip"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

func poolView(p SubnetPool) map[string]any {
	return map[string]any{"id": p.ID, "name": p.Name, "tenant_id": p.TenantID, "description": p.Description,
		"cidr": p.CIDR.String(), "is_default": p.Default}
}

var poolOrder = httpapi.Order[SubnetPool]{
	"id":         httpapi.By(func(p SubnetPool) string { return p.ID }),
	"name":       httpapi.By(func(p SubnetPool) string { return p.Name }),
	"created_at": httpapi.By(func(p SubnetPool) string { return p.CreatedAt }),
	"cidr":       func(a, b SubnetPool) int { return a.CIDR.Compare(b.CIDR) },
}

func (s *Service) getPools(w http.ResponseWriter, r *http.Request) error {
	page, err := httpapi.ParsePage(r, 20, 1000)
	if err != nil {
		return err
	}
	if _, err := s.ResolveVPC(r.Context(), s.db, tenant(r), "", DefaultVPCName); err != nil { // makes the default pool too
		return err
	}
	pools, err := listPools(r.Context(), s.db, tenant(r))
	if err != nil {
		return err
	}
	if pools, err = httpapi.Sort(r, "_sort", "created_at:desc", pools, poolOrder); err != nil {
		return err
	}
	results := list(httpapi.Slice(pools, page), poolView)
	httpapi.JSON(w, http.StatusOK, map[string]any{"results": results, "meta": map[string]any{
		"page":  map[string]int{"limit": page.Limit, "offset": page.Offset, "count": len(results), "total": len(pools)},
		"links": httpapi.PageLinks(r, page, len(pools)),
	}})
	return nil
}

func (s *Service) getPool(w http.ResponseWriter, r *http.Request) error {
	pool, err := tenantPool(r.Context(), s.db, tenant(r), param(r, "pool"))
	if err != nil {
		return err
	}
	view := poolView(pool)
	view["created_at"], view["ip_version"] = pool.CreatedAt, 4
	httpapi.JSON(w, http.StatusOK, view)
	return nil
}

func (s *Service) postPool(w http.ResponseWriter, r *http.Request) error {
	body := struct{ Name, Description, CIDR, Type string }{CIDR: DefaultPoolCIDR.String(), Type: "default"}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := checkText("name", body.Name, 1, 100); err != nil {
		return err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return err
	}
	if body.Type == "pip" {
		return httpapi.NotImplemented("a subnet pool of type pip", "Public IPs come from the region's pool: POST /v0/vpcs/{vpc_id}/public_ips.")
	}
	if body.Type != "default" {
		return httpapi.Invalid("type: must be pip or default")
	}
	cidr, err := parsePrivateCIDR("cidr", body.CIDR, 8, 29)
	if err != nil {
		return err
	}
	pool, err := s.CreatePool(r.Context(), SubnetPool{TenantID: tenant(r), Name: body.Name, Description: body.Description, CIDR: cidr, Type: body.Type})
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusCreated, created(pool.ID))
	return nil
}

func (s *Service) deletePool(w http.ResponseWriter, r *http.Request) error {
	if err := s.DeletePool(r.Context(), tenant(r), param(r, "pool")); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

func (s *Service) bookCIDR(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		CIDR string `json:"cidr"`
		Mask int    `json:"mask"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	var want netip.Prefix
	if (body.CIDR == "") == (body.Mask == 0) {
		return httpapi.Invalid("exactly one of cidr and mask is required")
	}
	if body.CIDR != "" {
		var err error
		if want, err = parseCIDR("cidr", body.CIDR, 8, 30); err != nil {
			return err
		}
	}
	booked, err := s.BookCIDR(r.Context(), tenant(r), param(r, "pool"), want, body.Mask)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusCreated, map[string]string{"cidr": booked.String()})
	return nil
}

func (s *Service) unbookCIDR(w http.ResponseWriter, r *http.Request) error {
	var body struct{ CIDR string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	cidr, err := parseCIDR("cidr", body.CIDR, 8, 30)
	if err != nil {
		return err
	}
	if err := s.UnbookCIDR(r.Context(), tenant(r), param(r, "pool"), cidr); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}
