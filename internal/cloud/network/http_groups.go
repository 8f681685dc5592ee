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

// GroupView is a security group as lists show it.
type GroupView struct {
	ID          string `json:"id"`
	VPCID       string `json:"vpc_id,omitempty"`
	Name        string `json:"name"`
	Description string `json:"description"`
	TenantID    string `json:"tenant_id"`
	ProjectType string `json:"project_type"`
	IsDefault   bool   `json:"is_default"`
	Status      string `json:"status"`
	CreatedAt   string `json:"created_at"`
	UpdatedAt   string `json:"updated"`
}

func viewGroup(g SecurityGroup) GroupView {
	return GroupView{ID: g.ID, VPCID: g.VPCID, Name: g.Name, Description: g.Description, TenantID: g.TenantID, ProjectType: "default",
		IsDefault: g.VPCID != "", Status: StatusCreated, CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt}
}

type groupDetail struct {
	GroupView
	ExternalID string     `json:"external_id"`
	Rules      []ruleView `json:"rules"`
	Ports      []string   `json:"ports"`
}

type groupList struct {
	SecurityGroups []GroupView `json:"security_groups"`
}

type ruleView struct {
	ID            string `json:"id"`
	ExternalID    string `json:"external_id"`
	GroupID       string `json:"security_group_id"`
	Direction     string `json:"direction" enum:"ingress,egress"`
	EtherType     string `json:"ethertype" enum:"IPv4,IPv6"`
	Protocol      string `json:"protocol,omitempty"`
	PortMin       *int   `json:"port_range_min,omitempty"`
	PortMax       *int   `json:"port_range_max,omitempty"`
	RemotePrefix  string `json:"remote_ip_prefix,omitempty"`
	RemoteGroupID string `json:"remote_group_id,omitempty"`
	Description   string `json:"description"`
	CreatedAt     string `json:"created_at"`
	Status        string `json:"status"`
}

func viewRule(r Rule) ruleView {
	return ruleView{ID: r.ID, ExternalID: r.ID, GroupID: r.GroupID, Direction: r.Direction, EtherType: r.EtherType, Protocol: r.Protocol,
		PortMin: r.PortMin, PortMax: r.PortMax, RemotePrefix: r.RemotePrefix, RemoteGroupID: r.RemoteGroupID, Description: r.Description,
		CreatedAt: r.CreatedAt, Status: StatusCreated}
}

type ruleList struct {
	Rules []ruleView `json:"rules"`
}

func (s *Service) getGroups(r *http.Request) (*groupList, error) {
	groups, err := listGroups(r.Context(), s.db, tenant(r))
	if err != nil {
		return nil, err
	}
	return &groupList{list(groups, viewGroup)}, nil
}

func (s *Service) postGroup(r *http.Request) (*idView, error) {
	skip, err := httpapi.BoolParam(r, "skip_default_rules", "whether the group begins without the rules that let everything out", false)
	if err != nil {
		return nil, err
	}
	var body struct{ Name, Description string }
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkText("name", body.Name, 5, 100); err != nil {
		return nil, err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return nil, err
	}
	group, err := s.CreateGroup(r.Context(), SecurityGroup{TenantID: tenant(r), Name: body.Name, Description: body.Description}, skip)
	if err != nil {
		return nil, err
	}
	return &idView{group.ID}, nil
}

func (s *Service) getGroup(r *http.Request) (*groupDetail, error) {
	group, err := tenantGroup(r.Context(), s.db, tenant(r), param(r, "group"))
	if err != nil {
		return nil, err
	}
	rules, err := listRules(r.Context(), s.db, group.ID)
	if err != nil {
		return nil, err
	}
	ports, err := store.Rows(r.Context(), s.db, store.Text, `SELECT port_id FROM network_port_groups WHERE group_id = ? ORDER BY port_id`, group.ID)
	if err != nil {
		return nil, err
	}
	return &groupDetail{GroupView: viewGroup(group), ExternalID: group.ID, Rules: list(rules, viewRule), Ports: append([]string{}, ports...)}, nil
}

func (s *Service) deleteGroup(r *http.Request) error {
	return s.DeleteGroup(r.Context(), tenant(r), param(r, "group"))
}

func (s *Service) getRules(r *http.Request) (*ruleList, error) {
	group, err := tenantGroup(r.Context(), s.db, tenant(r), param(r, "group"))
	if err != nil {
		return nil, err
	}
	rules, err := listRules(r.Context(), s.db, group.ID)
	if err != nil {
		return nil, err
	}
	return &ruleList{list(rules, viewRule)}, nil
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

func (s *Service) postRule(r *http.Request) (*idView, error) {
	var body ruleBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	rule, err := checkRule(body)
	if err != nil {
		return nil, err
	}
	rule.GroupID = param(r, "group")
	if rule, err = s.CreateRule(r.Context(), tenant(r), rule); err != nil {
		return nil, err
	}
	return &idView{rule.ID}, nil
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

func (s *Service) getRule(r *http.Request) (*ruleView, error) {
	rule, err := tenantRule(r.Context(), s.db, tenant(r), param(r, "rule"))
	if err != nil {
		return nil, err
	}
	v := viewRule(rule)
	return &v, nil
}

func (s *Service) deleteRule(r *http.Request) error {
	return s.DeleteRule(r.Context(), tenant(r), param(r, "rule"))
}
