package network

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

func routeView(r Route) map[string]any {
	return map[string]any{"id": r.ID, "description": r.Description, "cidr_destination": r.CIDR.String(),
		"port_id": r.PortID, "next_hop": r.NextHop.String(), "vpc_id": r.VPCID, "status": StatusCreated, "type": "default"}
}

var routeOrder = httpapi.Order[Route]{
	"id":               httpapi.By(func(r Route) string { return r.ID }),
	"description":      httpapi.By(func(r Route) string { return r.Description }),
	"port_id":          httpapi.By(func(r Route) string { return r.PortID }),
	"cidr_destination": func(a, b Route) int { return a.CIDR.Compare(b.CIDR) },
	"next_hop":         func(a, b Route) int { return a.NextHop.Compare(b.NextHop) },
}

func (s *Service) getRoutes(w http.ResponseWriter, r *http.Request) error {
	page, err := httpapi.ParseNumberedPage(r, "page", "items_per_page", 10, 100)
	if err != nil {
		return err
	}
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return err
	}
	routes, err := listRoutes(r.Context(), s.db, vpc.ID)
	if err != nil {
		return err
	}
	if zone := strings.TrimPrefix(r.URL.Query().Get("zone"), s.cfg.Region+"-"); zone != "" {
		routes = slices.DeleteFunc(routes, func(route Route) bool { return route.Zone != zone })
	}
	if routes, err = httpapi.Sort(r, "sort", "description:asc", routes, routeOrder); err != nil {
		return err
	}
	result := list(httpapi.Slice(routes, page), routeView)
	httpapi.JSON(w, http.StatusOK, map[string]any{"result": result, "meta": map[string]any{
		"page":  map[string]int{"limit": page.Limit, "offset": page.Offset, "count": len(result), "total": len(routes), "max_items_per_page": 100},
		"links": httpapi.NumberedPageLinks(r, "page", "items_per_page", page, len(routes)),
	}})
	return nil
}

func (s *Service) getRoute(w http.ResponseWriter, r *http.Request) error {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return err
	}
	route, err := vpcRoute(r.Context(), s.db, vpc.ID, param(r, "route"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, routeView(route))
	return nil
}

func (s *Service) postRoute(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		CIDRDestination string `json:"cidr_destination"`
		Description     string `json:"description"`
		PortID          string `json:"port_id"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return err
	}
	if _, err := uuid.Parse(body.PortID); err != nil {
		return httpapi.Invalid("port_id: Input should be a valid UUID")
	}
	cidr, err := parsePrivateCIDR("cidr_destination", body.CIDRDestination, 1, 32)
	if err != nil {
		return err
	}
	if s.cfg.PublicPool.Overlaps(cidr) {
		return httpapi.Invalid("cidr_destination %s overlaps with the public addresses of the region", cidr)
	}
	route, err := s.CreateRoute(r.Context(), tenant(r), Route{VPCID: param(r, "vpc"), PortID: body.PortID, CIDR: cidr, Description: body.Description})
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusAccepted, map[string]string{"id": route.ID, "status": StatusCreated})
	return nil
}

func (s *Service) deleteRoute(w http.ResponseWriter, r *http.Request) error {
	if err := s.DeleteRoute(r.Context(), tenant(r), param(r, "vpc"), param(r, "route")); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusAccepted, struct{}{})
	return nil
}
