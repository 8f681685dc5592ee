package loadbalancer

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/contracttest"
)

func TestStrangeRequests(t *testing.T) {
	a := newAPI(t)
	lb := a.id("POST", "", validBody)
	id := func(kind string) string { return a.part(lb, kind, 0)["id"].(string) }
	target := a.part(lb, "backends", 0)["targets"].([]any)[0].(object)["id"].(string)
	fill := strings.NewReplacer("{load_balancer_id}", lb, "{listener_id}", id("listeners"), "{backend_id}", id("backends"),
		"{health_check_id}", id("health_checks"), "{acl_id}", id("acls"), "{target_id}", target)
	a.contract.Battery(t, fill.Replace, a.contract.Sender(t, a.handler, testTenant))
}

// What is not refused gives HAProxy a specification without a control character or a port out of range.
func FuzzCreate(f *testing.F) {
	f.Add(validBody)
	f.Add(`{"name":"x","visibility":"internal","backends":[{"name":"b","balance_algorithm":"round_robin","targets_type":"raw",
		"targets":[{"ip_address":"10.0.0.1","port":1}]}],"listeners":[{"name":"l","backend_name":"b","protocol":"tcp","port":65535}]}`)
	f.Add(strings.Replace(validBody, "/healthz", `/\n\tmode http`, 1))
	f.Fuzz(func(t *testing.T, text string) {
		var body createBody
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		lb, err := body.loadBalancer(testTenant)
		if err != nil {
			return
		}
		s := spec(lb, func(string) (netip.Addr, bool) { return netip.MustParseAddr("172.26.0.5"), true })
		for _, l := range s.Listeners {
			if l.Port < 1 || l.Port > 65535 {
				t.Errorf("listens on %d", l.Port)
			}
		}
		for _, b := range s.Backends {
			if b.Check != nil && strings.ContainsFunc(b.Check.Path, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"'\#{}$`, r) }) {
				t.Errorf("checks %q", b.Check.Path)
			}
		}
	})
}

func TestPagesAndOrders(t *testing.T) {
	a := newAPI(t)
	a.id("POST", "", strings.Replace(validBody, `"one"`, `"zero"`, 1))
	lb := a.id("POST", "", validBody)
	a.id("POST", "/"+lb+"/health-checks", `{"name":"a","protocol":"tcp","port":90}`)
	backend := a.id("POST", "/"+lb+"/backends", `{"name":"a","balance_algorithm":"round_robin","targets_type":"raw"}`)
	a.id("POST", "/"+lb+"/listeners?backend_id="+backend, `{"name":"a","protocol":"tcp","port":81}`)
	for _, name := range []string{"b", "a"} {
		certificate, key := SelfSigned(t, name)
		a.id("POST", "/"+lb+"/tls-certificates", certificateJSON(name, certificate, key))
	}
	for _, path := range []string{"", "/" + lb + "/health-checks", "/" + lb + "/backends", "/" + lb + "/listeners", "/" + lb + "/tls-certificates"} {
		contracttest.List{Target: base + path, Items: "results", By: "name"}.Check(t, a.contract.Sender(t, a.handler, testTenant))
	}
	links := a.call("GET", "?_limit=1&_sort=name:asc", "", 200)["meta"].(object)["links"].(object)
	if next := links["next"].(string); next != base+"?_limit=1&_offset=1&_sort=name%3Aasc" || links["previous"] != "" {
		t.Errorf("links: %v", links)
	}
}
