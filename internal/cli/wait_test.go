package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/golden"
)

func operationAnswers(last string) map[string][]reply {
	answers := standard()
	created := time.Now().UTC().Format(time.RFC3339Nano)
	answers["GET /v0/clusters/"+clusterOne+"/operations"] = []reply{ok(`{"results":[
		{"id":"other","kind":"CreateNodePool","node_pool_id":"` + poolOne + `","created_at":"` + created + `"},
		{"id":"` + opOne + `","kind":"CreateCluster","created_at":"` + created + `"},
		{"id":"old","kind":"CreateCluster","created_at":"2020-01-01T00:00:00Z"}]}`)}
	start := `"started_at":"2026-11-22T11:59:00Z"`
	vm := `{"name":"Control plane","state":"Succeeded",` + start + `,"finished_at":"2026-11-22T11:59:12.5Z"}`
	answers["GET /v0/operations/"+opOne] = []reply{
		ok(`{"id":"` + opOne + `","state":"Running","phases":[{"name":"Control plane","state":"Running","message":"the machine starts",` + start + `}]}`),
		{status: 503},
		ok(`{"id":"` + opOne + `","state":"Running","phases":[` + vm + `,{"name":"Nodes","state":"Running","message":"0 of 1 ready"},{"name":"Addons","state":"Pending"}]}`),
		ok(last),
	}
	return answers
}

const succeeded = `{"state":"Succeeded","percentage":100,"phases":[{"name":"Control plane","state":"Succeeded"},{"name":"Nodes","state":"Succeeded"}]}`

func TestWaitShowsPhases(t *testing.T) {
	f := newFakeAPI(t, operationAnswers(succeeded))
	got := f.run(t, "kubernetes", "cluster", "create", "--name", "meu-cluster", "--wait")
	if got.code != 0 {
		t.Fatalf("exit %d: %s", got.code, got.stderr)
	}
	golden.Match(t, "testdata/wait.stderr", strings.ReplaceAll(got.stderr, f.URL, "URL"))
	golden.Match(t, "testdata/cluster_get.txt", got.stdout)
}

func TestWaitIsQuiet(t *testing.T) {
	for _, flags := range [][]string{{"-o", "json"}, {"--raw"}} {
		f := newFakeAPI(t, operationAnswers(succeeded))
		got := f.run(t, append([]string{"kubernetes", "cluster", "create", "--name", "meu-cluster", "--wait"}, flags...)...)
		if got.code != 0 || got.stderr != "" || got.stdout == "" {
			t.Errorf("%v: exit %d, stderr %q, stdout %q", flags, got.code, got.stderr, got.stdout)
		}
	}
}

func TestWaitFails(t *testing.T) {
	f := newFakeAPI(t, operationAnswers(`{"state":"Failed","errors":[{"message":"no room in the zone","hint":"take another"}],"phases":[{"name":"Nodes","state":"Failed","message":"no room"}]}`))
	got := f.run(t, "kubernetes", "cluster", "create", "--name", "meu-cluster", "--wait")
	if got.code != ExitGeneral || got.stdout != "" || !strings.Contains(got.stderr, "create failed: no room in the zone\nHint: take another\nSee: mgc kubernetes operation get "+opOne) {
		t.Errorf("exit %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
}

func TestWaitEnds(t *testing.T) {
	f := newFakeAPI(t, operationAnswers(`{"state":"Running","message":"the machine starts"}`))
	got := f.run(t, "kubernetes", "cluster", "create", "--name", "meu-cluster", "--wait", "--wait-timeout", "1s")
	if got.code != ExitGeneral || !strings.Contains(got.stderr, "is not done after 1s (the machine starts)") {
		t.Errorf("timeout: exit %d, stderr %q", got.code, got.stderr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f = newFakeAPI(t, f.answers)
	go func() {
		for !slices.Contains(f.lines(), "GET "+operationPath(opOne)) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	got = f.runWith(t, ctx, "", nil, "kubernetes", "cluster", "create", "--name", "meu-cluster", "--wait")
	if got.code != ExitInterrupted || !strings.Contains(got.stderr, "goes on, follow it with: mgc kubernetes operation get "+opOne) {
		t.Errorf("Ctrl-C: exit %d, stderr %q", got.code, got.stderr)
	}
}

// TestWaitWithoutOperations looks at the object where a server has no operations.
func TestWaitWithoutOperations(t *testing.T) {
	answers := standard()
	path := "GET /v0/clusters/" + clusterOne
	busy := ok(`{"status":{"state":"Deleting","message":"nodes"}}`)
	answers[path] = []reply{busy, busy, {status: 404, body: `{"message":"cluster not found"}`}}
	f := newFakeAPI(t, answers)
	got := f.run(t, "kubernetes", "cluster", "delete", clusterOne, "--no-confirm", "--wait")
	if got.code != 0 || got.stdout != "" || !strings.Contains(got.stderr, "... Deleting: nodes\n") {
		t.Errorf("exit %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
}

func TestLiveLine(t *testing.T) {
	var out bytes.Buffer
	p := &progressView{w: &out, width: 30, now: func() time.Time { return testNow }, started: testNow, shown: map[string]bool{}}
	start, end := testNow.Add(-3*time.Second), testNow.Add(-time.Second)
	p.update(snapshot{phases: []phase{{Name: "VM", State: stateSucceeded, StartedAt: &start, FinishedAt: &end}, {Name: "Nodes", State: stateRunning, Message: "a long story about one node", StartedAt: &end}}})
	p.update(snapshot{done: true})
	want := "\r\x1b[2K  ok  VM (2.0s)\n  ... 1.0s  Nodes: a long st…\r\x1b[2K"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestRetryUntil(t *testing.T) {
	path := "GET /v0/clusters/" + clusterOne
	pending, running := ok(`{"status":{"state":"Pending"}}`), ok(`{"status":{"state":"Running"}}`)
	rule := `2,1ms,jsonpath=$.status.state == "Running"`
	f := newFakeAPI(t, map[string][]reply{path: {ok(`{}`), pending, running}})
	got := f.run(t, "kubernetes", "cluster", "get", clusterOne, "-o", "json", "--raw", "-U", rule)
	if got.code != 0 || got.stdout != `{"status":{"state":"Running"}}`+"\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
	f = newFakeAPI(t, map[string][]reply{path: {pending}})
	got = f.run(t, "kubernetes", "cluster", "get", clusterOne, "-U", rule)
	if got.code != ExitGeneral || len(f.lines()) != 3 {
		t.Errorf("exit %d after %d requests", got.code, len(f.lines()))
	}
}

func TestPrivateCA(t *testing.T) {
	f := &fakeAPI{answers: standard()}
	f.Server = httptest.NewTLSServer(f)
	t.Cleanup(f.Close)
	got := f.run(t, "kubernetes", "cluster", "list")
	if got.code != ExitGeneral || !strings.Contains(got.stderr, "is not trusted") || !strings.Contains(got.stderr, "caFile") {
		t.Errorf("unknown authority: exit %d, stderr %q", got.code, got.stderr)
	}
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	writeCertificate(t, ca, f.Certificate())
	if err := WriteConfig(dir, Config{ServerURL: f.URL, CAFile: ca, APIKey: testKey}); err != nil {
		t.Fatal(err)
	}
	got = f.runWith(t, t.Context(), "", func(a *app) {
		a.getenv = func(k string) string { return map[string]string{"MGC_CONFIG_DIR": dir}[k] }
	}, "kubernetes", "cluster", "list")
	if got.code != 0 {
		t.Errorf("with caFile: exit %d, stderr %q", got.code, got.stderr)
	}
}

func writeCertificate(t *testing.T, path string, c *x509.Certificate) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}
