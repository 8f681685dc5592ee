package mgc

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Statuses of a LoadBalancer.
const (
	LoadBalancerCreating = "creating"
	LoadBalancerUpdating = "updating"
	LoadBalancerDeleting = "deleting"
	LoadBalancerRunning  = "running"
	LoadBalancerFailed   = "failed"
	LoadBalancerDeleted  = "deleted"
)

// Values of the load balancer's enumerations.
const (
	VisibilityExternal = "external"
	VisibilityInternal = "internal"
	TargetsInstance    = "instance"
	TargetsRaw         = "raw"
	BalanceRoundRobin  = "round_robin"
	ACLAllow           = "ALLOW"
)

// LoadBalancer is a TCP proxy with a public or VPC address.
type LoadBalancer struct {
	ID                  string                `json:"id"`
	Name                string                `json:"name"`
	Description         string                `json:"description"`
	Visibility          string                `json:"visibility"`
	Status              string                `json:"status"`
	VPCID               string                `json:"vpc_id"`
	IPAddress           string                `json:"ip_address"`
	PublicIP            *LoadBalancerPublicIP `json:"public_ip"`
	Listeners           []Listener            `json:"listeners"`
	Backends            []Backend             `json:"backends"`
	HealthChecks        []HealthCheck         `json:"health_checks"`
	ACLs                []ACL                 `json:"acls"`
	LastOperationStatus string                `json:"last_operation_status"`
	ErrorDetails        string                `json:"error_details"`
}

// LoadBalancerPublicIP is the public address of a load balancer.
type LoadBalancerPublicIP struct {
	ID         string `json:"id"`
	IPAddress  string `json:"ip_address"`
	ExternalID string `json:"external_id"`
}

// Listener accepts connections on a port.
type Listener struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	BackendID string `json:"backend_id"`
	// Protocol is tcp or tls.
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
}

// Backend is a set of targets.
type Backend struct {
	ID               string   `json:"id"`
	Name             string   `json:"name"`
	HealthCheckID    string   `json:"health_check_id"`
	BalanceAlgorithm string   `json:"balance_algorithm"`
	TargetsType      string   `json:"targets_type"`
	Targets          []Target `json:"targets"`
}

// Target of a backend: NICID for targets of type instance, IPAddress for raw ones.
type Target struct {
	ID        string `json:"id,omitempty"`
	NICID     string `json:"nic_id,omitempty"`
	IPAddress string `json:"ip_address,omitempty"`
	Port      int    `json:"port"`
}

// HealthCheck of a backend's targets; times in seconds, the cloud's defaults where 0.
type HealthCheck struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// Protocol is tcp or http.
	Protocol                string `json:"protocol"`
	Path                    string `json:"path,omitempty"`
	Port                    int    `json:"port"`
	IntervalSeconds         int    `json:"interval_seconds,omitempty"`
	TimeoutSeconds          int    `json:"timeout_seconds,omitempty"`
	InitialDelaySeconds     int    `json:"initial_delay_seconds,omitempty"`
	HealthyThresholdCount   int    `json:"healthy_threshold_count,omitempty"`
	UnhealthyThresholdCount int    `json:"unhealthy_threshold_count,omitempty"`
}

// ACL says who may connect.
type ACL struct {
	ID             string `json:"id,omitempty"`
	Name           string `json:"name,omitempty"`
	EtherType      string `json:"ethertype"`
	Protocol       string `json:"protocol"`
	RemoteIPPrefix string `json:"remote_ip_prefix"`
	// Action is ALLOW, DENY or DENY_UNSPECIFIED.
	Action string `json:"action"`
}

// LoadBalancerCreate is the wanted load balancer; its children refer to each other by name.
type LoadBalancerCreate struct {
	// Name at most 64, Description at most 128 characters.
	Name         string           `json:"name"`
	Description  string           `json:"description,omitempty"`
	Type         string           `json:"type,omitempty"`
	Visibility   string           `json:"visibility"`
	VPCID        string           `json:"vpc_id"`
	SubnetPoolID string           `json:"subnet_pool_id,omitempty"`
	PublicIPID   string           `json:"public_ip_id,omitempty"`
	Listeners    []ListenerCreate `json:"listeners"`
	Backends     []BackendCreate  `json:"backends"`
	HealthChecks []HealthCheck    `json:"health_checks,omitempty"`
	ACLs         []ACL            `json:"acls,omitempty"`
}

// ListenerCreate is a wanted listener of a new load balancer.
type ListenerCreate struct {
	Name        string `json:"name"`
	BackendName string `json:"backend_name"`
	Protocol    string `json:"protocol"`
	Port        int    `json:"port"`
}

// BackendCreate is a wanted backend of a new load balancer.
type BackendCreate struct {
	Name             string   `json:"name"`
	HealthCheckName  string   `json:"health_check_name,omitempty"`
	BalanceAlgorithm string   `json:"balance_algorithm"`
	TargetsType      string   `json:"targets_type"`
	Targets          []Target `json:"targets"`
}

const lbPath = "/v0beta1/network-load-balancers"

func lbURL(id string) string { return lbPath + "/" + url.PathEscape(id) }

func targetsURL(id, backendID string) string {
	return lbURL(id) + "/backends/" + url.PathEscape(backendID) + "/targets"
}

// Create starts the creation and returns the new id. Names are not unique: look for the load balancer first.
func (c *LoadBalancerClient) Create(ctx context.Context, in LoadBalancerCreate) (string, error) {
	return c.create(ctx, request{path: lbPath, in: in})
}

// Get returns one load balancer.
func (c *LoadBalancerClient) Get(ctx context.Context, id string) (*LoadBalancer, error) {
	return fetch[LoadBalancer](ctx, c.caller, lbURL(id))
}

// List returns all load balancers of the tenant.
func (c *LoadBalancerClient) List(ctx context.Context) ([]LoadBalancer, error) {
	return collect(func(offset int) ([]LoadBalancer, int, error) {
		var out struct {
			Results []LoadBalancer `json:"results"`
			Meta    page           `json:"meta"`
		}
		err := c.get(ctx, lbPath, pageQuery(offset), &out)
		return out.Results, out.Meta.Page.Total, err
	})
}

// Delete starts the deletion; done once Get answers not found or the status is deleted.
func (c *LoadBalancerClient) Delete(ctx context.Context, id string, deletePublicIP bool) error {
	return c.delete(ctx, lbURL(id), url.Values{"delete_public_ip": {strconv.FormatBool(deletePublicIP)}})
}

// Update changes name and description.
func (c *LoadBalancerClient) Update(ctx context.Context, id, name, description string) error {
	in := struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}{name, description}
	return c.do(ctx, request{method: http.MethodPut, path: lbURL(id), in: in})
}

// CreateListener adds a listener for a backend and returns its id; BackendName is not used.
func (c *LoadBalancerClient) CreateListener(ctx context.Context, id, backendID string, in ListenerCreate) (string, error) {
	body := struct {
		Name     string `json:"name"`
		Protocol string `json:"protocol"`
		Port     int    `json:"port"`
	}{in.Name, in.Protocol, in.Port}
	return c.create(ctx, request{path: lbURL(id) + "/listeners", query: url.Values{"backend_id": {backendID}}, in: body})
}

// DeleteListener removes a listener; its connections may be cut.
func (c *LoadBalancerClient) DeleteListener(ctx context.Context, id, listenerID string) error {
	return c.delete(ctx, lbURL(id)+"/listeners/"+url.PathEscape(listenerID), nil)
}

// CreateBackend adds a backend and returns its id; its health check is named by HealthCheckName.
func (c *LoadBalancerClient) CreateBackend(ctx context.Context, id string, in BackendCreate) (string, error) {
	return c.create(ctx, request{path: lbURL(id) + "/backends", in: in})
}

// DeleteBackend removes a backend that no listener uses.
func (c *LoadBalancerClient) DeleteBackend(ctx context.Context, id, backendID string) error {
	return c.delete(ctx, lbURL(id)+"/backends/"+url.PathEscape(backendID), nil)
}

// CreateHealthCheck adds a health check and returns its id.
func (c *LoadBalancerClient) CreateHealthCheck(ctx context.Context, id string, in HealthCheck) (string, error) {
	return c.create(ctx, request{path: lbURL(id) + "/health-checks", in: in})
}

// UpdateHealthCheck replaces everything but the name.
func (c *LoadBalancerClient) UpdateHealthCheck(ctx context.Context, id, checkID string, in HealthCheck) error {
	in.ID, in.Name = "", ""
	return c.do(ctx, request{method: http.MethodPut, path: lbURL(id) + "/health-checks/" + url.PathEscape(checkID), in: in})
}

// DeleteHealthCheck removes a health check that no backend uses.
func (c *LoadBalancerClient) DeleteHealthCheck(ctx context.Context, id, checkID string) error {
	return c.delete(ctx, lbURL(id)+"/health-checks/"+url.PathEscape(checkID), nil)
}

type targetsBody struct {
	TargetsType   string   `json:"targets_type"`
	Targets       []Target `json:"targets"`
	HealthCheckID string   `json:"health_check_id,omitempty"`
}

// CreateBackendTargets adds targets to a backend.
func (c *LoadBalancerClient) CreateBackendTargets(ctx context.Context, id, backendID, targetsType string, targets []Target) error {
	return c.do(ctx, request{method: http.MethodPost, path: targetsURL(id, backendID),
		in: targetsBody{TargetsType: targetsType, Targets: targets}})
}

// ReplaceBackendTargets sets all targets of a backend and its health check ("" for none).
func (c *LoadBalancerClient) ReplaceBackendTargets(ctx context.Context, id, backendID, targetsType string, targets []Target, healthCheckID string) error {
	if targets == nil {
		targets = []Target{} // the contract wants a list
	}
	return c.do(ctx, request{method: http.MethodPut, path: targetsURL(id, backendID),
		in: targetsBody{TargetsType: targetsType, Targets: targets, HealthCheckID: healthCheckID}})
}

// DeleteBackendTarget removes one target.
func (c *LoadBalancerClient) DeleteBackendTarget(ctx context.Context, id, backendID, targetID string) error {
	return c.delete(ctx, targetsURL(id, backendID)+"/"+url.PathEscape(targetID), nil)
}

// ReplaceACLs sets all ACLs; none lets everyone in.
func (c *LoadBalancerClient) ReplaceACLs(ctx context.Context, id string, acls []ACL) error {
	if acls == nil {
		acls = []ACL{}
	}
	in := struct {
		ACLs []ACL `json:"acls"`
	}{acls}
	return c.do(ctx, request{method: http.MethodPut, path: lbURL(id) + "/acls", in: in})
}
