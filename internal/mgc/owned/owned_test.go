package owned

import (
	"strings"
	"testing"

	"magalu.cloud/mke/internal/mgc"
)

const (
	ours   = "5d3c1f0e-0000-4000-8000-000000000001"
	theirs = "7a3c1f0e-0000-4000-8000-000000000002"
)

func TestStorage(t *testing.T) {
	const unique = "00000000-0000-4000-8000-000000000001"
	for name, want := range map[string]bool{
		"mke-5d3c1f0e-" + unique:                   true,
		"mke-7a3c1f0e-" + unique:                   false,
		"mke-5d3c1f0e-" + strings.Repeat("0f", 18): true, // hashed
		"mke-5d3c1f0e-c" + unique:                  true, // of a clone
		"mke-5d3c1f0e-data":                        false,
		"mke-" + ours + "-api":                     false,
		"":                                         false,
	} {
		if Storage(name, ours) != want {
			t.Errorf("Storage(%q) = %v", name, !want)
		}
	}
}

func TestServiceLoadBalancer(t *testing.T) {
	lb := mgc.LoadBalancer{Name: "mke-5d3c1f0e-web", Description: Mark(ours) + " service=default/web public-ip=retain"}
	if !ServiceLoadBalancer(&lb, ours) || ServiceLoadBalancer(&lb, theirs) || Service(&lb) != "default/web" || !KeepsPublicIP(&lb) {
		t.Errorf("%+v is not told", lb)
	}
	api := mgc.LoadBalancer{Name: "mke-" + ours + "-api", Description: Mark(ours)}
	if !APILoadBalancer(&api) || APILoadBalancer(&lb) || APILoadBalancer(&mgc.LoadBalancer{Name: api.Name, Description: Mark(theirs)}) {
		t.Error("the API server's load balancer is not told")
	}
	if ServiceLoadBalancer(&api, ours) || Service(&api) != "" || KeepsPublicIP(&api) {
		t.Error("the API server's load balancer is not a Service's")
	}
	lb.Status = mgc.LoadBalancerDeleted
	if ServiceLoadBalancer(&lb, ours) {
		t.Error("a load balancer that is gone counts")
	}
}
