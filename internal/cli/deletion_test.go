package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/golden"
)

func TestDeletionOfVolumes(t *testing.T) {
	line := "DELETE /v0/clusters/" + clusterOne
	for _, tt := range []struct {
		name   string
		extra  []string
		sent   string
		warned []string
	}{
		{"kept", nil, line, []string{"These are kept, and cost money until you delete them:\n  - volumes"}},
		{"removed", []string{"--delete-volumes"}, line + "?delete_volumes=true", []string{"the data in them is LOST", "These are kept:\n  - public IPs"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := standard()
			answers[tt.sent] = []reply{{status: 204}}
			f := newFakeAPI(t, answers)
			got := f.runWith(t, t.Context(), "y\n", func(a *app) { a.interactive = func() bool { return true } },
				append([]string{"kubernetes", "cluster", "delete", clusterOne}, tt.extra...)...)
			if got.code != 0 || !slices.Contains(f.lines(), tt.sent) {
				t.Errorf("exit %d, sent %v: %s", got.code, f.lines(), got.stderr)
			}
			for _, want := range tt.warned {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("%q is missing in\n%s", want, got.stderr)
				}
			}
		})
	}
}

func TestWaitListsWhatIsLeftBehind(t *testing.T) {
	answers := standard()
	answers["GET /v0/clusters/"+clusterOne+"/operations"] = []reply{ok(`{"results":[{"id":"` + opOne + `","kind":"DeleteCluster","created_at":"` +
		time.Now().UTC().Format(time.RFC3339Nano) + `"}]}`)}
	answers["GET /v0/operations/"+opOne] = []reply{ok(`{"id":"` + opOne + `","state":"Succeeded","phases":[],
		"removed":[{"kind":"LoadBalancer","id":"6f1f8a52-0000-4000-8000-000000000001","name":"mke-11111111-web","service":"default/web"}],
		"kept":[{"kind":"PublicIP","id":"6f1f8a52-0000-4000-8000-000000000002","name":"198.18.4.7","service":"default/web"},
		        {"kind":"Volume","id":"6f1f8a52-0000-4000-8000-000000000003","name":"mke-11111111-pvc","size_gib":10},
		        {"kind":"Volume","id":"6f1f8a52-0000-4000-8000-000000000004","name":"mke-11111111-two","size_gib":20,"reason":"the cloud refuses to delete it: it has snapshots"}]}`)}
	f := newFakeAPI(t, answers)
	got := f.run(t, "kubernetes", "cluster", "delete", clusterOne, "--no-confirm", "--wait")
	if got.code != 0 {
		t.Fatalf("exit %d: %s", got.code, got.stderr)
	}
	golden.Match(t, "testdata/left_behind.txt", got.stdout)
	golden.Match(t, "testdata/left_behind.stderr", strings.ReplaceAll(got.stderr, f.URL, "URL"))
	got = f.run(t, "kubernetes", "cluster", "delete", clusterOne, "--no-confirm", "--wait", "-o", "json")
	if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, `"kept": [`) {
		t.Errorf("exit %d, stderr %q, stdout %q", got.code, got.stderr, got.stdout)
	}
}
