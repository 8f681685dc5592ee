package network

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func groupView(g SecurityGroup) map[string]any {
	return given(map[string]any{
		"id": g.ID, "vpc_id": orNothing(g.VPCID), "name": g.Name, "description": g.Description, "tenant_id": g.TenantID,
		"project_type": "default", "is_default": g.VPCID != "", "status": StatusCreated,
		"created_at": g.CreatedAt, "updated": g.UpdatedAt,
	})
}

func ruleView(r Rule) map[string]any {
	return given(map[string]any{
		"id": r.ID, "external_id": r.ID, "security_group_id": r.GroupID, "direction": r.Direction, "ethertype": r.EtherType,
		"protocol": orNothing(r.Protocol), "port_range_min": r.PortMin, "port_range_max": r.PortMax,
		"remote_ip_prefix": orNothing(r.RemotePrefix), "remote_group_id": orNothing(r.RemoteGroupID), "description": r.Description,
		"created_at": r.CreatedAt, "status": StatusCreated,
	})
}

func (s *Service) getGroups(w http.ResponseWriter, r *http.Request) error {
	groups, err := listGroups(r.Context(), s.db, tenant(r))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"security_groups": list(groups, groupView)})
	return nil
}

func (s *Service) postGroup(w http.ResponseWriter, r *http.Request) error {
	var body struct{ Name, Description string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := checkText("name", body.Name, 5, 100); err != nil {
		return err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return err
	}
	skip, err := httpapi.BoolParam(r, "skip_default_rules", false)
	if err != nil {
		return err
	}
	group, err := s.CreateGroup(r.Context(), SecurityGroup{TenantID: tenant(r), Name: body.Name, Description: body.Description}, skip)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, created(group.ID))
	return nil
}

func (s *Service) getGroup(w http.ResponseWriter, r *http.Request) error {
	group, err := tenantGroup(r.Context(), s.db, tenant(r), param(r, "group"))
	if err != nil {
		return err
	}
	rules, err := listRules(r.Context(), s.db, group.ID)
	if err != nil {
		return err
	}
	ports, err := store.Rows(r.Context(), s.db, store.Text, `SELECT port_id FROM network_port_groups WHERE group_id = ? ORDER BY port_id`, group.ID)
	if err != nil {
		return err
	}
	view := groupView(group)
	view["external_id"], view["rules"] = group.ID, list(rules, ruleView)
	view["ports"] = list(ports, func(id string) string { return id })
	httpapi.JSON(w, http.StatusOK, view)
	return nil
}

func (s *Service) deleteGroup(w http.ResponseWriter, r *http.Request) error {
	if err := s.DeleteGroup(r.Context(), tenant(r), param(r, "group")); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

func (s *Service) getRules(w http.ResponseWriter, r *http.Request) error {
	group, err := tenantGroup(r.Context(), s.db, tenant(r), param(r, "group"))
	if err != nil {
		return err
	}
	rules, err := listRules(r.Context(), s.db, group.ID)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"rules": list(rules, ruleView)})
	return nil
}

type ruleBody struct {
	Direction      string  `json:"direction"`
	EtherType      string  `json:"ethertype"`
	Protocol       *string `json:"protocol"`
	PortRangeMin   *int    `json:"port_range_min"`
	PortRangeMax   *int    `json:"port_range_max"`
	RemoteIPPrefix *string `json:"remote_ip_prefix"`
	RemoteGroupID  *string `json:"remote_group_id"`
	Description    *string `json:"description"`
}

func (s *Service) postRule(w http.ResponseWriter, r *http.Request) error {
	var body ruleBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	rule, err := checkRule(body)
	if err != nil {
		return err
	}
	rule.GroupID = param(r, "group")
	if rule, err = s.CreateRule(r.Context(), tenant(r), rule); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, created(rule.ID))
	return nil
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func checkRule(body ruleBody) (Rule, error) {
	rule := Rule{Direction: body.Direction, EtherType: body.EtherType, Protocol: strings.ToLower(text(body.Protocol)),
		PortMin: body.PortRangeMin, PortMax: body.PortRangeMax, RemoteGroupID: text(body.RemoteGroupID), Description: text(body.Description)}
	if rule.Protocol == "any" {
		rule.Protocol = ""
	}
	if !slices.Contains([]string{Ingress, Egress}, rule.Direction) {
		return rule, httpapi.Invalid("direction: must be ingress or egress")
	}
	if !slices.Contains([]string{IPv4, IPv6}, rule.EtherType) {
		return rule, httpapi.Invalid("ethertype: must be IPv4 or IPv6")
	}
	if err := checkText("description", rule.Description, 0, maxDescription); err != nil {
		return rule, err
	}
	if err := checkProtocol(&rule); err != nil {
		return rule, err
	}
	if body.RemoteIPPrefix == nil || *body.RemoteIPPrefix == "" {
		return rule, nil
	}
	if rule.RemoteGroupID != "" {
		return rule, httpapi.Invalid("only one of remote_ip_prefix and remote_group_id may be given")
	}
	remote, err := parseRemote(*body.RemoteIPPrefix)
	if err != nil || remote.Addr().Is4() != (rule.EtherType == IPv4) {
		return rule, httpapi.Invalid("remote_ip_prefix: %q is not a range of %s addresses", *body.RemoteIPPrefix, rule.EtherType)
	}
	rule.RemotePrefix = remote.String()
	return rule, nil
}

// parseRemote accepts a range or a single address.
func parseRemote(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Prefix(address.BitLen())
	}
	remote, err := netip.ParsePrefix(text)
	return remote.Masked(), err
}

// checkProtocol checks the protocol with its ports, or with ICMP's type and code.
func checkProtocol(rule *Rule) error {
	highest := 65535
	switch rule.Protocol {
	case "tcp", "udp":
		if rule.PortMin == nil { // one port may be given by its end only
			rule.PortMin = rule.PortMax
		}
		if rule.PortMax == nil {
			rule.PortMax = rule.PortMin
		}
	case "icmp", "icmpv6":
		highest = 255
		if (rule.Protocol == "icmpv6") != (rule.EtherType == IPv6) {
			return httpapi.Invalid("protocol: icmp belongs to IPv4, icmpv6 to IPv6")
		}
		if rule.PortMin == nil && rule.PortMax != nil {
			return httpapi.Invalid("port_range_max: an ICMP code needs a type in port_range_min")
		}
	default:
		if rule.PortMin != nil || rule.PortMax != nil {
			return httpapi.Invalid("port_range_min: ports need the protocol tcp or udp")
		}
		if rule.Protocol == "" {
			return nil
		}
		n, err := strconv.ParseUint(rule.Protocol, 10, 8)
		if err != nil {
			return httpapi.Invalid("protocol: must be tcp, udp, icmp, or a number between 0 and 255")
		}
		rule.Protocol = strconv.FormatUint(n, 10) // without leading zeros
		return nil
	}
	for field, value := range map[string]*int{"port_range_min": rule.PortMin, "port_range_max": rule.PortMax} {
		if value != nil && (*value < 0 || *value > highest) {
			return httpapi.Invalid("%s: must be between 0 and %d", field, highest)
		}
	}
	if highest == 65535 && rule.PortMin != nil && *rule.PortMin > *rule.PortMax {
		return httpapi.Invalid("port_range_min: must not be greater than port_range_max")
	}
	return nil
}

func (s *Service) getRule(w http.ResponseWriter, r *http.Request) error {
	rule, err := tenantRule(r.Context(), s.db, tenant(r), param(r, "rule"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, ruleView(rule))
	return nil
}

func (s *Service) deleteRule(w http.ResponseWriter, r *http.Request) error {
	if err := s.DeleteRule(r.Context(), tenant(r), param(r, "rule")); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}
