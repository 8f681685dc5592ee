//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Exit codes of mgc, as docs/cli.md promises them.
const (
	exitUsage    = 2
	exitNotFound = 3
	exitAuth     = 4
	exitInvalid  = 5
)

// internals must not be in anything a person sees.
var internals = regexp.MustCompile(`(?i)x-k8s\.io|mke\.magalu\.cloud|admission webhook|goroutine|panic|reconcil|\bpgx\b|SQLSTATE|MGCCluster|MGKCluster`)

const unknownID = "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a"

type badCommand struct {
	name string
	args []string
	code int
	want string // in standard error
}

func testBadInput(t *testing.T, r *region) {
	c := r.create(t, "victim") // what bad requests must not change
	defer func() {
		if res := r.mgc("cluster", "delete", c.id, "--no-confirm"); res.code != 0 {
			t.Errorf("%s", res)
		}
		c.waitGone(t)
	}()
	before := r.everything(t)
	for _, tt := range slices.Concat(badClusters(), badPools(c), badTargets()) {
		t.Run(tt.name, func(t *testing.T) { refused(t, r.mgc(tt.args...), tt.code, tt.want) })
	}
	t.Run("Credentials", func(t *testing.T) { badCredentials(t, r, c) })
	t.Run("HTTP", func(t *testing.T) { badHTTP(t, r, c) })
	if after := r.everything(t); after != before {
		t.Errorf("bad requests changed something\nbefore: %s\nafter:  %s", before, after)
	}
	t.Run("PoolWhileProvisioning", func(t *testing.T) { poolWhileProvisioning(t, c) })
}

// refused wants an exit code, a clear message, nothing on standard output, and no internals.
func refused(t *testing.T, res result, code int, want string) {
	t.Helper()
	if res.code != code || res.stdout != "" {
		t.Errorf("want exit %d and nothing on standard output: %s", code, res)
	}
	if !strings.Contains(strings.ToLower(res.stderr), strings.ToLower(want)) {
		t.Errorf("the message lacks %q: %s", want, res)
	}
	if leak := internals.FindString(res.stderr); leak != "" {
		t.Errorf("the message shows internals (%s): %s", leak, res)
	}
}

// everything is a fingerprint of all clusters and node pools of the customer.
func (r *region) everything(t *testing.T) string {
	t.Helper()
	var list struct{ Results []struct{ ID, Name string } }
	if err := json.Unmarshal([]byte(r.mustMgc(t, "cluster", "list", "-o", "json", "--raw")), &list); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range list.Results {
		var pools struct {
			Results []struct {
				Name     string
				Replicas int
			}
		}
		if err := json.Unmarshal([]byte(r.mustMgc(t, "nodepool", "list", c.ID, "-o", "json", "--raw")), &pools); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(c, pools.Results))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func badClusters() []badCommand {
	create := func(name, flag, value string, code int, want string) badCommand {
		return badCommand{name, []string{"cluster", "create", "--name", "bad", flag, value}, code, want}
	}
	named := func(label, name, want string) badCommand {
		return badCommand{label, []string{"cluster", "create", "--name", name}, exitInvalid, want}
	}
	pools := func(name, value, want string) badCommand {
		return create(name, "--node-pools", value, exitInvalid, want)
	}
	return []badCommand{
		named("UpperCaseName", "BAD_NAME", "name"),
		named("LongName", strings.Repeat("a", 64), "name"),
		named("NameBeginsWithDigit", "1abc", "name"),
		named("NameEndsWithDash", "abc-", "name"),
		{"DuplicateName", []string{"cluster", "create", "--name", "victim", "--description", "again"}, exitInvalid, "victim"},
		create("UnknownVersion", "--version", "v9.9.9", exitInvalid, "v9.9.9"),
		create("MalformedJSON", "--node-pools", `[{"flavor": "BV4-8-40",}]`, exitUsage, "--node-pools"),
		create("NotAList", "--node-pools", `{"flavor": "BV4-8-40"}`, exitUsage, "--node-pools"),
		pools("UnknownFlavor", `[{"name": "np", "flavor": "XL-99", "replicas": 1}]`, "XL-99"),
		pools("UnknownField", `[{"name": "np", "flavor": "BV4-8-40", "replicas": 1, "colour": "red"}]`, "colour"),
		pools("NegativeReplicas", `[{"name": "np", "flavor": "BV4-8-40", "replicas": -1}]`, "replicas"),
		pools("NullReplicas", `[{"name": "np", "flavor": "BV4-8-40", "replicas": null}]`, "replicas"),
		pools("FractionalReplicas", `[{"name": "np", "flavor": "BV4-8-40", "replicas": 1.5}]`, "replicas"),
		pools("TextReplicas", `[{"name": "np", "flavor": "BV4-8-40", "replicas": "one"}]`, "replicas"),
		pools("DuplicatePools", `[{"name": "np", "flavor": "BV4-8-40", "replicas": 1}, {"name": "np", "flavor": "BV4-8-40", "replicas": 1}]`, "np"),
		pools("PoolWithoutName", `[{"flavor": "BV4-8-40", "replicas": 1}]`, "name"),
		create("MalformedPodsCIDR", "--cluster-ipv4-cidr", "10.1.2.0", exitInvalid, "10.1.2.0"),
		create("SmallPodsCIDR", "--cluster-ipv4-cidr", "10.1.2.0/28", exitInvalid, "10.1.2.0/28"),
		create("PublicServicesCIDR", "--services-ipv4-cidr", "8.8.0.0/16", exitInvalid, "8.8.0.0/16"),
		{"OverlappingCIDRs", []string{"cluster", "create", "--name", "bad", "--cluster-ipv4-cidr", "10.64.0.0/16", "--services-ipv4-cidr", "10.64.0.0/20"}, exitInvalid, "overlap"},
		create("PodsOverlapTheVPC", "--cluster-ipv4-cidr", "172.26.0.0/16", exitInvalid, "overlap"),
		create("MalformedAllowedCIDR", "--allowed-cidrs", `["everyone"]`, exitInvalid, "everyone"),
		create("UnknownSubnet", "--network.subnet-ids", `["`+unknownID+`"]`, exitInvalid, unknownID),
		{"AllProblemsAtOnce", []string{"cluster", "create", "--name", "BAD", "--version", "v0.0.1", "--node-pools", `[{"name": "np", "flavor": "XL-99", "replicas": -1}]`}, exitInvalid, "XL-99"},
	}
}

func badPools(c *cluster) []badCommand {
	create := func(name, want string, flags ...string) badCommand {
		return badCommand{name, append([]string{"nodepool", "create", c.id, "--name", "np2", "--flavor", "BV2-4-40", "--replicas", "1"}, flags...), exitInvalid, want}
	}
	update := func(name, want string, flags ...string) badCommand {
		return badCommand{name, append([]string{"nodepool", "update", c.id, poolName}, flags...), exitInvalid, want}
	}
	return []badCommand{
		create("TaintEffect", "Sometimes", "--taints", `[{"key": "k", "value": "v", "effect": "Sometimes"}]`),
		create("TaintKey", "taints", "--taints", `[{"key": "not a key", "value": "v", "effect": "NoSchedule"}]`),
		create("Label", "label", "--labels", `{"not a label!": "x"}`),
		create("ReservedLabel", "kubernetes.io", "--labels", `{"kubernetes.io/hostname": "x"}`),
		create("FewPods", "max_pods_per_node", "--max-pods-per-node", "7"),
		create("ManyPods", "max_pods_per_node", "--max-pods-per-node", "111"),
		create("MinAboveMax", "min_replicas", "--auto-scale.min-replicas", "3", "--auto-scale.max-replicas", "1"),
		create("DuplicatePool", poolName, "--name", poolName, "--max-pods-per-node", "50"),
		update("NegativeUpdate", "replicas", "--replicas", "-1"),
		update("HugeUpdate", "replicas", "--replicas", "1000000"),
		update("UnknownFlavorUpdate", "XL-99", "--flavor", "XL-99"),
	}
}

func badTargets() []badCommand {
	return []badCommand{
		{"UnknownCluster", []string{"cluster", "get", unknownID}, exitNotFound, "404"},
		{"UnknownKubeconfig", []string{"cluster", "kubeconfig", unknownID}, exitNotFound, "404"},
		{"UnknownDelete", []string{"cluster", "delete", unknownID, "--no-confirm"}, exitNotFound, "404"},
		{"UnknownPool", []string{"nodepool", "get", "victim", unknownID}, exitNotFound, "404"},
		{"UnknownName", []string{"cluster", "get", "nobody"}, exitNotFound, "nobody"},
		{"DeleteUnasked", []string{"cluster", "delete", "victim"}, exitUsage, "--no-confirm"},
	}
}

// badCredentials tries wrong keys, and a right one on what belongs to another tenant.
func badCredentials(t *testing.T, r *region, c *cluster) {
	list := []string{"cluster", "list"}
	refused(t, r.mgcAs(unknownID, list...), exitAuth, "401")
	refused(t, r.mgcAs("not-a-key", list...), exitAuth, "401")
	for _, args := range [][]string{
		{"cluster", "get", c.id}, {"cluster", "kubeconfig", c.id}, {"cluster", "update", c.id, "--description", "mine"},
		{"cluster", "delete", c.id, "--no-confirm"}, {"nodepool", "list", c.id},
		{"nodepool", "create", c.id, "--name", "np2", "--flavor", "BV2-4-40", "--replicas", "1"},
	} {
		refused(t, r.mgcAs(r.other, args...), exitNotFound, "404")
	}
	if res := r.mgcAs(r.other, "cluster", "list", "-o", "json", "--raw"); res.code != 0 || strings.Contains(res.stdout, c.id) {
		t.Errorf("another tenant sees the cluster: %s", res)
	}
}

// badHTTP sends what no CLI would.
func badHTTP(t *testing.T, r *region, c *cluster) {
	clusters, pools := "/v0/clusters", "/v0/clusters/"+c.id+"/node_pools"
	tests := []struct {
		name, method, path, body string
		status                   []int
	}{
		{"malformed JSON", http.MethodPost, clusters, `{"name": `, []int{400, 422}},
		{"no JSON", http.MethodPost, clusters, `hello`, []int{400, 422}},
		{"a list", http.MethodPost, clusters, `[]`, []int{400, 422}},
		{"no body", http.MethodPost, clusters, ``, []int{400, 422}},
		{"unknown field", http.MethodPost, clusters, `{"name": "bad", "nodes": 3}`, []int{400, 422}},
		{"wrong type", http.MethodPost, clusters, `{"name": 7}`, []int{400, 422}},
		{"body too large", http.MethodPost, clusters, `{"name": "bad", "description": "` + strings.Repeat("x", 2<<20) + `"}`, []int{400, 413}},
		{"null replicas", http.MethodPatch, pools + "/" + unknownID, `{"replicas": null}`, []int{400, 404, 422}},
		{"id is no id", http.MethodGet, clusters + "/not-an-id", ``, []int{400, 404, 422}},
		{"unknown path", http.MethodGet, "/v0/nothing", ``, []int{404}},
		{"wrong method", http.MethodPut, clusters, `{}`, []int{404, 405}},
	}
	client := r.httpClient(t)
	for _, tt := range tests {
		status, body := r.send(t, client, tt.method, tt.path, tt.body)
		var problem struct{ Message, Slug string }
		err := json.Unmarshal([]byte(body), &problem)
		if !slices.Contains(tt.status, status) || err != nil || problem.Message == "" || problem.Slug == "" || internals.MatchString(body) {
			t.Errorf("%s: %d %s", tt.name, status, body)
		}
	}
}

func (r *region) httpClient(t *testing.T) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(r.status.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func (r *region) send(t *testing.T, client *http.Client, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, r.status.Endpoint+"/"+r.status.Region+"/kubernetes"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", r.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// poolWhileProvisioning posts a pool to a cluster that is not Running yet: it is queued, not refused.
func poolWhileProvisioning(t *testing.T, c *cluster) {
	if state, err := c.state(); err != nil || state == "Running" {
		t.Logf("the cluster is %s already (%v): the pool is posted all the same", state, err)
	}
	c.r.mustMgc(t, "nodepool", "create", c.id, "--name", "early", "--flavor", "BV2-4-40", "--replicas", "1")
	c.waitRunning(t)
	c.fetchKubeconfig(t, t.TempDir())
	c.waitNodes(t, 3, 3*time.Minute)
}
