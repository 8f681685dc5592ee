package network

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// Register adds the product's routes. Writes are done when they are answered
// (`wait=true`, the published default); a change that could not be applied within
// the timeout is answered all the same, because it is recorded and will be.
func (s *Service) Register(r chi.Router) {
	v0 := httpapi.Routes{Router: r, Shape: httpapi.SlugMessageList}
	v1 := httpapi.Routes{Router: r, Shape: httpapi.Problem}
	change := func(method, path string, fn func(*http.Request) error) {
		httpapi.HandleEmpty(v0, method, path, http.StatusNoContent, fn)
	}
	connect := func(path string, fn func(*http.Request) error) { // published with 200 and no body
		httpapi.HandleEmpty(v0, http.MethodPost, path, http.StatusOK, fn)
	}

	httpapi.Get(v0, "/v0/vpcs", s.getVPCs)
	httpapi.Handle(v0, "POST", "/v1/vpcs", http.StatusAccepted, s.postVPC) // published with the error shape of v0
	httpapi.Get(v0, "/v0/vpcs/{vpc}", s.getVPC)
	change("DELETE", "/v0/vpcs/{vpc}", s.deleteVPC)
	change("PATCH", "/v0/vpcs/{vpc}/rename", s.renameVPC)

	httpapi.Get(v0, "/v0/vpcs/{vpc}/subnets", s.getSubnets)
	httpapi.Handle(v0, "POST", "/v0/vpcs/{vpc}/subnets", http.StatusCreated, s.postSubnet)
	httpapi.Get(v0, "/v0/subnets/{subnet}", s.getSubnet)
	httpapi.Handle(v0, "PATCH", "/v0/subnets/{subnet}", http.StatusOK, s.patchSubnet)
	change("DELETE", "/v0/subnets/{subnet}", s.deleteSubnet)

	httpapi.Get(v0, "/v0/subnetpools", s.getPools)
	httpapi.Handle(v0, "POST", "/v0/subnetpools", http.StatusCreated, s.postPool)
	httpapi.Get(v0, "/v0/subnetpools/{pool}", s.getPool)
	change("DELETE", "/v0/subnetpools/{pool}", s.deletePool)
	httpapi.Handle(v0, "POST", "/v0/subnetpools/{pool}/book_cidr", http.StatusCreated, s.bookCIDR)
	change("POST", "/v0/subnetpools/{pool}/unbook_cidr", s.unbookCIDR)

	httpapi.Get(v0, "/v0/ports", s.getPorts)
	httpapi.Get(v0, "/v0/vpcs/{vpc}/ports", s.getVPCPorts)
	httpapi.Handle(v0, "POST", "/v0/vpcs/{vpc}/ports", http.StatusOK, s.postPort)
	httpapi.Get(v0, "/v0/ports/{port}", s.getPort)
	change("PATCH", "/v0/ports/{port}", s.patchPort)
	change("DELETE", "/v0/ports/{port}", s.deletePort)
	connect("/v0/ports/{port}/attach/{group}", s.attachGroup)
	connect("/v0/ports/{port}/detach/{group}", s.detachGroup)

	httpapi.Get(v0, "/v0/public_ips", s.getPublicIPs)
	httpapi.Get(v0, "/v0/vpcs/{vpc}/public_ips", s.getVPCPublicIPs)
	httpapi.Handle(v0, "POST", "/v0/vpcs/{vpc}/public_ips", http.StatusOK, s.postPublicIP)
	httpapi.Get(v0, "/v0/public_ips/{ip}", s.getPublicIP)
	change("DELETE", "/v0/public_ips/{ip}", s.deletePublicIP)
	connect("/v0/public_ips/{ip}/attach/{port}", s.attachPublicIP)
	connect("/v0/public_ips/{ip}/detach/{port}", s.detachPublicIP)

	httpapi.Get(v0, "/v0/security_groups", s.getGroups)
	httpapi.Handle(v0, "POST", "/v0/security_groups", http.StatusOK, s.postGroup)
	httpapi.Get(v0, "/v0/security_groups/{group}", s.getGroup)
	change("DELETE", "/v0/security_groups/{group}", s.deleteGroup)
	httpapi.Get(v0, "/v0/security_groups/{group}/rules", s.getRules)
	httpapi.Handle(v0, "POST", "/v0/security_groups/{group}/rules", http.StatusOK, s.postRule)
	httpapi.Get(v0, "/v0/rules/{rule}", s.getRule)
	change("DELETE", "/v0/rules/{rule}", s.deleteRule)

	httpapi.Get(v1, "/v1/vpcs/{vpc}/route_table/routes", s.getRoutes)
	httpapi.Handle(v1, "POST", "/v1/vpcs/{vpc}/route_table/routes", http.StatusAccepted, s.postRoute)
	httpapi.Get(v1, "/v1/vpcs/{vpc}/route_table/routes/{route}", s.getRoute)
	httpapi.Handle(v1, "DELETE", "/v1/vpcs/{vpc}/route_table/routes/{route}", http.StatusAccepted, s.deleteRoute)

	httpapi.RegisterUnavailable(v0, Unavailable)
}

func tenant(r *http.Request) string             { return httpapi.TenantID(r.Context()) }
func param(r *http.Request, name string) string { return strings.ToLower(chi.URLParam(r, name)) }

// The contract knows no null: members that are not set are left out of answers.

type idView struct {
	ID string `json:"id"`
}

// statusView is what is answered where work goes on.
type statusView struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func list[T, V any](items []T, view func(T) V) []V {
	views := make([]V, 0, len(items)) // never null
	for _, item := range items {
		views = append(views, view(item))
	}
	return views
}

func checkText(field, value string, min, max int) error {
	switch n := utf8.RuneCountInString(value); {
	case n < min && n == 0:
		return httpapi.Invalid("%s: Field required", field)
	case n < min:
		return httpapi.Invalid("%s: String should have at least %d characters", field, min)
	case n > max:
		return httpapi.Invalid("%s: String should have at most %d characters", field, max)
	}
	return nil
}

// maxDescription bounds descriptions for which nothing is published.
const maxDescription = 255

var zones = []string{"a", "b", "c"}

// checkZone accepts a zone with or without the region and returns its letter; none is the first.
func (s *Service) checkZone(zone string) (string, error) {
	letter := strings.TrimPrefix(zone, s.cfg.Region+"-")
	if letter == "" {
		return zones[0], nil
	}
	if !slices.Contains(zones, letter) {
		return "", httpapi.Invalid("zone %q does not exist; use one of %s", zone, strings.Join(zones, ", "))
	}
	return letter, nil
}

// zoneHeader reads in which zone something is to be made.
func zoneHeader(r *http.Request) string {
	return httpapi.HeaderParam(r, "x-zone", "the zone, with or without the region; the first one if there is none")
}

// parseCIDR reads an IPv4 range of at most minBits and at least maxBits prefix length.
func parseCIDR(field, text string, minBits, maxBits int) (netip.Prefix, error) {
	cidr, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !cidr.Addr().Is4():
		return cidr, httpapi.Invalid("%s: %q is not an IPv4 range such as 172.26.0.0/20", field, text)
	case cidr != cidr.Masked():
		return cidr, httpapi.Invalid("%s: %s has bits set behind its length; did you mean %s?", field, text, cidr.Masked())
	case cidr.Bits() < minBits || cidr.Bits() > maxBits:
		return cidr, httpapi.Invalid("%s: the length of %s must be between /%d and /%d", field, text, minBits, maxBits)
	}
	return cidr, nil
}

var reserved = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("0.0.0.0/8")}

// parsePrivateCIDR is parseCIDR for ranges in which VMs may live.
func parsePrivateCIDR(field, text string, minBits, maxBits int) (netip.Prefix, error) {
	cidr, err := parseCIDR(field, text, minBits, maxBits)
	if err != nil {
		return cidr, err
	}
	for _, other := range reserved {
		if other.Overlaps(cidr) {
			return cidr, httpapi.Invalid("%s: %s is reserved", field, cidr)
		}
	}
	return cidr, nil
}
