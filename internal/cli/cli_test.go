package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"magalu.cloud/mke/internal/golden"
)

func TestOutputs(t *testing.T) {
	tests := []struct{ golden, args string }{
		{"cluster_list.txt", "cluster list"},
		{"cluster_list.json", "cluster list -o json"},
		{"cluster_list_raw.json", "cluster list -o json --raw"},
		{"cluster_get.yaml", "cluster get meu-cluster"},
		{"cluster_get.txt", "cluster get meu-cluster -o table"},
		{"cluster_create.yaml", "cluster create --name meu-cluster"},
		{"kubeconfig.yaml", "cluster kubeconfig meu-cluster --raw"},
		{"kubeconfig.json", "cluster kubeconfig meu-cluster -o json"},
		{"nodepool_list.txt", "nodepool list meu-cluster"},
		{"nodepool_get.txt", "nodepool get meu-cluster nodepool01 -o table"},
		{"nodepool_nodes.txt", "nodepool nodes meu-cluster nodepool01"},
		{"flavor_list.txt", "flavor list"},
		{"version_list.txt", "version list"},
		{"operation_list.txt", "operation list meu-cluster"},
		{"quota_list.txt", "quota list"},
		{"addon_list.txt", "addon list meu-cluster"},
		{"addon_get.yaml", "addon get meu-cluster metrics-server"},
		{"addon_update.txt", "addon update meu-cluster metrics-server --enabled=true -o table"},
		{"metrics_list.txt", "metrics list meu-cluster"},
		{"metrics_get.txt", "metrics get meu-cluster node_cpu_usage_ratio"},
		{"metrics_get.yaml", "metrics get meu-cluster node_cpu_usage_ratio -o yaml"},
		{"metrics_get_last.txt", "metrics get meu-cluster --name etcd_database_bytes --last 1h --step 5m"},
		{"metrics_get_none.txt", "metrics get meu-cluster pod_cpu_usage_cores --namespace default --pool nodepool01"},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			got := newFakeAPI(t, standard()).run(t, append([]string{"kubernetes"}, strings.Fields(tt.args)...)...)
			if got.code != 0 || got.stderr != "" {
				t.Fatalf("exit %d, stderr:\n%s", got.code, got.stderr)
			}
			golden.Match(t, "testdata/"+tt.golden, got.stdout)
		})
	}
}

// TestRequests holds the requests to what the published CLI sends.
func TestRequests(t *testing.T) {
	cluster := "/v0/clusters/" + clusterOne
	tests := []struct {
		name string
		args []string
		line string
		body string
	}{
		{"the talk's command", []string{"cluster", "create", "--name", "meu-cluster", "--node-pools", `[{"flavor": "BV4-8-40", "name": "nodepool01", "replicas": 1}]`},
			"POST /v0/clusters", `{"name":"meu-cluster","node_pools":[{"flavor":"BV4-8-40","name":"nodepool01","replicas":1}]}`},
		{"all of create", []string{"cluster", "create", "--name", "c", "--version", "v1.34.2", "--description", "d", "--allowed-cidrs", "10.0.0.0/8,192.0.2.1/32",
			"--cluster-ipv4-cidr", "10.1.0.0/16", "--services-ipv4-cidr", "10.2.0.0/16", "--network.subnet-ids", `["s1","s2"]`, "--enabled-server-group=false", "--cni", "none"},
			"POST /v0/clusters", `{"allowed_cidrs":["10.0.0.0/8","192.0.2.1/32"],"cluster_ipv4_cidr":"10.1.0.0/16","cni":"none","description":"d","enabled_server_group":false,"name":"c","network":{"subnet_ids":["s1","s2"]},"services_ipv4_cidr":"10.2.0.0/16","version":"v1.34.2"}`},
		{"a cleared list", []string{"cluster", "update", clusterOne, "--allowed-cidrs", "[]", "--description", ""},
			"PATCH " + cluster, `{"allowed_cidrs":[],"description":""}`},
		{"id by flag", []string{"cluster", "update", "--cluster-id", clusterOne, "--version", "v1.35.4"}, "PATCH " + cluster, `{"version":"v1.35.4"}`},
		{"all of a node pool", []string{"nodepool", "create", clusterOne, "--name", "np2", "--flavor", "BV4-8-40", "--replicas", "0", "--auto-scale.min-replicas", "0",
			"--auto-scale.max-replicas", "3", "--max-pods-per-node", "64", "--labels", "a=b,c=", "--taints", `[{"key":"k","value":"","effect":"NoSchedule"}]`, "--network.subnet-ids", `["s1"]`},
			"POST " + cluster + "/node_pools", `{"auto_scale":{"max_replicas":3,"min_replicas":0},"flavor":"BV4-8-40","labels":{"a":"b","c":""},"max_pods_per_node":64,"name":"np2","network":{"subnet_ids":["s1"]},"replicas":0,"taints":[{"effect":"NoSchedule","key":"k","value":""}]}`},
		{"a resize by names", []string{"nodepool", "update", "meu-cluster", "nodepool01", "--replicas", "3"},
			"PATCH " + cluster + "/node_pools/" + poolOne, `{"replicas":3}`},
		{"an addon that goes", []string{"addon", "update", "meu-cluster", "metrics-server", "--enabled=false"},
			"PATCH /v1alpha0/clusters/" + clusterOne + "/addons/metrics-server", `{"enabled":false}`},
		{"settings of an addon", []string{"addon", "update", clusterOne, "--addon", "metrics-server", "--values", `{"resolutionSeconds": 30, "other": null}`},
			"PATCH /v1alpha0/clusters/" + clusterOne + "/addons/metrics-server", `{"values":{"other":null,"resolutionSeconds":30}}`},
		{"bad replicas are the server's to judge", []string{"nodepool", "update", clusterOne, poolOne, "--replicas", "-1"},
			"PATCH " + cluster + "/node_pools/" + poolOne, `{"replicas":-1}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeAPI(t, standard())
			got := f.run(t, append([]string{"kubernetes"}, tt.args...)...)
			if got.code != 0 {
				t.Fatalf("exit %d: %s", got.code, got.stderr)
			}
			lines := f.lines()
			if last := lines[len(lines)-1]; last != tt.line {
				t.Errorf("sent %q, want %q", last, tt.line)
			}
			method, _, _ := strings.Cut(tt.line, " ")
			if diff := cmp.Diff(tt.body, f.lastBody(t, method)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	args := []string{"kubernetes", "cluster", "delete", "meu-cluster"}
	terminal := func(a *app) { a.interactive = func() bool { return true } }
	tests := []struct {
		name   string
		stdin  string
		change func(*app)
		extra  []string
		code   int
		sent   bool
	}{
		{name: "without a terminal", code: ExitUsage},
		{name: "said no", stdin: "n\n", change: terminal, code: ExitGeneral},
		{name: "said nothing", stdin: "\n", change: terminal, code: ExitGeneral},
		{name: "said yes", stdin: "y\n", change: terminal, sent: true},
		{name: "not asked", extra: []string{"--no-confirm"}, sent: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeAPI(t, standard())
			got := f.runWith(t, t.Context(), tt.stdin, tt.change, append(args, tt.extra...)...)
			sent := strings.Contains(strings.Join(f.lines(), "\n"), "DELETE")
			if got.code != tt.code || sent != tt.sent || got.stdout != "" {
				t.Errorf("exit %d, sent %v, stdout %q, stderr %q", got.code, sent, got.stdout, got.stderr)
			}
		})
	}
}

func TestConfigFile(t *testing.T) {
	f := newFakeAPI(t, standard())
	dir := filepath.Join(t.TempDir(), "mgc")
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte("workspace: mine\nregion: br-ne1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteConfig(dir, Config{ServerURL: f.URL, Region: "br-se1", APIKeyFile: key}); err != nil {
		t.Fatal(err)
	}
	got := f.runWith(t, t.Context(), "", func(a *app) {
		a.getenv = func(k string) string { return map[string]string{"MGC_CONFIG_DIR": dir}[k] }
	}, "kubernetes", "cluster", "list", "-o", "json")
	if got.code != 0 {
		t.Fatalf("exit %d: %s", got.code, got.stderr)
	}
	path := filepath.Join(dir, configFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if text, _ := os.ReadFile(path); !strings.Contains(string(text), "workspace: mine") {
		t.Errorf("a key of somebody else was lost: %q", text)
	}
}

func TestLocalRegionIsUsedWhenNothingElseIsConfigured(t *testing.T) {
	data, home := t.TempDir(), t.TempDir()
	if err := WriteConfig(filepath.Join(data, "mgc"), Config{ServerURL: "https://region", APIKey: "k"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MKE_DATA_DIR": data, "HOME": home}
	a := newApp(Streams{}, func(k string) string { return env[k] })
	if c, err := a.storedConfig(); err != nil || c.ServerURL != "https://region" {
		t.Errorf("got %+v, %v", c, err)
	}
	if err := WriteConfig(filepath.Join(home, ".config", "mgc"), Config{APIKey: "mine"}); err != nil {
		t.Fatal(err)
	}
	if c, err := a.storedConfig(); err != nil || c.ServerURL != "" || c.APIKey != "mine" {
		t.Errorf("the person's own configuration must win, got %+v, %v", c, err)
	}
}

func TestCompletion(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"cluster", "get", ""}, "meu-cluster\tRunning"},
		{[]string{"cluster", "get", "1111"}, clusterOne + "\tRunning"},
		{[]string{"nodepool", "get", "meu-cluster", ""}, "nodepool01\tBV4-8-40"},
		{[]string{"addon", "get", "meu-cluster", ""}, "metrics-server\tReady"},
		{[]string{"metrics", "get", "meu-cluster", ""}, "node_cpu_usage_ratio\tratio"},
		{[]string{"nodepool", "create", "meu-cluster", "--flavor", ""}, "BV4-8-40"},
		{[]string{"cluster", "create", "--version", ""}, "v1.34.2"},
	}
	for _, tt := range tests {
		got := newFakeAPI(t, standard()).run(t, append([]string{"__complete", "kubernetes"}, tt.args...)...)
		if !strings.Contains("\n"+got.stdout, "\n"+tt.want+"\n") {
			t.Errorf("%v offers:\n%s", tt.args, got.stdout)
		}
	}
}
