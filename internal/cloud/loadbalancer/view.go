package loadbalancer

import (
	"maps"
	"net/netip"
)

type object = map[string]any

// given drops the members that are not set: the contract knows no null.
func given(view object) object {
	maps.DeleteFunc(view, func(_ string, value any) bool { return value == nil })
	return view
}

// orNothing is for members that given drops when they are empty.
func orNothing(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func list[T any](items []T, view func(T) object) []object {
	views := make([]object, 0, len(items)) // never null
	for _, item := range items {
		views = append(views, view(item))
	}
	return views
}

func addressText(a netip.Addr) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}

func (m Meta) view() object {
	return object{"id": m.ID, "name": m.Name, "description": m.Description, "created_at": m.CreatedAt, "updated_at": m.UpdatedAt}
}

func listenerView(l Listener) object {
	view := l.view()
	view["tls_certificate_id"], view["backend_id"], view["protocol"], view["port"] = l.CertificateID, l.BackendID, "tcp", l.Port
	if l.TLS {
		view["protocol"] = "tls"
	}
	return view
}

func backendView(b Backend) object {
	view := b.view()
	view["health_check_id"], view["balance_algorithm"], view["panic_threshold"] = orNothing(b.HealthCheckID), "round_robin", b.PanicThreshold
	view["close_connections_on_host_health_failure"], view["targets_type"] = b.CloseOnFailure, b.TargetsType
	view["targets"] = list(b.Targets, targetView)
	return given(view)
}

func targetView(t Target) object {
	view := object{"id": t.ID, "ip_address": addressText(t.Address), "port": t.Port, "created_at": t.CreatedAt, "updated_at": t.UpdatedAt}
	if t.NICID != "" {
		view["nic_id"] = t.NICID
	}
	return given(view)
}

func healthCheckView(c HealthCheck) object {
	view := c.view()
	for name, value := range (object{
		"protocol": c.Protocol, "path": c.Path, "port": c.Port, "healthy_status_code": c.Status, "interval_seconds": c.Interval,
		"timeout_seconds": c.Timeout, "initial_delay_seconds": c.InitialDelay, "healthy_threshold_count": c.Rise, "unhealthy_threshold_count": c.Fall,
	}) {
		view[name] = value
	}
	return view
}

func aclView(a ACL) object {
	return object{"id": a.ID, "name": a.Name, "ethertype": a.EtherType, "protocol": a.Protocol,
		"remote_ip_prefix": a.Remote.String(), "action": a.Action}
}

func lbView(lb LoadBalancer) object {
	doc := lb.Document
	var public any
	publics := []object{}
	if doc.PublicIPID != "" {
		ip := object{"id": doc.PublicIPID, "ip_address": addressText(doc.PublicIP), "external_id": doc.PublicIPID}
		public, publics = ip, append(publics, ip)
	}
	return given(object{
		"id": lb.ID, "name": lb.Name, "description": doc.Description, "project_type": "default", "type": "proxy",
		"visibility": doc.Visibility, "status": lb.Status, "vpc_id": lb.VPCID, "subnet_pool_id": doc.SubnetPoolID,
		"ip_address": addressText(doc.VIP), "public_ip": public, "public_ips": publics,
		"listeners": list(doc.Listeners, listenerView), "backends": list(doc.Backends, backendView),
		"health_checks": list(doc.HealthChecks, healthCheckView), "acls": list(doc.ACLs, aclView), "tls_certificates": list(doc.Certificates, certificateView),
		"last_operation_status": lb.Status, "error_details": orNothing(lb.Error),
		"created_at": lb.CreatedAt, "updated_at": lb.UpdatedAt,
	})
}
