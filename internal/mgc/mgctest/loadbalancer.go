package mgctest

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

type balancer struct {
	object
	mgc.LoadBalancer
	deletePublicIP bool
}

func (b *balancer) key() (id, name string) { return b.ID, b.Name }

// LoadBalancers returns all load balancers of Tenant.
func (c *Cloud) LoadBalancers() []mgc.LoadBalancer {
	return look(c, c.balancers, func(b *balancer) mgc.LoadBalancer { return copyOf(b.LoadBalancer) })
}

// copyOf shares nothing with the load balancer, which requests may change meanwhile.
func copyOf(lb mgc.LoadBalancer) mgc.LoadBalancer {
	if lb.PublicIP != nil {
		ip := *lb.PublicIP
		lb.PublicIP = &ip
	}
	lb.Listeners, lb.HealthChecks, lb.ACLs = slices.Clone(lb.Listeners), slices.Clone(lb.HealthChecks), slices.Clone(lb.ACLs)
	lb.Backends = slices.Clone(lb.Backends)
	for i := range lb.Backends {
		lb.Backends[i].Targets = slices.Clone(lb.Backends[i].Targets)
	}
	return lb
}

// FailLoadBalancer puts a load balancer into the failed state.
func (c *Cloud) FailLoadBalancer(id, details string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.balancers[id]; b != nil {
		b.Status, b.ErrorDetails, b.steps = mgc.LoadBalancerFailed, details, 0
	}
}

const lbBase = "/load-balancer/v0beta1/network-load-balancers"

func (c *Cloud) routeLoadBalancer() {
	c.handle("POST "+lbBase, c.createBalancer)
	c.handle("GET "+lbBase, func(rq call) {
		list(rq, "results", 10, c.balancers, "", func(b *balancer) mgc.LoadBalancer { return b.LoadBalancer })
	})
	c.handle("GET "+lbBase+"/{id}", func(rq call) {
		c.withBalancer(rq, func(b *balancer) { rq.ok(http.StatusOK, b.LoadBalancer) })
	})
	c.handle("DELETE "+lbBase+"/{id}", func(rq call) {
		c.withBalancer(rq, func(b *balancer) {
			if b.Status == mgc.LoadBalancerDeleting {
				rq.fail(http.StatusConflict, "conflict", "the load balancer is being deleted")
				return
			}
			b.Status = mgc.LoadBalancerDeleting
			c.start(&b.object, func() { c.dropBalancer(b) })
			b.deletePublicIP = rq.URL.Query().Get("delete_public_ip") == "true"
			rq.ok(http.StatusOK, nil)
		})
	})
	targets := lbBase + "/{id}/backends/{backend}/targets"
	c.handle("POST "+targets, func(rq call) { c.setTargets(rq, false) })
	c.handle("PUT "+targets, func(rq call) { c.setTargets(rq, true) })
	c.handle("DELETE "+targets+"/{target}", func(rq call) {
		c.changeBackend(rq, func(b *mgc.Backend) {
			n := len(b.Targets)
			b.Targets = slices.DeleteFunc(b.Targets, func(t mgc.Target) bool { return t.ID == rq.PathValue("target") })
			if len(b.Targets) == n {
				rq.notFound("target")
				return
			}
			rq.ok(http.StatusOK, nil)
		})
	})
	c.routeBalancerParts()
	c.handle("PUT "+lbBase+"/{id}/acls", func(rq call) {
		c.changeBalancer(rq, func(b *balancer) {
			var in struct {
				ACLs []mgc.ACL `json:"acls"`
			}
			if rq.decode(&in) {
				b.ACLs = withIDs(in.ACLs)
				rq.ok(http.StatusOK, nil)
			}
		})
	})
}

func (c *Cloud) withBalancer(rq call, f func(*balancer)) {
	with(rq, c.balancers, func() { rq.notFound("load balancer") }, f)
}

// changeBalancer refuses changes while another one is under way.
func (c *Cloud) changeBalancer(rq call, f func(*balancer)) {
	c.withBalancer(rq, func(b *balancer) {
		if b.Status != mgc.LoadBalancerRunning {
			rq.fail(http.StatusConflict, "conflict", "the load balancer is "+b.Status)
			return
		}
		f(b)
		b.Status = mgc.LoadBalancerUpdating
		c.start(&b.object, func() { b.Status = mgc.LoadBalancerRunning })
	})
}

func (c *Cloud) changeBackend(rq call, f func(*mgc.Backend)) {
	c.changeBalancer(rq, func(b *balancer) {
		for n := range b.Backends {
			if b.Backends[n].ID == rq.PathValue("backend") {
				f(&b.Backends[n])
				return
			}
		}
		rq.notFound("backend")
	})
}

func (c *Cloud) dropBalancer(b *balancer) {
	if b.deletePublicIP && b.PublicIP != nil {
		delete(c.publicIPs, b.PublicIP.ID)
	}
	delete(c.balancers, b.ID)
}

func (c *Cloud) createBalancer(rq call) {
	var in mgc.LoadBalancerCreate
	if !rq.decode(&in) {
		return
	}
	if len(in.Name) == 0 || len(in.Name) > 64 || len(in.Description) > 128 || len(in.Listeners) == 0 || len(in.Backends) == 0 {
		rq.fail(http.StatusUnprocessableEntity, "validation_error", "name, description, listeners or backends are not valid")
		return
	}
	if v := c.vpcs[in.VPCID]; v == nil || !v.of(rq.tenant) {
		rq.notFound("VPC")
		return
	}
	for _, be := range in.Backends {
		if !c.validTargets(rq, be.TargetsType, be.Targets) {
			return
		}
	}
	b := &balancer{object: c.newObject(rq.tenant)}
	b.LoadBalancer = mgc.LoadBalancer{ID: uuid.NewString(), Name: in.Name, Description: in.Description, Visibility: in.Visibility,
		VPCID: in.VPCID, Status: mgc.LoadBalancerCreating, ACLs: withIDs(in.ACLs)}
	if in.Visibility == mgc.VisibilityExternal {
		ip := c.publicIPs[in.PublicIPID]
		switch {
		case in.PublicIPID == "":
			ip = c.newPublicIP(rq.tenant, in.VPCID, in.Name)
		case ip == nil || !ip.of(rq.tenant):
			rq.notFound("public IP")
			return
		case ip.PortID != "" || c.publicIPInUse(ip.ID):
			rq.fail(http.StatusConflict, "conflict", "the public IP is in use")
			return
		}
		b.PublicIP = &mgc.LoadBalancerPublicIP{ID: ip.ID, IPAddress: ip.PublicIP.PublicIP, ExternalID: ip.ID}
	}
	checks := map[string]string{}
	for _, hc := range in.HealthChecks {
		hc.ID = uuid.NewString()
		checks[hc.Name] = hc.ID
		b.HealthChecks = append(b.HealthChecks, hc)
	}
	backends := map[string]string{}
	for _, be := range in.Backends {
		id := uuid.NewString()
		backends[be.Name] = id
		b.Backends = append(b.Backends, mgc.Backend{ID: id, Name: be.Name, HealthCheckID: checks[be.HealthCheckName],
			BalanceAlgorithm: be.BalanceAlgorithm, TargetsType: be.TargetsType, Targets: c.newTargets(be.Targets)})
	}
	for _, l := range in.Listeners {
		if backends[l.BackendName] == "" {
			rq.fail(http.StatusUnprocessableEntity, "validation_error", "backend_name: "+l.BackendName+" is not a backend")
			return
		}
		b.Listeners = append(b.Listeners, mgc.Listener{ID: uuid.NewString(), Name: l.Name, BackendID: backends[l.BackendName], Protocol: l.Protocol, Port: l.Port})
	}
	c.balancers[b.ID] = b
	c.start(&b.object, func() { b.IPAddress, b.Status = c.allocate("172.26.240.0/20"), mgc.LoadBalancerRunning })
	rq.ok(http.StatusOK, map[string]string{"id": b.ID})
}

// validTargets refuses a request with interfaces that are not in the VPC (any more), as the local cloud does.
func (c *Cloud) validTargets(rq call, kind string, targets []mgc.Target) bool {
	for _, t := range targets {
		if kind == mgc.TargetsInstance && c.ports[t.NICID] == nil {
			rq.fail(http.StatusUnprocessableEntity, "validation_error", "targets.nic_id: the VPC has no port "+t.NICID)
			return false
		}
	}
	return true
}

func (c *Cloud) setTargets(rq call, replace bool) {
	var in struct {
		TargetsType string       `json:"targets_type"`
		Targets     []mgc.Target `json:"targets"`

		HealthCheckID string `json:"health_check_id"`
	}
	if !rq.decode(&in) {
		return
	}
	if !c.validTargets(rq, in.TargetsType, in.Targets) {
		return
	}
	c.changeBackend(rq, func(b *mgc.Backend) {
		if replace {
			b.Targets = nil
		}
		if in.HealthCheckID != "" {
			b.HealthCheckID = in.HealthCheckID
		}
		b.Targets = append(b.Targets, c.newTargets(in.Targets)...)
		rq.ok(http.StatusOK, map[string]string{"id": b.ID})
	})
}

func (c *Cloud) publicIPInUse(id string) bool {
	for _, b := range c.balancers {
		if b.PublicIP != nil && b.PublicIP.ID == id {
			return true
		}
	}
	return false
}

func withIDs(acls []mgc.ACL) []mgc.ACL {
	for n := range acls {
		acls[n].ID = uuid.NewString()
	}
	return acls
}

// newTargets fills in ids and the addresses of network interfaces.
func (c *Cloud) newTargets(targets []mgc.Target) []mgc.Target {
	for n := range targets {
		targets[n].ID = uuid.NewString()
		if p := c.ports[targets[n].NICID]; p != nil {
			targets[n].IPAddress = p.IPAddress[0].IPAddress
		}
	}
	return targets
}
