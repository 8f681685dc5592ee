package cli

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cli/products"
	"magalu.cloud/mke/internal/golden"
)

const (
	vmOne  = "44444444-4444-4444-8444-444444444444"
	sgOne  = "55555555-5555-4555-8555-555555555555"
	vpcOne = "66666666-6666-4666-8666-666666666666"
)

func productAnswers() map[string][]reply {
	vm := `{"id":"` + vmOne + `","name":"web-1","status":"completed","state":"running","machine_type":{"id":"m","name":"BV2-4-40"},"availability_zone":"br-se1-a","created_at":"2026-11-22T11:00:00Z"}`
	page := `?_limit=100&_offset=0`
	return map[string][]reply{
		"GET /v1/instances":                     {ok(`{"instances":[` + vm + `],"meta":{}}`)},
		"GET /v1/instances?expand=machine-type": {ok(`{"instances":[` + vm + `],"meta":{}}`)},
		"GET /v1/instances" + page:              {ok(`{"instances":[` + vm + `],"meta":{}}`)},
		"GET /v1/instances/" + vmOne + "?expand=network%2Cimage%2Cmachine-type": {ok(vm)},
		"GET /v1/instances/" + vmOne:                               {ok(vm)},
		"POST /v1/instances":                                       {{status: 201, body: `{"id":"` + vmOne + `"}`}},
		"POST /v1/instances/" + vmOne + "/stop":                    {{status: 204}},
		"DELETE /v1/instances/" + vmOne + "?delete_public_ip=true": {{status: 204}},
		"PATCH /v1/instances/" + vmOne + "/rename":                 {{status: 204}},
		"GET /v0/vpcs":                                            {ok(`{"vpcs":[{"id":"` + vpcOne + `","name":"vpc_default"}]}`)},
		"POST /v0/vpcs/" + vpcOne + "/subnets":                    {{status: 201, body: `{"id":"s"}`}},
		"GET /v0/security_groups":                                 {ok(`{"security_groups":[{"id":"` + sgOne + `","name":"web servers"}]}`)},
		"POST /v0/security_groups/" + sgOne + "/rules?wait=false": {ok(`{"id":"r"}`)},
		"GET /api/v1/roles":                                       {ok(`[{"name":"admin","origin":"system","description":"everything"}]`)},
		"PATCH /api/v1/roles/ops/permissions":                     {ok(`{"name":"ops","permissions":["a"]}`)},
		"GET /v0/availability-zones":                              {ok(`{"results":[{"region_id":"br-se1","availability_zones":[{"az_id":"br-se1-a","block_type":"none"},{"az_id":"br-se1-b","block_type":"none"}]}]}`)},
	}
}

func TestProductRequests(t *testing.T) {
	tests := []struct{ args, line, body string }{
		{`virtual-machine instances create --name web-1 --machine-type.name BV2-4-40 --image.id 9ec7 --network.vpc.id v --network {"associate_public_ip":false} --labels a,b --volumes [{"id":"x"}]`,
			"POST /v1/instances", `{"image":{"id":"9ec7"},"labels":["a","b"],"machine_type":{"name":"BV2-4-40"},"name":"web-1","network":{"associate_public_ip":false,"vpc":{"id":"v"}},"volumes":[{"id":"x"}]}`},
		{`virtual-machine instances list`, "GET /v1/instances?expand=machine-type", ""},
		{`virtual-machine instances list -o json`, "GET /v1/instances", ""},
		{`virtual-machine instances get web-1`, "GET /v1/instances/" + vmOne + "?expand=network%2Cimage%2Cmachine-type", ""},
		{`virtual-machine instances stop --id ` + vmOne, "POST /v1/instances/" + vmOne + "/stop", ""},
		{`virtual-machine instances delete web-1 --delete-public-ip --no-confirm`, "DELETE /v1/instances/" + vmOne + "?delete_public_ip=true", ""},
		{`virtual-machine instances rename web-1 --name web-2`, "PATCH /v1/instances/" + vmOne + "/rename", `{"name":"web-2"}`},
		{`network vpcs subnets create vpc_default --name a --cidr-block 10.0.0.0/24 --ip-version 4 --dns-nameservers ["1.1.1.1"] --x-zone a`,
			"POST /v0/vpcs/" + vpcOne + "/subnets", `{"cidr_block":"10.0.0.0/24","dns_nameservers":["1.1.1.1"],"ip_version":4,"name":"a"}`},
		{`network security-groups rules create ` + sgOne + ` --direction ingress --ethertype IPv4 --port-range-min 22 --wait=false`,
			"POST /v0/security_groups/" + sgOne + "/rules?wait=false", `{"direction":"ingress","ethertype":"IPv4","port_range_min":22}`},
		{`iam roles permissions update ops --add a,b`, "PATCH /api/v1/roles/ops/permissions", `{"add":["a","b"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			f := newFakeAPI(t, productAnswers())
			got := f.run(t, strings.Fields(tt.args)...)
			lines := f.lines()
			if got.code != 0 || len(lines) == 0 || lines[len(lines)-1] != tt.line {
				t.Fatalf("exit %d, sent %q, want %q\n%s", got.code, lines, tt.line, got.stderr)
			}
			last := f.requests[len(f.requests)-1]
			switch {
			case tt.body == "" && last.body != "":
				t.Errorf("a body nobody asked for: %s", last.body)
			case tt.body != "":
				if body := f.lastBody(t, strings.Fields(tt.line)[0]); body != tt.body {
					t.Errorf("body\n%s, want\n%s", body, tt.body)
				}
			}
			if strings.Contains(tt.args, "--x-zone") && last.header.Get("X-Zone") != "a" {
				t.Errorf("header: %v", last.header)
			}
			if strings.Contains(tt.line, "expand") && last.header.Get("X-Api-Version") != "1.1" {
				t.Errorf("header: %v", last.header)
			}
		})
	}
}

func TestProductOutputs(t *testing.T) {
	for file, args := range map[string]string{
		"instances_list.txt": "virtual-machine instances list",
		"instances_get.txt":  "virtual-machine instances get web-1 -o table",
		"roles_list.txt":     "iam roles list",
		"zones_list.txt":     "profile availability-zones list",
		"create.yaml":        "virtual-machine instances create --name web-1 --machine-type.name t --image.name i",
	} {
		got := newFakeAPI(t, productAnswers()).run(t, strings.Fields(args)...)
		if got.code != 0 || got.stderr != "" {
			t.Fatalf("%s: exit %d\n%s", args, got.code, got.stderr)
		}
		golden.Match(t, "testdata/product_"+file, got.stdout)
	}
}

func TestProductUsageErrors(t *testing.T) {
	create := "virtual-machine instances create --name n --image.id i --machine-type.id m "
	for args, want := range map[string]string{
		"virtual-machine instances create --name n":                                 "--machine-type is missing (machine type); give --machine-type.id or --machine-type.name",
		"virtual-machine instances create --image.id i --machine-type.id m":         "--name is missing: name of the instance",
		create + "--network [1]":                                                    "--network: found array where an object is needed",
		create + `--network {"vpc":{"id":7}}`:                                       "--network.vpc.id: found 7 where a string is needed",
		create + `--network {"interface":{"subnets":[{"id":"a"},{"id":"b"}]}}`:      "--network.interface.subnets: it has 2, and must have at most 1 entries",
		create + `--network {"interface":5} --network.interface.id x`:               "--network.interface.id: what it is a part of was given as something else",
		"block-storage volumes create --name data --size 5 --type.name t":           "--size: 5 is not allowed; it is 10 to 2147483648",
		"block-storage volumes create --name data --size 10.5 --type.name t":        "--size: 10.5 is no whole number",
		"block-storage volumes create --name data --size many --type.name t":        "--size: \"many\" is no whole number",
		"block-storage volumes create --name ab --size 10 --type.name t":            "--name: it has 2, and must have 3 to 50 characters",
		"load-balancer network-loadbalancers create --name l --visibility all":      `--visibility: "all" is not allowed; it is one of internal, external`,
		"load-balancer network-listeners create x --name l --protocol tcp --port 1": "--backend-id is missing",
		"network subnets update " + sgOne:                                           "nothing to change; give at least one of --dns-nameservers",
		"network vpcs get":                                                          "VPC is missing; usage: mgc network vpcs get VPC",
		"virtual-machine instances delete " + vmOne:                                 "add --no-confirm to delete instance",
		"virtual-machine machine-types list --control.limit -1":                     "--control.limit: -1 is not allowed; it is at most 1000",
	} {
		f := newFakeAPI(t, productAnswers())
		got := f.run(t, strings.Fields(args)...)
		if got.code != ExitUsage || !strings.Contains(got.stderr, want) || len(f.lines()) > 0 {
			t.Errorf("%s: exit %d, sent %v, want %q:\n%s", args, got.code, f.lines(), want, got.stderr)
		}
	}
}

func TestProductWaits(t *testing.T) {
	at := "GET /v1/instances/" + vmOne
	answers := productAnswers()
	answers[at] = []reply{ok(`{"status":"creating","state":"new"}`), {status: 503}, ok(`{"status":"completed","state":"new"}`), ok(`{"id":"x","status":"completed","state":"running"}`)}
	got := newFakeAPI(t, answers).run(t, strings.Fields("virtual-machine instances create --name n --image.id i --machine-type.id m --wait")...)
	if got.code != 0 || !strings.Contains(got.stdout, "state: running") || !strings.Contains(got.stderr, "instance "+vmOne+" created") {
		t.Errorf("create: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	answers[at] = []reply{ok(`{"status":"creating_error_quota","error":{"message":"too many","slug":"s"}}`)}
	got = newFakeAPI(t, answers).run(t, strings.Fields("virtual-machine instances create --name n --image.id i --machine-type.id m --wait")...)
	if got.code != ExitGeneral || !strings.Contains(got.stderr, "creating_error_quota: too many") {
		t.Errorf("failure: exit %d\n%s", got.code, got.stderr)
	}
	answers[at] = []reply{ok(`{"status":"deleting"}`), {status: 404}}
	got = newFakeAPI(t, answers).run(t, strings.Fields("virtual-machine instances delete web-1 --delete-public-ip --no-confirm --wait")...)
	if got.code != 0 || got.stdout != "" || !strings.Contains(got.stderr, "instance web-1 deleted") {
		t.Errorf("delete: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}

// TestCreationIsNotRepeated: these products know no idempotency keys, so a second machine could come of a lost answer.
func TestCreationIsNotRepeated(t *testing.T) {
	create := strings.Fields("virtual-machine instances create --name n --image.id i --machine-type.id m")
	f := newFakeAPI(t, map[string][]reply{"POST /v1/instances": {{status: 503}}})
	if got := f.run(t, create...); got.code != ExitGeneral || len(f.lines()) != 1 {
		t.Errorf("exit %d, sent %q\n%s", got.code, f.lines(), got.stderr)
	}
	f.Close() // nobody listens: nothing can have been done, so it is tried again
	start := time.Now()
	if got := f.run(t, create...); got.code != ExitGeneral || !strings.Contains(got.stderr, "cannot reach") || time.Since(start) < firstBackoff {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

func TestProductErrorShapes(t *testing.T) {
	for body, want := range map[string]string{
		`[{"slug":"conflict","message":"in use","detail":""}]`:                          "409 Conflict (conflict) - in use",
		`{"type":"about:blank","title":"Conflict","detail":"in use","code":"conflict"}`: "409 Conflict (conflict) - in use",
		`{"slug":"conflict","message":"in use","details":{}}`:                           "409 Conflict (conflict) - in use",
		`{"slug":"conflict","message":"in use","details":["x"]}`:                        "409 Conflict (conflict) - in use",
	} {
		e := newAPIError(http.StatusConflict, http.Header{"Content-Type": {"application/problem+json"}}, []byte(body))
		if !strings.HasPrefix(e.Error(), want) {
			t.Errorf("%s: %s", body, e)
		}
	}
}

// TestNamesAreFoundOnLaterPages also has a list that leads nowhere, and a name that two have.
func TestNamesAreFoundOnLaterPages(t *testing.T) {
	full := strings.TrimSuffix(strings.Repeat(`{"id":"a","name":"other"},`, pageSize), ",")
	f := newFakeAPI(t, map[string][]reply{
		"GET /v1/instances?_limit=100&_offset=0":    {ok(`{"instances":[` + full + `]}`)},
		"GET /v1/instances?_limit=100&_offset=100":  {ok(`{"instances":[{"id":"` + vmOne + `","name":"late"}]}`)},
		"GET /v1/instances/" + vmOne + "/init-logs": {ok(`{"logs":["one"]}`)},
	})
	if got := f.run(t, "virtual-machine", "instances", "init-logs", "late"); got.code != 0 {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
	if got := f.run(t, "virtual-machine", "instances", "init-logs", "nobody"); got.code != ExitNotFound || !strings.Contains(got.stderr, `no instance has the id or name "nobody"`) {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
	if got := f.run(t, "virtual-machine", "instances", "init-logs", "other"); got.code != ExitUsage || !strings.Contains(got.stderr, "give one of these ids") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ server, region, args, host string }{
		{"https://198.18.0.3/br-se1/kubernetes", "", "network", "https://198.18.0.3/br-se1/network"},
		{"https://198.18.0.3/kubernetes/", "", "block-storage", "https://198.18.0.3/volume"},
		{"http://127.0.0.1:8080", "", "iam", "http://127.0.0.1:8080"},
		{"https://proxy/magalu", "", "iam", "https://proxy/magalu"},
		{"", "br-ne1", "virtual-machine", "https://api.magalu.cloud/br-ne1/compute"},
		{"", "br-mgl1", "load-balancer", "https://api.magalu.cloud/br-se-1/load-balancer"},
		{"", "br-ne1", "iam", "https://api.magalu.cloud/iam"},
	} {
		for _, p := range products.All {
			if p.Name == tt.args {
				if got := (Config{ServerURL: tt.server, Region: tt.region}).address(p); got != tt.host {
					t.Errorf("%+v: %s", tt, got)
				}
			}
		}
	}
}

func TestRetryUntilOfProducts(t *testing.T) {
	answers := productAnswers()
	path := "GET /v1/instances/" + vmOne + "?expand=network%2Cimage%2Cmachine-type"
	answers[path] = []reply{ok(`{"status":"creating"}`), ok(`{"status":"completed"}`)}
	got := newFakeAPI(t, answers).runWith(t, context.Background(), "", nil, "virtual-machine", "instances", "get", vmOne, "-U", `5,1ms,jsonpath=$.status == "completed"`)
	if got.code != 0 || !strings.Contains(got.stdout, "completed") {
		t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

func TestListsSayThatTheyGoOn(t *testing.T) {
	answers := productAnswers()
	answers["GET /v1/instances?expand=machine-type"] = []reply{ok(`{"instances":[],"meta":{"page":{"limit":50,"offset":0,"count":50,"total":120}}}`)}
	if got := newFakeAPI(t, answers).run(t, "virtual-machine", "instances", "list"); !strings.Contains(got.stderr, "50 of 120 are shown") {
		t.Errorf("%s", got.stderr)
	}
	if got := newFakeAPI(t, answers).run(t, "virtual-machine", "instances", "list", "--raw"); got.stderr != "" {
		t.Errorf("%s", got.stderr)
	}
}
