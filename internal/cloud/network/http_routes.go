package network

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

type routeView struct {
	ID              string `json:"id"`
	Description     string `json:"description"`
	CIDRDestination string `json:"cidr_destination"`
	PortID          string `json:"port_id"`
	NextHop         string `json:"next_hop"`
	VPCID           string `json:"vpc_id"`
	Status          string `json:"status"`
	Type            string `json:"type"`
}

func viewRoute(r Route) routeView {
	return routeView{ID: r.ID, Description: r.Description, CIDRDestination: r.CIDR.String(), PortID: r.PortID, NextHop: r.NextHop.String(),
		VPCID: r.VPCID, Status: StatusCreated, Type: "default"}
}

type routePage struct {
	Result []routeView `json:"result"`
	Meta   struct {
		Page  routeCountView `json:"page"`
		Links httpapi.Links  `json:"links"`
	} `json:"meta"`
}

type routeCountView struct {
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
	Count  int `json:"count"`
	Total  int `json:"total"`
	Max    int `json:"max_items_per_page"`
}

const maxRoutesPerPage = 100

var routeOrder = httpapi.Order[Route]{
	"id":               httpapi.By(func(r Route) string { return r.ID }),
	"description":      httpapi.By(func(r Route) string { return r.Description }),
	"port_id":          httpapi.By(func(r Route) string { return r.PortID }),
	"cidr_destination": func(a, b Route) int { return a.CIDR.Compare(b.CIDR) },
	"next_hop":         func(a, b Route) int { return a.NextHop.Compare(b.NextHop) },
}

func (s *Service) getRoutes(r *http.Request) (*routePage, error) {
	page, err := httpapi.ParseNumberedPage(r, "page", "items_per_page", 10, maxRoutesPerPage)
	if err != nil {
		return nil, err
	}
	sorted, err := httpapi.ParseOrder(r, "sort", "description:asc", routeOrder)
	if err != nil {
		return nil, err
	}
	zone := strings.TrimPrefix(httpapi.TextParam(r, "zone", "only those of this zone, with or without the region"), s.cfg.Region+"-")
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return nil, err
	}
	routes, err := listRoutes(r.Context(), s.db, vpc.ID)
	if err != nil {
		return nil, err
	}
	if zone != "" {
		routes = slices.DeleteFunc(routes, func(route Route) bool { return route.Zone != zone })
	}
	v := &routePage{Result: list(httpapi.Slice(sorted(routes), page), viewRoute)}
	v.Meta.Page = routeCountView{page.Limit, page.Offset, len(v.Result), len(routes), maxRoutesPerPage}
	v.Meta.Links = httpapi.NumberedPageLinks(r, "page", "items_per_page", page, len(routes))
	return v, nil
}

func (s *Service) getRoute(r *http.Request) (*routeView, error) {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return nil, err
	}
	route, err := vpcRoute(r.Context(), s.db, vpc.ID, param(r, "route"))
	if err != nil {
		return nil, err
	}
	v := viewRoute(route)
	return &v, nil
}

func (s *Service) postRoute(r *http.Request) (*statusView, error) {
	var body struct {
		CIDRDestination string `json:"cidr_destination"`
		Description     string `json:"description"`
		PortID          string `json:"port_id"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return nil, err
	}
	if _, err := uuid.Parse(body.PortID); err != nil {
		return nil, httpapi.Invalid("port_id: Input should be a valid UUID")
	}
	cidr, err := parsePrivateCIDR("cidr_destination", body.CIDRDestination, 1, 32)
	if err != nil {
		return nil, err
	}
	if s.cfg.PublicPool.Overlaps(cidr) {
		return nil, httpapi.Invalid("cidr_destination %s overlaps with the public addresses of the region", cidr)
	}
	route, err := s.CreateRoute(r.Context(), tenant(r), Route{VPCID: param(r, "vpc"), PortID: body.PortID, CIDR: cidr, Description: body.Description})
	if err != nil {
		return nil, err
	}
	return &statusView{route.ID, StatusCreated}, nil
}

func (s *Service) deleteRoute(r *http.Request) (*struct{}, error) {
	if err := s.DeleteRoute(r.Context(), tenant(r), param(r, "vpc"), param(r, "route")); err != nil {
		return nil, err
	}
	return &struct{}{}, nil
}
