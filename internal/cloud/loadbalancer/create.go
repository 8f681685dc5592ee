package loadbalancer

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type createBody struct {
	Name            string            `json:"name"`
	Description     string            `json:"description"`
	Type            string            `json:"type"`
	Visibility      string            `json:"visibility"`
	VPCID           string            `json:"vpc_id"`
	SubnetPoolID    string            `json:"subnet_pool_id"`
	PublicIPID      string            `json:"public_ip_id"`
	Listeners       []listenerBody    `json:"listeners"`
	Backends        []backendBody     `json:"backends"`
	HealthChecks    []healthCheckBody `json:"health_checks"`
	ACLs            []aclBody         `json:"acls"`
	TLSCertificates []certificateBody `json:"tls_certificates"`
}

func newMeta(name, description string) Meta {
	now := store.Now()
	return Meta{ID: uuid.NewString(), Name: name, Description: description, CreatedAt: now, UpdatedAt: now}
}

// Visibilities.
const (
	internal = "internal"
	external = "external"
)

// loadBalancer checks the body and builds what it asks for; parts refer to each other by name.
func (b createBody) loadBalancer(tenantID string) (LoadBalancer, error) {
	meta := newMeta(b.Name, b.Description)
	lb := LoadBalancer{ID: meta.ID, TenantID: tenantID, VPCID: b.VPCID, Name: b.Name, Status: StatusCreating, Generation: 1,
		CreatedAt: meta.CreatedAt, UpdatedAt: meta.UpdatedAt,
		Document: Document{Description: b.Description, Visibility: b.Visibility, SubnetPoolID: b.SubnetPoolID}}
	if err := checkNames("load_balancer", b.Name, b.Description); err != nil {
		return lb, err
	}
	if err := checkOneOf("type", b.Type, "", "proxy"); err != nil {
		return lb, err
	}
	if err := checkOneOf("visibility", b.Visibility, internal, external); err != nil {
		return lb, err
	}
	if b.Visibility == internal && b.PublicIPID != "" {
		return lb, httpapi.Invalid("public_ip_id: an internal load balancer has no public IP")
	}
	if len(b.Listeners) == 0 || len(b.Backends) == 0 {
		return lb, httpapi.Invalid("listeners and backends: at least one of each is required")
	}
	if len(b.Listeners) > maxParts || len(b.Backends) > maxParts || len(b.HealthChecks) > maxParts {
		return lb, httpapi.Invalid("listeners, backends and health_checks: at most %d of each", maxParts)
	}
	return lb, b.parts(&lb.Document)
}

func (b createBody) parts(doc *Document) error {
	for _, body := range b.HealthChecks {
		check, err := body.healthCheck()
		if err != nil {
			return err
		}
		if err := doc.addHealthCheck(check); err != nil {
			return err
		}
	}
	for _, body := range b.Backends {
		backend, err := body.backend()
		if err != nil {
			return err
		}
		if err := doc.addBackend(backend, body); err != nil {
			return err
		}
	}
	for _, body := range b.TLSCertificates {
		c, err := body.certificate()
		if err != nil {
			return err
		}
		if err := doc.addCertificate(c); err != nil {
			return err
		}
	}
	for _, body := range b.Listeners {
		listener, err := body.listener()
		if err != nil {
			return err
		}
		if err := doc.setCertificate(&listener, doc.certificateNamed(body.TLSCertificateName)); err != nil {
			return err
		}
		i := slices.IndexFunc(doc.Backends, func(backend Backend) bool { return backend.Name == body.BackendName })
		if i < 0 {
			return httpapi.Invalid("listener %s: there is no backend named %q", body.Name, body.BackendName)
		}
		listener.BackendID = doc.Backends[i].ID
		if err := doc.addListener(listener); err != nil {
			return err
		}
	}
	var err error
	doc.ACLs, err = acls(b.ACLs)
	return err
}

func (d *Document) addHealthCheck(check HealthCheck) error {
	if slices.ContainsFunc(d.HealthChecks, func(other HealthCheck) bool { return other.Name == check.Name }) {
		return httpapi.Conflict("there is already a health check named %q", check.Name)
	}
	d.HealthChecks = append(d.HealthChecks, check)
	return nil
}

func (d *Document) addBackend(backend Backend, body backendBody) error {
	if slices.ContainsFunc(d.Backends, func(other Backend) bool { return other.Name == backend.Name }) {
		return httpapi.Conflict("there is already a backend named %q", backend.Name)
	}
	if body.HealthCheckID != "" || body.HealthCheckName != "" {
		i := slices.IndexFunc(d.HealthChecks, func(c HealthCheck) bool {
			return c.ID == body.HealthCheckID || body.HealthCheckID == "" && c.Name == body.HealthCheckName
		})
		if i < 0 {
			return httpapi.Invalid("backend %s: there is no health check %q", backend.Name, body.HealthCheckID+body.HealthCheckName)
		}
		backend.HealthCheckID = d.HealthChecks[i].ID
	}
	d.Backends = append(d.Backends, backend)
	return nil
}

func (d *Document) addListener(listener Listener) error {
	for _, other := range d.Listeners {
		if other.Name == listener.Name {
			return httpapi.Conflict("there is already a listener named %q", listener.Name)
		}
		if other.Port == listener.Port {
			return httpapi.Conflict("listener %s already has the port %d", other.Name, other.Port)
		}
	}
	d.Listeners = append(d.Listeners, listener)
	return nil
}

// create records a load balancer with its addresses, all or nothing.
func (s *Service) create(ctx context.Context, lb LoadBalancer, publicIPID string) error {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := s.cfg.Network.CheckVPC(ctx, tx, lb.TenantID, lb.VPCID); err != nil {
			return err
		}
		n, err := store.Count(ctx, tx, `SELECT count(*) FROM lb_load_balancers WHERE tenant_id = ? AND name = ?`, lb.TenantID, lb.Name)
		if err != nil {
			return err
		}
		if n > 0 {
			return httpapi.Conflict("a load balancer named %q already exists", lb.Name)
		}
		if err := s.checkQuota(ctx, tx, lb.TenantID); err != nil {
			return err
		}
		for _, backend := range lb.Document.Backends {
			if err := s.checkTargets(ctx, tx, lb.VPCID, backend.Targets); err != nil {
				return err
			}
		}
		if lb.Document.VIP, err = s.cfg.Network.AllocateVIP(ctx, tx, lb.TenantID, lb.VPCID, lb.ID); err != nil {
			return err
		}
		if lb.Document.Visibility == external {
			ip, err := s.cfg.Network.AcquirePublicIP(ctx, tx, lb.TenantID, lb.VPCID, publicIPID, lb.ID)
			if err != nil {
				return err
			}
			lb.Document.PublicIPID, lb.Document.PublicIP = ip.ID, ip.Address
		}
		document, err := json.Marshal(lb.Document)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO lb_load_balancers (`+columns+`) VALUES (?, ?, ?, ?, ?, '', 0, ?, ?, ?, ?)`,
			lb.ID, lb.TenantID, lb.VPCID, lb.Name, lb.Status, lb.Generation, string(document), lb.CreatedAt, lb.UpdatedAt)
		return err
	})
	if err == nil {
		s.pool.Add(lb.ID)
	}
	return err
}

// checkQuota refuses one more load balancer of a tenant that has as many as it may.
func (s *Service) checkQuota(ctx context.Context, q store.Queryer, tenantID string) error {
	if s.cfg.Quota == 0 {
		return nil
	}
	have, err := store.Count(ctx, q, `SELECT count(*) FROM lb_load_balancers WHERE tenant_id = ?`, tenantID)
	if err == nil && int64(have) >= s.cfg.Quota {
		return httpapi.OverQuota("load balancers", have, s.cfg.Quota)
	}
	return err
}

// checkTargets requires the ports that are targets to be in the load balancer's VPC.
func (s *Service) checkTargets(ctx context.Context, q store.Queryer, vpcID string, targets []Target) error {
	for _, target := range targets {
		if target.NICID == "" {
			continue
		}
		if _, err := s.cfg.Network.PortAddress(ctx, q, vpcID, target.NICID); err != nil {
			if isNotFound(err) {
				return httpapi.Invalid("targets.nic_id: the VPC has no port %s", target.NICID)
			}
			return err
		}
	}
	return nil
}
