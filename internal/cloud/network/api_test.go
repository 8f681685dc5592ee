package network

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

// api calls the product over HTTP; every answer is checked against the contract.
type api struct {
	t        *testing.T
	handler  http.Handler
	contract contracttest.Checker
	tenant   string
	zone     string
}

type object = map[string]any

func newAPI(t *testing.T) (*api, *fakeService) {
	f := newFakeService(t)
	router := chi.NewRouter()
	f.Register(router)
	return &api{t: t, handler: router, contract: contracttest.Load(t, "network"), tenant: testTenant}, f
}

func (a *api) call(method, path, body string, want int) object {
	a.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("x-zone", a.zone)
	request = request.WithContext(httpapi.WithIdentity(request.Context(), httpapi.Identity{TenantID: a.tenant}))
	answer := httptest.NewRecorder()
	a.handler.ServeHTTP(answer, a.contract.Watch(a.t, request))
	if answer.Code != want {
		a.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, answer.Code, answer.Body, want)
	}
	plain, _, _ := strings.Cut(path, "?")
	check := a.contract.Check
	if strings.HasSuffix(plain, "/rename") { // not in the contract's present edition, but clients call it
		check = a.contract.CheckOurs
	}
	check(a.t, method, plain, answer.Code, answer.Body.Bytes())
	var result any
	if answer.Body.Len() > 0 {
		if err := json.Unmarshal(answer.Body.Bytes(), &result); err != nil {
			a.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	view, isObject := result.(object)
	if !isObject {
		view = object{"list": result}
	}
	return view
}

func (a *api) id(method, path, body string, want int) string {
	a.t.Helper()
	return a.call(method, path, body, want)["id"].(string)
}

func TestAPIJourney(t *testing.T) {
	a, _ := newAPI(t)
	vpcs := a.call("GET", "/v0/vpcs", "", 200)["vpcs"].([]any)
	equal(t, "name of the VPC that every tenant has", vpcs[0].(object)["name"], any("vpc_default"))
	equal(t, "its subnets", len(vpcs[0].(object)["subnets"].([]any)), 3)

	vpc := a.id("POST", "/v1/vpcs", `{"name":"own","description":"mine"}`, 202)
	a.call("PATCH", "/v0/vpcs/"+vpc+"/rename", `{"name":"renamed"}`, 204)
	eventually(t, "VPC created", func() bool { return a.call("GET", "/v0/vpcs/"+vpc, "", 200)["status"] == "created" })

	pool := a.id("POST", "/v0/subnetpools", `{"name":"pool","description":"","cidr":"10.20.0.0/16"}`, 201)
	a.call("GET", "/v0/subnetpools/"+pool, "", 200)
	a.call("GET", "/v0/subnetpools?_limit=1", "", 200)
	equal(t, "booked", a.call("POST", "/v0/subnetpools/"+pool+"/book_cidr", `{"mask":24}`, 201)["cidr"], any("10.20.0.0/24"))
	a.call("POST", "/v0/subnetpools/"+pool+"/unbook_cidr", `{"cidr":"10.20.0.0/24"}`, 204)

	a.zone = "b"
	subnet := a.id("POST", "/v0/vpcs/"+vpc+"/subnets", `{"name":"s","cidr_block":"10.20.0.0/24","ip_version":4,"dns_nameservers":["10.20.0.53"],"subnetpool_id":"`+pool+`"}`, 201)
	detail := a.call("GET", "/v0/subnets/"+subnet, "", 200)
	equal(t, "gateway", detail["gateway_ip"], any("10.20.0.1"))
	equal(t, "zone", detail["zone"], any("b"))
	a.call("GET", "/v0/vpcs/"+vpc+"/subnets", "", 200)
	a.call("PATCH", "/v0/subnets/"+subnet, `{"dns_nameservers":[]}`, 200)
	a.call("DELETE", "/v0/subnetpools/"+pool, "null", 409)

	group := a.id("POST", "/v0/security_groups?wait=true", `{"name":"webservers"}`, 200)
	rule := a.id("POST", "/v0/security_groups/"+group+"/rules", `{"direction":"ingress","ethertype":"IPv4","protocol":"tcp","port_range_min":80,"remote_ip_prefix":"10.0.0.0/8","description":null}`, 200)
	view := a.call("GET", "/v0/rules/"+rule, "", 200)
	equal(t, "port_range_max", view["port_range_max"], any(80.0))
	equal(t, "rules, defaults included", len(a.call("GET", "/v0/security_groups/"+group+"/rules", "", 200)["rules"].([]any)), 3)
	a.call("GET", "/v0/security_groups", "", 200)

	port := a.id("POST", "/v0/vpcs/"+vpc+"/ports", fmt.Sprintf(`{"name":"port-one","has_pip":false,"security_groups_id":[%q],"subnets":[%q],"ip_address":"10.20.0.9"}`, group, subnet), 200)
	equal(t, "spoofing guard", a.call("GET", "/v0/ports/"+port, "", 200)["ip_spoofing_guard"], any(true))
	a.call("PATCH", "/v0/ports/"+port, `{"ip_spoofing_guard":false}`, 204)
	equal(t, "spoofing guard", a.call("GET", "/v0/ports/"+port, "", 200)["ip_spoofing_guard"], any(false))
	equal(t, "ports of the group", len(a.call("GET", "/v0/security_groups/"+group, "", 200)["ports"].([]any)), 1)
	a.call("POST", "/v0/ports/"+port+"/detach/"+group, "", 200)
	a.call("POST", "/v0/ports/"+port+"/attach/"+group, "", 200)
	a.call("GET", "/v0/ports?port_id_list="+port, "", 200)
	equal(t, "page 1", len(a.call("GET", "/v0/vpcs/"+vpc+"/ports?_offset=1", "", 200)["ports"].([]any)), 1)
	equal(t, "page 2", len(a.call("GET", "/v0/vpcs/"+vpc+"/ports?_offset=2", "", 200)["ports"].([]any)), 0)
	equal(t, "simplified", len(a.call("GET", "/v0/vpcs/"+vpc+"/ports?detailed=false", "", 200)["ports_simplified"].([]any)), 1)

	ip := a.id("POST", "/v0/vpcs/"+vpc+"/public_ips", `{"description":"front"}`, 200)
	a.call("POST", "/v0/public_ips/"+ip+"/attach/"+port, "", 200)
	equal(t, "port of the public IP", a.call("GET", "/v0/public_ips/"+ip, "", 200)["port_id"], any(port))
	a.call("GET", "/v0/public_ips", "", 200)
	a.call("GET", "/v0/vpcs/"+vpc+"/public_ips", "", 200)
	a.call("GET", "/v0/ports/"+port, "", 200)

	routes := "/v1/vpcs/" + vpc + "/route_table/routes"
	route := a.id("POST", routes, fmt.Sprintf(`{"cidr_destination":"10.99.0.0/24","port_id":%q}`, port), 202)
	equal(t, "next hop", a.call("GET", routes+"/"+route, "", 200)["next_hop"], any("10.20.0.9"))
	equal(t, "routes", len(a.call("GET", routes, "", 200)["result"].([]any)), 1)
	a.call("POST", routes, fmt.Sprintf(`{"cidr_destination":"10.99.0.0/24","port_id":%q}`, port), 409)
	a.call("DELETE", "/v0/ports/"+port, "null", 409)
	a.call("DELETE", routes+"/"+route, "null", 202)

	a.call("DELETE", "/v0/public_ips/"+ip, "null", 409)
	a.call("POST", "/v0/public_ips/"+ip+"/detach/"+port, "", 200)
	a.call("DELETE", "/v0/public_ips/"+ip, "null", 204)
	a.call("DELETE", "/v0/ports/"+port, "null", 204)
	a.call("DELETE", "/v0/ports/"+port, "null", 404)
	a.call("DELETE", "/v0/rules/"+rule, "", 204)
	a.call("DELETE", "/v0/security_groups/"+group, "", 204)
	a.call("DELETE", "/v0/vpcs/"+vpc, "", 409)
	a.call("DELETE", "/v0/subnets/"+subnet, "", 204)
	a.call("DELETE", "/v0/subnetpools/"+pool, "null", 204)
	a.call("DELETE", "/v0/vpcs/"+vpc, "", 204)
	a.call("GET", "/v0/vpcs/"+vpc, "", 404)
	a.call("POST", "/v1/nat_gateways", `{}`, 501)
}

func TestAPIForeignTenant(t *testing.T) {
	a, f := newAPI(t)
	port := f.port(PortRequest{Name: "port-one", AssociatePublicIP: true})
	group := port.SecurityGroupIDs[0]
	rules, err := listRules(t.Context(), f.db, group)
	must(t, err)
	a.tenant = otherTenant
	for _, call := range []struct{ method, path, body string }{
		{"GET", "/v0/vpcs/" + port.VPCID, ""}, {"DELETE", "/v0/vpcs/" + port.VPCID, ""},
		{"PATCH", "/v0/vpcs/" + port.VPCID + "/rename", `{"name":"x"}`},
		{"GET", "/v0/vpcs/" + port.VPCID + "/subnets", ""},
		{"POST", "/v0/vpcs/" + port.VPCID + "/subnets", `{"name":"x","cidr_block":"10.0.0.0/24","ip_version":4}`},
		{"GET", "/v0/subnets/" + port.SubnetID, ""}, {"DELETE", "/v0/subnets/" + port.SubnetID, ""},
		{"PATCH", "/v0/subnets/" + port.SubnetID, `{"dns_nameservers":[]}`},
		{"GET", "/v0/vpcs/" + port.VPCID + "/ports", ""}, {"POST", "/v0/vpcs/" + port.VPCID + "/ports", `{"name":"port-x"}`},
		{"GET", "/v0/ports/" + port.ID, ""}, {"DELETE", "/v0/ports/" + port.ID, ""},
		{"PATCH", "/v0/ports/" + port.ID, `{"ip_spoofing_guard":false}`},
		{"POST", "/v0/ports/" + port.ID + "/attach/" + group, ""}, {"POST", "/v0/ports/" + port.ID + "/detach/" + group, ""},
		{"GET", "/v0/vpcs/" + port.VPCID + "/public_ips", ""}, {"POST", "/v0/vpcs/" + port.VPCID + "/public_ips", `{}`},
		{"GET", "/v0/public_ips/" + port.PublicIPID, ""}, {"DELETE", "/v0/public_ips/" + port.PublicIPID, ""},
		{"POST", "/v0/public_ips/" + port.PublicIPID + "/detach/" + port.ID, ""},
		{"GET", "/v0/security_groups/" + group, ""}, {"DELETE", "/v0/security_groups/" + group, ""},
		{"GET", "/v0/security_groups/" + group + "/rules", ""},
		{"POST", "/v0/security_groups/" + group + "/rules", `{"direction":"ingress","ethertype":"IPv4"}`},
		{"GET", "/v0/rules/" + rules[0].ID, ""}, {"DELETE", "/v0/rules/" + rules[0].ID, ""},
		{"GET", "/v1/vpcs/" + port.VPCID + "/route_table/routes", ""},
		{"POST", "/v1/vpcs/" + port.VPCID + "/route_table/routes", `{"cidr_destination":"10.9.0.0/24","port_id":"` + port.ID + `"}`},
	} {
		a.call(call.method, call.path, call.body, 404)
	}
	equal(t, "foreign ports", len(a.call("GET", "/v0/ports", "", 200)["list"].([]any)), 0)
	equal(t, "foreign public IPs", len(a.call("GET", "/v0/public_ips", "", 200)["public_ips"].([]any)), 0)
}

func TestAPIValidation(t *testing.T) {
	a, f := newAPI(t)
	vpc := f.defaultVPC().ID
	group, err := f.CreateGroup(t.Context(), SecurityGroup{TenantID: testTenant, Name: "group"}, true)
	must(t, err)
	subnets, ports, rules := "/v0/vpcs/"+vpc+"/subnets", "/v0/vpcs/"+vpc+"/ports", "/v0/security_groups/"+group.ID+"/rules"
	for _, tc := range []struct {
		path, body string
		want       int
	}{
		{"/v1/vpcs", `{"name":""}`, 422},
		{"/v1/vpcs", `{"name":"` + strings.Repeat("x", 51) + `"}`, 422},
		{"/v1/vpcs", `{"name":7}`, 422},
		{"/v1/vpcs", `{`, 422},
		{"/v1/vpcs", `null`, 422},
		{subnets, `{"name":"x","cidr_block":"10.0.0.0/24","ip_version":6}`, 422},
		{subnets, `{"name":"x","cidr_block":"10.0.0.1/24","ip_version":4}`, 422},
		{subnets, `{"name":"x","cidr_block":"10.0.0.0/31","ip_version":4}`, 422},
		{subnets, `{"name":"x","cidr_block":"fd00::/64","ip_version":4}`, 422},
		{subnets, `{"name":"x","cidr_block":"169.254.0.0/16","ip_version":4}`, 422},
		{subnets, `{"name":"x","cidr_block":"10.0.0.0/24","ip_version":4,"dns_nameservers":["x"]}`, 422},
		{subnets, `{"name":"x","cidr_block":"10.0.0.0/24","ip_version":4,"subnetpool_id":"x"}`, 404},
		{ports, `{"name":"four"}`, 422},
		{ports, `{"name":"port-x","ip_address":"10.0.0.1"}`, 422},
		{ports, `{"name":"port-x","subnets":["x"]}`, 404},
		{ports, `{"name":"port-x","security_groups_id":["x"]}`, 404},
		{rules, `{"direction":"both","ethertype":"IPv4"}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPX"}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"tcp; flush ruleset"}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"256"}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"tcp","port_range_min":9,"port_range_max":8}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"tcp","port_range_min":-1}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"udp","port_range_max":65536}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","port_range_min":80}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"icmpv6"}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"icmp","port_range_min":256}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","remote_ip_prefix":"::/0"}`, 422},
		{rules, `{"direction":"ingress","ethertype":"IPv4","remote_group_id":"x"}`, 404},
		{rules, `{"direction":"ingress","ethertype":"IPv4","remote_ip_prefix":"10.0.0.0/8","remote_group_id":"x"}`, 422},
		{"/v0/security_groups", `{"name":"four"}`, 422},
		{"/v0/subnetpools", `{"name":"x","type":"pip"}`, 501},
		{"/v0/subnetpools", `{"name":"x","cidr":"224.0.0.0/8"}`, 422},
	} {
		a.call("POST", tc.path, tc.body, tc.want)
	}
	a.call("POST", rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"006"}`, 200)
	a.call("POST", rules, `{"direction":"ingress","ethertype":"IPv4","protocol":"6"}`, 409)
	a.zone = "z"
	a.call("POST", subnets, `{"name":"x","cidr_block":"10.0.0.0/24","ip_version":4}`, 422)
	a.call("GET", ports+"?_limit=0", "", 422)
}
