package loadbalancer

import (
	"net/netip"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

func list[T, V any](items []T, view func(T) V) []V {
	views := make([]V, 0, len(items)) // never null
	for _, item := range items {
		views = append(views, view(item))
	}
	return views
}

// The contract knows no null: what is not set is left out.

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

type pageView[V any] struct {
	Results []V      `json:"results"`
	Meta    pageMeta `json:"meta"`
}

type pageMeta struct {
	Links httpapi.Links `json:"links"`
	Page  struct {
		Count  int `json:"count"`
		Limit  int `json:"limit"`
		Offset int `json:"offset"`
		Total  int `json:"total"`
	} `json:"page"`
}

// MetaView is common to the parts of a load balancer.
type MetaView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreatedAt   string `json:"created_at"`
	UpdatedAt   string `json:"updated_at"`
}

func (m Meta) view() MetaView { return MetaView(m) }

type listenerView struct {
	MetaView
	BackendID     string `json:"backend_id"`
	Protocol      string `json:"protocol" enum:"tcp,tls"`
	Port          int    `json:"port"`
	CertificateID string `json:"tls_certificate_id"`
}

func viewListener(l Listener) listenerView {
	v := listenerView{MetaView: l.view(), BackendID: l.BackendID, Protocol: "tcp", Port: l.Port, CertificateID: l.CertificateID}
	if l.TLS {
		v.Protocol = "tls"
	}
	return v
}

type backendView struct {
	MetaView
	HealthCheckID    string       `json:"health_check_id,omitempty"`
	BalanceAlgorithm string       `json:"balance_algorithm" enum:"round_robin"`
	PanicThreshold   float64      `json:"panic_threshold"`
	CloseOnFailure   bool         `json:"close_connections_on_host_health_failure"`
	TargetsType      string       `json:"targets_type" enum:"instance,raw"`
	Targets          []targetView `json:"targets"`
}

func viewBackend(b Backend) backendView {
	return backendView{MetaView: b.view(), HealthCheckID: b.HealthCheckID, BalanceAlgorithm: "round_robin", PanicThreshold: b.PanicThreshold,
		CloseOnFailure: b.CloseOnFailure, TargetsType: b.TargetsType, Targets: list(b.Targets, viewTarget)}
}

type targetView struct {
	ID        string `json:"id"`
	IPAddress string `json:"ip_address,omitempty"`
	NICID     string `json:"nic_id,omitempty"`
	Port      int    `json:"port"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

func viewTarget(t Target) targetView {
	return targetView{ID: t.ID, IPAddress: addressText(t.Address), NICID: t.NICID, Port: t.Port, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt}
}

type healthCheckView struct {
	MetaView
	Protocol     string `json:"protocol" enum:"tcp,http"`
	Path         string `json:"path"`
	Port         int    `json:"port"`
	Status       int    `json:"healthy_status_code"`
	Interval     int    `json:"interval_seconds"`
	Timeout      int    `json:"timeout_seconds"`
	InitialDelay int    `json:"initial_delay_seconds"`
	Rise         int    `json:"healthy_threshold_count"`
	Fall         int    `json:"unhealthy_threshold_count"`
}

func viewHealthCheck(c HealthCheck) healthCheckView {
	return healthCheckView{MetaView: c.view(), Protocol: c.Protocol, Path: c.Path, Port: c.Port, Status: c.Status, Interval: c.Interval,
		Timeout: c.Timeout, InitialDelay: c.InitialDelay, Rise: c.Rise, Fall: c.Fall}
}

type certificateView struct {
	MetaView
	Expires string `json:"expiration_date"`
}

func viewCertificate(c Certificate) certificateView {
	return certificateView{MetaView: c.view(), Expires: c.Expires}
}

type aclView struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	EtherType string `json:"ethertype"`
	Protocol  string `json:"protocol"`
	Remote    string `json:"remote_ip_prefix"`
	Action    string `json:"action" enum:"ALLOW,DENY,DENY_UNSPECIFIED"`
}

func viewACL(a ACL) aclView {
	return aclView{ID: a.ID, Name: a.Name, EtherType: a.EtherType, Protocol: a.Protocol, Remote: a.Remote.String(), Action: a.Action}
}

type publicIPView struct {
	ID         string `json:"id"`
	IPAddress  string `json:"ip_address,omitempty"`
	ExternalID string `json:"external_id"`
}

type lbView struct {
	MetaView
	ProjectType         string            `json:"project_type"`
	Type                string            `json:"type" enum:"proxy"`
	Visibility          string            `json:"visibility" enum:"external,internal"`
	Status              string            `json:"status" enum:"creating,running,updating,deleting"`
	VPCID               string            `json:"vpc_id"`
	SubnetPoolID        string            `json:"subnet_pool_id"`
	IPAddress           string            `json:"ip_address,omitempty"`
	PublicIP            *publicIPView     `json:"public_ip,omitempty"`
	PublicIPs           []publicIPView    `json:"public_ips"`
	Listeners           []listenerView    `json:"listeners"`
	Backends            []backendView     `json:"backends"`
	HealthChecks        []healthCheckView `json:"health_checks"`
	ACLs                []aclView         `json:"acls"`
	TLSCertificates     []certificateView `json:"tls_certificates"`
	LastOperationStatus string            `json:"last_operation_status"`
	ErrorDetails        string            `json:"error_details,omitempty"`
}

func viewOf(lb LoadBalancer) lbView {
	doc := lb.Document
	v := lbView{
		MetaView:    MetaView{ID: lb.ID, Name: lb.Name, Description: doc.Description, CreatedAt: lb.CreatedAt, UpdatedAt: lb.UpdatedAt},
		ProjectType: "default", Type: "proxy", Visibility: doc.Visibility, Status: lb.Status, VPCID: lb.VPCID, SubnetPoolID: doc.SubnetPoolID,
		IPAddress: addressText(doc.VIP), PublicIPs: []publicIPView{}, Listeners: list(doc.Listeners, viewListener),
		Backends: list(doc.Backends, viewBackend), HealthChecks: list(doc.HealthChecks, viewHealthCheck), ACLs: list(doc.ACLs, viewACL),
		TLSCertificates: list(doc.Certificates, viewCertificate), LastOperationStatus: lb.Status, ErrorDetails: lb.Error,
	}
	if doc.PublicIPID != "" {
		v.PublicIP = &publicIPView{ID: doc.PublicIPID, IPAddress: addressText(doc.PublicIP), ExternalID: doc.PublicIPID}
		v.PublicIPs = append(v.PublicIPs, *v.PublicIP)
	}
	return v
}
