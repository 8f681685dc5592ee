package loadbalancer

import (
	"net/netip"
	"regexp"
	"slices"
	"unicode/utf8"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// Bounds for lists, far above what is useful.
const (
	maxParts   = 100
	maxTargets = 1000
	maxACLs    = 1000
)

func checkText(field, value string, min, max int) error {
	switch n := utf8.RuneCountInString(value); {
	case n < min:
		return httpapi.Invalid("%s: Field required", field)
	case n > max:
		return httpapi.Invalid("%s: String should have at most %d characters", field, max)
	}
	return nil
}

func checkNames(field, name, description string) error {
	if err := checkText(field+".name", name, 1, 64); err != nil {
		return err
	}
	return checkText(field+".description", description, 0, 128)
}

func checkRange(field string, value, min, max int) error {
	if value < min || value > max {
		return httpapi.Invalid("%s: must be between %d and %d", field, min, max)
	}
	return nil
}

func checkPort(field string, port int) error { return checkRange(field, port, 1, 65535) }

func checkOneOf(field, value string, allowed ...string) error {
	if !slices.Contains(allowed, value) {
		return httpapi.Invalid("%s: %q is not one of %v", field, value, allowed)
	}
	return nil
}

type listenerBody struct {
	Name               string `json:"name"`
	Description        string `json:"description"`
	BackendName        string `json:"backend_name"`
	Protocol           string `json:"protocol"`
	Port               int    `json:"port"`
	TLSCertificateID   string `json:"tls_certificate_id"`
	TLSCertificateName string `json:"tls_certificate_name"` // when a load balancer is created
}

func (b listenerBody) listener() (Listener, error) {
	l := Listener{Meta: newMeta(b.Name, b.Description), Port: b.Port, TLS: b.Protocol == "tls"}
	if err := checkNames("listener", b.Name, b.Description); err != nil {
		return l, err
	}
	if err := checkOneOf("listener.protocol", b.Protocol, "tcp", "tls"); err != nil {
		return l, err
	}
	return l, checkPort("listener.port", b.Port)
}

type healthCheckBody struct {
	Name         string `json:"name"`
	Description  string `json:"description"`
	Protocol     string `json:"protocol"`
	Path         string `json:"path"`
	Port         int    `json:"port"`
	Status       *int   `json:"healthy_status_code"`
	Interval     *int   `json:"interval_seconds"`
	Timeout      *int   `json:"timeout_seconds"`
	InitialDelay *int   `json:"initial_delay_seconds"`
	Rise         *int   `json:"healthy_threshold_count"`
	Fall         *int   `json:"unhealthy_threshold_count"`
}

// safePath has no character with a meaning in HAProxy's configuration.
var safePath = regexp.MustCompile(`^/[A-Za-z0-9._~!&()*+,;=:@%/?-]{0,255}$`)

func or(value *int, fallback int) int {
	if value == nil {
		return fallback
	}
	return *value
}

func (b healthCheckBody) healthCheck() (HealthCheck, error) {
	c := HealthCheck{Meta: newMeta(b.Name, b.Description), Protocol: b.Protocol, Path: b.Path, Port: b.Port,
		Status: or(b.Status, 200), Interval: or(b.Interval, 30), Timeout: or(b.Timeout, 10),
		InitialDelay: or(b.InitialDelay, 30), Rise: or(b.Rise, 8), Fall: or(b.Fall, 3)}
	if err := checkNames("health_check", b.Name, b.Description); err != nil {
		return c, err
	}
	return c, c.check()
}

func (c *HealthCheck) check() error {
	if err := checkOneOf("health_check.protocol", c.Protocol, "tcp", "http"); err != nil {
		return err
	}
	if c.Protocol == "http" && c.Path == "" {
		c.Path = "/"
	}
	if c.Protocol == "http" && !safePath.MatchString(c.Path) {
		return httpapi.Invalid("health_check.path: must start with / and consist of letters, digits and the usual signs of a URL's path")
	}
	for _, limit := range []struct {
		field           string
		value, min, max int
	}{
		{"port", c.Port, 1, 65535}, {"healthy_status_code", c.Status, 100, 599},
		{"interval_seconds", c.Interval, 1, 3600}, {"timeout_seconds", c.Timeout, 1, 3600}, {"initial_delay_seconds", c.InitialDelay, 0, 3600},
		{"healthy_threshold_count", c.Rise, 1, 100}, {"unhealthy_threshold_count", c.Fall, 1, 100},
	} {
		if err := checkRange("health_check."+limit.field, limit.value, limit.min, limit.max); err != nil {
			return err
		}
	}
	return nil
}

type targetBody struct {
	NICID     string `json:"nic_id"`
	IPAddress string `json:"ip_address"`
	Port      int    `json:"port"`
}

type backendBody struct {
	Name            string       `json:"name"`
	Description     string       `json:"description"`
	Algorithm       string       `json:"balance_algorithm"`
	PanicThreshold  float64      `json:"panic_threshold"`
	TargetsType     string       `json:"targets_type"`
	Targets         []targetBody `json:"targets"`
	CloseOnFailure  bool         `json:"close_connections_on_host_health_failure"`
	HealthCheckName string       `json:"health_check_name"`
	HealthCheckID   string       `json:"health_check_id"`
}

func (b backendBody) backend() (Backend, error) {
	backend := Backend{Meta: newMeta(b.Name, b.Description), TargetsType: b.TargetsType, PanicThreshold: b.PanicThreshold, CloseOnFailure: b.CloseOnFailure}
	if err := checkNames("backend", b.Name, b.Description); err != nil {
		return backend, err
	}
	if err := checkOneOf("backend.balance_algorithm", b.Algorithm, "round_robin"); err != nil {
		return backend, err
	}
	if err := checkPanic(b.PanicThreshold); err != nil {
		return backend, err
	}
	var err error
	backend.Targets, err = targets(b.TargetsType, b.Targets)
	return backend, err
}

func checkPanic(threshold float64) error {
	if threshold < 0 || threshold > 100 {
		return httpapi.Invalid("backend.panic_threshold: must be between 0 and 100")
	}
	return nil
}

// targets checks all that can be known without the network product.
func targets(kind string, bodies []targetBody) ([]Target, error) {
	if err := checkOneOf("targets_type", kind, targetInstance, targetRaw); err != nil {
		return nil, err
	}
	if len(bodies) > maxTargets {
		return nil, httpapi.Invalid("targets: at most %d", maxTargets)
	}
	all := make([]Target, 0, len(bodies))
	for _, body := range bodies {
		meta := newMeta("", "")
		target := Target{ID: meta.ID, NICID: body.NICID, Port: body.Port, CreatedAt: meta.CreatedAt, UpdatedAt: meta.UpdatedAt}
		if err := checkPort("targets.port", body.Port); err != nil {
			return nil, err
		}
		if kind == targetInstance {
			if body.NICID == "" {
				return nil, httpapi.Invalid("targets.nic_id: Field required for targets of type instance")
			}
		} else {
			target.NICID = ""
			ip, err := netip.ParseAddr(body.IPAddress)
			if err != nil || !ip.Is4() || ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
				return nil, httpapi.Invalid("targets.ip_address: %q is not the IPv4 address of a host", body.IPAddress)
			}
			target.Address = ip
		}
		if slices.ContainsFunc(all, target.same) {
			return nil, httpapi.Invalid("targets: the same target is given twice")
		}
		all = append(all, target)
	}
	return all, nil
}

func (t Target) same(other Target) bool {
	return t.NICID == other.NICID && t.Address == other.Address && t.Port == other.Port
}

type aclBody struct {
	Name      string `json:"name"`
	EtherType string `json:"ethertype"`
	Protocol  string `json:"protocol"`
	Remote    string `json:"remote_ip_prefix"`
	Action    string `json:"action"`
}

func (b aclBody) acl() (ACL, error) {
	acl := ACL{ID: newMeta("", "").ID, Name: b.Name, EtherType: b.EtherType, Protocol: b.Protocol, Action: b.Action}
	if err := checkText("acl.name", b.Name, 0, 64); err != nil {
		return acl, err
	}
	if err := checkOneOf("acl.ethertype", b.EtherType, "IPv4", "IPv6"); err != nil {
		return acl, err
	}
	if err := checkOneOf("acl.protocol", b.Protocol, "tcp", "tls"); err != nil {
		return acl, err
	}
	if err := checkOneOf("acl.action", b.Action, Allow, Deny, DenyUnspecified); err != nil {
		return acl, err
	}
	remote, err := parseRemote(b.Remote)
	if err != nil || remote.Addr().Is4() != (b.EtherType == "IPv4") {
		return acl, httpapi.Invalid("acl.remote_ip_prefix: %q is not a range of %s addresses", b.Remote, b.EtherType)
	}
	acl.Remote = remote
	return acl, nil
}

// parseRemote accepts a range or a single address.
func parseRemote(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Prefix(address.BitLen())
	}
	remote, err := netip.ParsePrefix(text)
	return remote.Masked(), err
}

func acls(bodies []aclBody) ([]ACL, error) {
	if len(bodies) > maxACLs {
		return nil, httpapi.Invalid("acls: at most %d", maxACLs)
	}
	all := make([]ACL, 0, len(bodies))
	for _, body := range bodies {
		acl, err := body.acl()
		if err != nil {
			return nil, err
		}
		all = append(all, acl)
	}
	return all, nil
}
