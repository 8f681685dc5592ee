package cli

import (
	"slices"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/golden"
)

const planBody = `{"dry_run":true,"operation":"DeleteCluster","changes":[
	{"action":"delete","kind":"Cluster","name":"meu-cluster","count":1,"detail":"v1.34.2"},
	{"action":"delete","kind":"Node","name":"nodepool01","count":3,"detail":"BV4-8-40"},
	{"action":"keep","kind":"Volume","name":"mke-11111111-pvc","id":"v","count":1,"detail":"10 GiB; costs money until it is deleted"}],
	"quotas":[{"name":"clusters","description":"clusters","limit":100,"used":0}],
	"estimated_cost":{"currency":"BRL","hourly":0.01,"monthly":7.3,"items":[],"example":true},"cost_change":{"hourly":-1,"monthly":-730}}`

func TestDryRun(t *testing.T) {
	cluster, pool := "/v0/clusters/"+clusterOne, "/v0/clusters/"+clusterOne+"/node_pools/"+poolOne
	for _, tt := range []struct {
		name, args, sent string
	}{
		{"create a cluster", "cluster create --name c", "POST /v0/clusters?dry_run=true"},
		{"change a cluster", "cluster update meu-cluster --deletion-protection", "PATCH " + cluster + "?dry_run=true"},
		{"delete a cluster", "cluster delete meu-cluster", "DELETE " + cluster + "?dry_run=true"},
		{"delete it with volumes", "cluster delete meu-cluster --delete-volumes", "DELETE " + cluster + "?delete_volumes=true&dry_run=true"},
		{"create a node pool", "nodepool create meu-cluster --name p --flavor BV4-8-40 --replicas 1", "POST " + cluster + "/node_pools?dry_run=true"},
		{"change a node pool", "nodepool update meu-cluster nodepool01 --replicas 3", "PATCH " + pool + "?dry_run=true"},
		{"delete a node pool", "nodepool delete meu-cluster nodepool01", "DELETE " + pool + "?dry_run=true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := standard()
			answers[tt.sent] = []reply{ok(planBody)}
			f := newFakeAPI(t, answers)
			got := f.run(t, append([]string{"kubernetes"}, strings.Fields(tt.args+" --dry-run")...)...)
			if got.code != 0 || got.stderr != "" {
				t.Fatalf("exit %d: %s", got.code, got.stderr)
			}
			for _, line := range f.lines() {
				if line != tt.sent && !strings.HasPrefix(line, "GET ") {
					t.Errorf("%s was sent", line)
				}
			}
			if !slices.Contains(f.lines(), tt.sent) {
				t.Errorf("sent %v", f.lines())
			}
			golden.Match(t, "testdata/plan.txt", got.stdout)
			got = f.run(t, append([]string{"kubernetes"}, strings.Fields(tt.args+" --dry-run -o json")...)...)
			if got.code != 0 || !strings.Contains(got.stdout, `"dry_run": true`) {
				t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// A server without dry runs would do what it is only asked about.
func TestNoDryRunWithoutKnowledge(t *testing.T) {
	answers := standard()
	delete(answers, "GET "+quotasPath)
	f := newFakeAPI(t, answers)
	got := f.run(t, "kubernetes", "cluster", "delete", clusterOne, "--dry-run")
	if got.code != ExitUsage || !strings.Contains(got.stderr, "no dry run") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
	for _, line := range f.lines() {
		if !strings.HasPrefix(line, "GET ") {
			t.Errorf("%s was sent", line)
		}
	}
	if got := f.run(t, "kubernetes", "cluster", "delete", clusterOne, "--dry-run", "--wait"); got.code == 0 {
		t.Error("--dry-run with --wait was accepted")
	}
}

func TestDryRunOfNothing(t *testing.T) {
	answers := standard()
	answers["PATCH /v0/clusters/"+clusterOne+"?dry_run=true"] = []reply{ok(`{"dry_run":true,"operation":"UpdateCluster","changes":[]}`)}
	got := newFakeAPI(t, answers).run(t, "kubernetes", "cluster", "update", clusterOne, "--description", "d", "--dry-run")
	if got.code != 0 || got.stdout != "Nothing would change.\n" {
		t.Errorf("exit %d: %q %s", got.code, got.stdout, got.stderr)
	}
}
