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
	a.contract.Battery(t, fill.Replace, contracttest.Sender(a.handler, testTenant))
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
