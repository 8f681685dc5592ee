package mkeapi

import (
	"errors"
	"net/netip"
	"testing"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// bareServer can read and check requests; it has neither record nor cloud.
func bareServer() *Server {
	return &Server{catalog: catalog.Default(), registry: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)}
}

// wantProblems makes sure that an error is one of the catalogue that blames the client, in both languages.
func wantProblems(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var e *problem.Error
	if !errors.As(err, &e) || e.GetStatus() < 400 || e.GetStatus() >= 500 {
		t.Fatalf("%v is not the client's problem", err)
	}
	for _, lang := range []problem.Lang{problem.English, problem.Portuguese} {
		if body := e.In(lang); body.Slug == "" || body.Message == "" || problem.Find(body.Slug) == nil {
			t.Fatalf("%+v says nothing", body)
		}
	}
}

// seeds are bodies from which the fuzzer starts, good ones and bad ones.
var seeds = []string{
	talkCluster, `{}`, `null`, `[]`, ``, `{"name":`, `"x"`, `{"name":null}`, `{"name":"c","name":"d"}`, `{"name":"\u0000"}`, `{"description":"\ud800"}`,
	`{"name":"c","version":"v1.34.2","description":"d","deletion_protection":true,"allowed_cidrs":["10.0.0.0/8"],"cluster_ipv4_cidr":"192.168.0.0/16","services_ipv4_cidr":"10.96.0.0/12",
		"network":{"subnet_ids":["x"]},"node_pools":[{"name":"p","flavor":"BV2-4-40","replicas":1,"auto_scale":{"min_replicas":0,"max_replicas":3},"labels":{"a":"b"},
		"taints":[{"key":"k","value":"v","effect":"NoSchedule"}],"max_pods_per_node":8,"availability_zones":["a"],"tags":["t"]}]}`,
	`{"name":"p","flavor":"BV2-4-40","replicas":9223372036854775808}`, `{"replicas":1e400}`, `{"replicas":-1}`, `{"replicas":1.5}`,
	`{"auto_scale":{"min_replicas":null,"max_replicas":null}}`, `{"replicas":3,"flavor":"BV4-8-40","version":"v1.34.2"}`, `{"enabled":true,"values":{"replicas":3}}`,
}

func fuzzBodies(f *testing.F, check func(t *testing.T, raw []byte)) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { check(t, raw) })
}

func FuzzClusterRequest(f *testing.F) {
	s := bareServer()
	subnets := []db.Subnet{{ID: "s", Zone: "br-se1-a", CIDR: "172.26.0.0/20"}}
	fuzzBodies(f, func(t *testing.T, raw []byte) {
		var l problem.List
		req, err := decode[clusterRequest](s.registry, raw, &l)
		if err != nil {
			wantProblems(t, err)
			return
		}
		cidrs := s.checkCluster(&l, req)
		cidrs.checkOverlap(&l, subnets)
		wantProblems(t, l.Err())
		if l.Err() == nil && (!namePattern.MatchString(req.Name) || !utf8.ValidString(or(req.Description, "")) || !cidrs.pods.IsValid()) {
			t.Fatalf("%s was accepted", raw)
		}
	})
}

func FuzzNodePoolRequest(f *testing.F) {
	s := bareServer()
	fuzzBodies(f, func(t *testing.T, raw []byte) {
		var l problem.List
		req, err := decode[nodePoolRequest](s.registry, raw, &l)
		if err != nil {
			wantProblems(t, err)
			return
		}
		s.checkNodePool(&l, "", req)
		wantProblems(t, l.Err())
		if l.Err() == nil {
			// What was accepted can be recorded, and its bounds make sense.
			p := newNodePool(&db.Cluster{Version: "v1.34.2"}, req, nil, nil)
			if p.Replicas < 0 || p.Replicas > maxReplicas || p.MinReplicas != nil && (*p.MinReplicas > p.Replicas || *p.MaxReplicas < p.Replicas) {
				t.Fatalf("%s became %+v", raw, p)
			}
		}
	})
}

func FuzzPatchNodePool(f *testing.F) {
	s := bareServer()
	fuzzBodies(f, func(t *testing.T, raw []byte) {
		var l problem.List
		req, err := decode[patchNodePoolRequest](s.registry, raw, &l, "replicas")
		if err != nil {
			wantProblems(t, err)
			return
		}
		checkReplicas(&l, "replicas", req.Replicas)
		s.checkVersion(&l, "version", req.Version)
		p := db.NodePool{Flavor: "BV2-4-40", Version: "v1.34.2", Replicas: 2}
		s.changeNodePool(&l, &db.Cluster{Version: "v1.34.2"}, &p, req)
		wantProblems(t, l.Err())
		if l.Err() == nil && (p.Replicas < 0 || p.Replicas > maxReplicas) {
			t.Fatalf("%s became %+v", raw, p)
		}
	})
}

func FuzzPatchAddon(f *testing.F) {
	s := bareServer()
	fuzzBodies(f, func(t *testing.T, raw []byte) {
		var l problem.List
		req, err := decode[patchAddonRequest](s.registry, raw, &l)
		if err != nil {
			wantProblems(t, err)
			return
		}
		for _, a := range catalog.Addons() {
			changeAddon(&l, &db.Cluster{Cni: cniCalico}, a, req)
		}
		wantProblems(t, l.Err())
	})
}

func FuzzParameters(f *testing.F) {
	for _, s := range []string{"", "1", "0", "-1", "1000000000000", "true", "x", "é", "\x00", "Running", "5d3c1f0e-0000-4000-8000-000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		limit, offset, err := Page{Limit: s, Offset: s}.parse()
		wantProblems(t, err)
		if err == nil && (limit < 1 || offset < 0) {
			t.Fatalf("%q became limit %d, offset %d", s, limit, offset)
		}
		_, err = parseSwitch("dry_run", s)
		wantProblems(t, err)
		_, err = parseID(s, problem.ClusterNotFound)
		wantProblems(t, err)
		_, err = OperationQuery{State: s, Kind: s, ClusterID: s}.filter()
		wantProblems(t, err)
		if after := (Resume{LastEventID: s}).after(); after < 0 {
			t.Fatalf("%q became %d", s, after)
		}
	})
}

func FuzzCIDR(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "192.168.0.0/16", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/-1", "10.0.0.0/33", ""} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, pods, services string) {
		var l problem.List
		c := checkClusterCIDRs(&l, pods, services)
		c.checkRoom(&l, "cluster_ipv4_cidr", 10)
		checkAllowedCIDRs(&l, []string{pods, services})
		wantProblems(t, l.Err())
		if l.Err() == nil && netip.MustParsePrefix(pods).Overlaps(netip.MustParsePrefix(services)) {
			t.Fatalf("%s and %s overlap", pods, services)
		}
	})
}
