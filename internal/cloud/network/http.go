package network

import (
	"maps"
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
	v0 := func(fn handler) http.HandlerFunc { return httpapi.Handler(httpapi.SlugMessageList, fn) }
	v1 := func(fn handler) http.HandlerFunc { return httpapi.Handler(httpapi.Problem, fn) }

	r.Get("/v0/vpcs", v0(s.getVPCs))
	r.Post("/v1/vpcs", v0(s.postVPC)) // published with the error shape of v0
	r.Get("/v0/vpcs/{vpc}", v0(s.getVPC))
	r.Delete("/v0/vpcs/{vpc}", v0(s.deleteVPC))
	r.Patch("/v0/vpcs/{vpc}/rename", v0(s.renameVPC))

	r.Get("/v0/vpcs/{vpc}/subnets", v0(s.getSubnets))
	r.Post("/v0/vpcs/{vpc}/subnets", v0(s.postSubnet))
	r.Get("/v0/subnets/{subnet}", v0(s.getSubnet))
	r.Patch("/v0/subnets/{subnet}", v0(s.patchSubnet))
	r.Delete("/v0/subnets/{subnet}", v0(s.deleteSubnet))

	r.Get("/v0/subnetpools", v0(s.getPools))
	r.Post("/v0/subnetpools", v0(s.postPool))
	r.Get("/v0/subnetpools/{pool}", v0(s.getPool))
	r.Delete("/v0/subnetpools/{pool}", v0(s.deletePool))
	r.Post("/v0/subnetpools/{pool}/book_cidr", v0(s.bookCIDR))
	r.Post("/v0/subnetpools/{pool}/unbook_cidr", v0(s.unbookCIDR))

	r.Get("/v0/ports", v0(s.getPorts))
	r.Get("/v0/vpcs/{vpc}/ports", v0(s.getVPCPorts))
	r.Post("/v0/vpcs/{vpc}/ports", v0(s.postPort))
	r.Get("/v0/ports/{port}", v0(s.getPort))
	r.Patch("/v0/ports/{port}", v0(s.patchPort))
	r.Delete("/v0/ports/{port}", v0(s.deletePort))
	r.Post("/v0/ports/{port}/attach/{group}", v0(s.attachGroup))
	r.Post("/v0/ports/{port}/detach/{group}", v0(s.detachGroup))

	r.Get("/v0/public_ips", v0(s.getPublicIPs))
	r.Get("/v0/vpcs/{vpc}/public_ips", v0(s.getVPCPublicIPs))
	r.Post("/v0/vpcs/{vpc}/public_ips", v0(s.postPublicIP))
	r.Get("/v0/public_ips/{ip}", v0(s.getPublicIP))
	r.Delete("/v0/public_ips/{ip}", v0(s.deletePublicIP))
	r.Post("/v0/public_ips/{ip}/attach/{port}", v0(s.attachPublicIP))
	r.Post("/v0/public_ips/{ip}/detach/{port}", v0(s.detachPublicIP))

	r.Get("/v0/security_groups", v0(s.getGroups))
	r.Post("/v0/security_groups", v0(s.postGroup))
	r.Get("/v0/security_groups/{group}", v0(s.getGroup))
	r.Delete("/v0/security_groups/{group}", v0(s.deleteGroup))
	r.Get("/v0/security_groups/{group}/rules", v0(s.getRules))
	r.Post("/v0/security_groups/{group}/rules", v0(s.postRule))
	r.Get("/v0/rules/{rule}", v0(s.getRule))
	r.Delete("/v0/rules/{rule}", v0(s.deleteRule))

	r.Get("/v1/vpcs/{vpc}/route_table/routes", v1(s.getRoutes))
	r.Post("/v1/vpcs/{vpc}/route_table/routes", v1(s.postRoute))
	r.Get("/v1/vpcs/{vpc}/route_table/routes/{route}", v1(s.getRoute))
	r.Delete("/v1/vpcs/{vpc}/route_table/routes/{route}", v1(s.deleteRoute))

	httpapi.RegisterUnavailable(r, httpapi.SlugMessageList, Unavailable)
}

type handler = func(w http.ResponseWriter, r *http.Request) error

func tenant(r *http.Request) string             { return httpapi.TenantID(r.Context()) }
func param(r *http.Request, name string) string { return strings.ToLower(chi.URLParam(r, name)) }

func created(id string) map[string]string { return map[string]string{"id": id} }

// given drops the members that are not set: the contract knows no null.
func given(view map[string]any) map[string]any {
	maps.DeleteFunc(view, func(_ string, value any) bool {
		n, isInt := value.(*int)
		return value == nil || isInt && n == nil
	})
	return view
}

// orNothing is for members that given drops when they are empty.
func orNothing(text string) any {
	if text == "" {
		return nil
	}
	return text
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
