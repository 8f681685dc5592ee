package loadbalancer

import (
	"strings"
	"testing"
)

const validBody = `{"name":"one","visibility":"external","vpc_id":"` + testVPC + `",
	"health_checks":[{"name":"alive","protocol":"http","path":"/healthz","port":8080}],
	"backends":[{"name":"web","balance_algorithm":"round_robin","targets_type":"instance","health_check_name":"alive","targets":[{"nic_id":"` + testNIC + `","port":80}]}],
	"listeners":[{"name":"http","backend_name":"web","protocol":"tcp","port":80}],
	"acls":[{"ethertype":"IPv4","protocol":"tcp","remote_ip_prefix":"10.0.0.0/8","action":"ALLOW"}]}`

func TestAPIJourney(t *testing.T) {
	a := newAPI(t)
	lb := a.id("POST", "", validBody)
	view := a.call("GET", "/"+lb, "", 200)
	if view["status"] != StatusCreating || view["ip_address"] != "172.26.0.9" || view["public_ip"].(object)["ip_address"] != "198.51.100.9" {
		t.Errorf("new load balancer: %v", view)
	}
	a.call("POST", "", validBody, 409) // a repeated request makes no second one
	a.call("POST", "", strings.Replace(validBody, `"external"`, `"internal"`, 1), 409)
	internal := a.id("POST", "", strings.Replace(strings.Replace(validBody, `"external"`, `"internal"`, 1), `"one"`, `"two"`, 1))
	if view := a.call("GET", "/"+internal, "", 200); view["public_ip"] != nil {
		t.Errorf("an internal load balancer has the public IP %v", view["public_ip"])
	}
	page := a.call("GET", "?_limit=1&_sort=name:asc", "", 200)
	if total := page["meta"].(object)["page"].(object)["total"]; total != 2.0 || len(page["results"].([]any)) != 1 {
		t.Errorf("a page of one: %v", page["meta"])
	}
	a.call("PUT", "/"+lb, `{"name":"two"}`, 409)
	a.call("PUT", "/"+lb, `{"description":"changed"}`, 200)

	check := a.id("POST", "/"+lb+"/health-checks", `{"name":"port","protocol":"tcp","port":90}`)
	a.call("GET", "/"+lb+"/health-checks", "", 200)
	if view := a.call("GET", "/"+lb+"/health-checks/"+check, "", 200); view["interval_seconds"] != 30.0 || view["healthy_threshold_count"] != 8.0 {
		t.Errorf("published defaults: %v", view)
	}
	a.call("PUT", "/"+lb+"/health-checks/"+check, `{"protocol":"tcp","port":91,"interval_seconds":1}`, 200)

	backend := a.id("POST", "/"+lb+"/backends", `{"name":"raw","balance_algorithm":"round_robin","targets_type":"raw","health_check_id":"`+check+`"}`)
	a.call("DELETE", "/"+lb+"/health-checks/"+check, "null", 409)
	targets := "/" + lb + "/backends/" + backend + "/targets"
	a.call("POST", targets, `{"targets_type":"raw","targets":[{"ip_address":"172.26.0.7","port":80},{"ip_address":"172.26.0.8","port":80}]}`, 200)
	a.call("POST", targets, `{"targets_type":"raw","targets":[{"ip_address":"172.26.0.8","port":80}]}`, 200) // again
	a.call("POST", targets, `{"targets_type":"instance","targets":[{"nic_id":"`+testNIC+`","port":80}]}`, 409)
	before := a.part(lb, "backends", 1)["targets"].([]any)
	a.call("PUT", targets, `{"targets_type":"raw","targets":[{"ip_address":"172.26.0.8","port":80}]}`, 200)
	after := a.part(lb, "backends", 1)["targets"].([]any)
	if len(before) != 2 || len(after) != 1 || after[0].(object)["id"] != before[1].(object)["id"] {
		t.Errorf("targets before %v and after the replacement %v", before, after)
	}
	if a.part(lb, "backends", 1)["health_check_id"] != check {
		t.Error("a replacement that says nothing of the health check changed it")
	}
	a.call("DELETE", targets+"/"+after[0].(object)["id"].(string), "null", 200)
	a.call("PUT", "/"+lb+"/backends/"+backend, `{"health_check_id":null,"close_connections_on_host_health_failure":true}`, 200)
	a.call("GET", "/"+lb+"/backends/"+backend, "", 200)
	a.call("GET", "/"+lb+"/backends", "", 200)
	a.call("DELETE", "/"+lb+"/health-checks/"+check, "null", 204)

	listener := a.id("POST", "/"+lb+"/listeners?backend_id="+backend, `{"name":"raw","protocol":"tcp","port":81}`)
	a.call("GET", "/"+lb+"/listeners/"+listener, "", 200)
	a.call("GET", "/"+lb+"/listeners", "", 200)
	a.call("PUT", "/"+lb+"/listeners/"+listener, `{"name":"renamed"}`, 200)
	a.call("PUT", "/"+lb+"/listeners/"+listener, `{"name":"http"}`, 409)
	a.call("DELETE", "/"+lb+"/backends/"+backend, "null", 409)
	a.call("DELETE", "/"+lb+"/listeners/"+listener, "null", 200)
	a.call("DELETE", "/"+lb+"/backends/"+backend, "null", 200)

	a.call("POST", "/"+lb+"/acls", `{"ethertype":"IPv4","protocol":"tcp","remote_ip_prefix":"192.168.0.1","action":"DENY"}`, 200)
	a.call("DELETE", "/"+lb+"/acls/"+a.part(lb, "acls", 1)["id"].(string), "null", 200)
	a.call("PUT", "/"+lb+"/acls", `{"acls":[]}`, 200)

	a.call("DELETE", "/"+lb+"?delete_public_ip=true", "null", 200)
	a.call("DELETE", "/"+lb, "null", 200) // again, while it is going
	a.call("PUT", "/"+lb+"/acls", `{"acls":[]}`, 409)
	must(t, a.service.reconcile(t.Context(), lb))
	a.call("GET", "/"+lb, "", 404)
	a.call("DELETE", "/"+lb, "null", 404)
	if a.network.vips[lb] || a.network.publics[lb] || !a.network.vips[internal] {
		t.Errorf("addresses held after the deletion: %v, %v", a.network.vips, a.network.publics)
	}
}

func TestAPIForeignTenant(t *testing.T) {
	a := newAPI(t)
	lb := a.id("POST", "", validBody)
	backend := a.part(lb, "backends", 0)["id"].(string)
	a.tenant = otherTenant
	for _, call := range []struct{ method, path, body string }{
		{"POST", "", validBody}, {"GET", "/" + lb, ""}, {"PUT", "/" + lb, `{"name":"x"}`}, {"DELETE", "/" + lb, "null"},
		{"GET", "/" + lb + "/listeners", ""}, {"GET", "/" + lb + "/backends", ""}, {"GET", "/" + lb + "/health-checks", ""},
		{"GET", "/" + lb + "/backends/" + backend, ""},
		{"PUT", "/" + lb + "/backends/" + backend + "/targets", `{"targets_type":"raw","targets":[]}`},
		{"POST", "/" + lb + "/listeners?backend_id=" + backend, `{"name":"x","protocol":"tcp","port":81}`},
		{"PUT", "/" + lb + "/acls", `{"acls":[]}`},
	} {
		a.call(call.method, call.path, call.body, 404)
	}
	if results := a.call("GET", "", "", 200)["results"].([]any); len(results) > 0 {
		t.Errorf("a foreign tenant sees %v", results)
	}
}

func TestAPIValidation(t *testing.T) {
	a := newAPI(t)
	for _, tc := range []struct {
		name, old, new string
		want           int
	}{
		{"no name", `"name":"one"`, `"name":""`, 422},
		{"a long name", `"name":"one"`, `"name":"` + strings.Repeat("x", 65) + `"`, 422},
		{"an unknown visibility", `"external"`, `"hidden"`, 422},
		{"an unknown VPC", testVPC, "x", 404},
		{"an unknown port", testNIC, "x", 422},
		{"a port out of range", `"port":80}`, `"port":65536}`, 422},
		{"no port", `,"port":80}`, `}`, 422},
		{"an unknown backend", `"backend_name":"web"`, `"backend_name":"x"`, 422},
		{"an unknown health check", `"health_check_name":"alive"`, `"health_check_name":"x"`, 422},
		{"an unknown algorithm", "round_robin", "random", 422},
		{"an unknown kind of target", `"instance"`, `"dns"`, 422},
		{"raw targets without address", `"instance"`, `"raw"`, 422},
		{"an unknown protocol", `"backend_name":"web","protocol":"tcp"`, `"backend_name":"web","protocol":"udp"`, 422},
		{"TLS without a certificate", `"backend_name":"web","protocol":"tcp"`, `"backend_name":"web","protocol":"tls"`, 422},
		{"a certificate without TLS", `"backend_name":"web","protocol":"tcp"`, `"backend_name":"web","protocol":"tcp","tls_certificate_name":"x"`, 422},
		{"a path that would end the line", `/healthz`, `/healthz\n\tmode http`, 422},
		{"a path with a comment", `/healthz`, `/#`, 422},
		{"a path with a variable", `/healthz`, `/\"$HOME\"`, 422},
		{"an action", `"ALLOW"`, `"allow"`, 422},
		{"a range of another family", `"IPv4"`, `"IPv6"`, 422},
		{"a range", `10.0.0.0/8`, `10.0.0.0/33`, 422},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := strings.Replace(validBody, tc.old, tc.new, 1)
			if body == validBody {
				t.Fatalf("%q is not in the body", tc.old)
			}
			b := *a
			b.t = t
			b.call("POST", "", body, tc.want)
		})
	}
	if results := a.call("GET", "", "", 200)["results"].([]any); len(results) > 0 {
		t.Errorf("refused requests left %v", results)
	}
	lb := a.id("POST", "", validBody)
	a.call("GET", "?_sort=secret", "", 422)
	a.call("GET", "?_limit=0", "", 422)
	for _, address := range []string{"127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "::1", "x"} {
		a.call("POST", "/"+lb+"/backends", `{"name":"x","balance_algorithm":"round_robin","targets_type":"raw","targets":[{"ip_address":"`+address+`","port":80}]}`, 422)
	}
}
