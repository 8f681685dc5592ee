package cli

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestJSONPath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "path")
	if err := os.WriteFile(file, []byte("$.results[0].status\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args, output, want string
		code               int
	}{
		{"kubernetes cluster list", "jsonpath=$.results[*].id", clusterOne + "\n", 0},
		{"kubernetes cluster list", `jsonpath=$.results[?(@.name == "other")].id`, "", 0},
		{"kubernetes cluster list", "jsonpath=$.results", `{"allowed_cidrs":[],"created_at":`, 0},
		{"kubernetes cluster list", "jsonpath-file=" + file, `{"message":"Ready","state":"Running"}` + "\n", 0},
		{"kubernetes cluster get meu-cluster", "jsonpath=$.status.state", "Running\n", 0},
		{"kubernetes cluster kubeconfig meu-cluster", "jsonpath=$.kind", "Config\n", 0},
		{"kubernetes version list", "jsonpath=$.results[0].minimumRequirements.vcpu", "2\n", 0},
		{"kubernetes cluster get meu-cluster", "jsonpath=$.nothing", "", ExitGeneral},
		{"kubernetes cluster get meu-cluster", "jsonpath=$[", "", ExitUsage},
		{"kubernetes cluster get meu-cluster", "jsonpath-file=/nowhere", "", ExitUsage},
	} {
		f := newFakeAPI(t, standard())
		got := f.run(t, append(strings.Fields(tt.args), "-o", tt.output)...)
		if got.code != tt.code || !strings.HasPrefix(got.stdout, tt.want) || tt.want == "" && got.stdout != "" {
			t.Errorf("%s -o %s: exit %d\n%s%s", tt.args, tt.output, got.code, got.stdout, got.stderr)
		}
		if tt.code == ExitUsage && len(f.lines()) > 0 {
			t.Errorf("-o %s: sent %v", tt.output, f.lines())
		}
	}
}

// TestTablesFitTheTerminal cuts what may be cut, and leaves ids and scripts' tables alone.
func TestTablesFitTheTerminal(t *testing.T) {
	g := &grid{columns: []column{{"name", true}, {"id", false}, {"note", true}}}
	g.add("short", clusterOne, strings.Repeat("palavra ", 20))
	g.add(strings.Repeat("ção", 30), poolOne, "")
	for _, width := range []int{0, 40, 80, 120} {
		var out bytes.Buffer
		if err := g.render(&out, width); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 3 || !strings.Contains(lines[1], clusterOne) || !strings.Contains(lines[2], poolOne) {
			t.Errorf("width %d: a row is one line with its id:\n%s", width, out.String())
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); width >= 80 && n > width {
				t.Errorf("width %d: a line has %d\n%s", width, n, out.String())
			}
		}
		if strings.Contains(out.String(), "…") != (width > 0) {
			t.Errorf("width %d:\n%s", width, out.String())
		}
	}
}

func TestTimeoutOfACommand(t *testing.T) {
	f := newFakeAPI(t, nil)
	f.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	got := f.run(t, strings.Fields("kubernetes cluster list --cli.timeout 30ms")...)
	if got.code != ExitGeneral || !strings.Contains(got.stderr, "not done within --cli.timeout 30ms") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
	if got := f.run(t, strings.Fields("kubernetes cluster list -t -1s")...); got.code != ExitUsage {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

func TestRetryUntilChangesNothing(t *testing.T) {
	f := newFakeAPI(t, productAnswers())
	got := f.run(t, "virtual-machine", "instances", "stop", vmOne, "-U", "2,1ms,jsonpath=$.x == 1")
	if got.code != ExitUsage || len(f.lines()) > 0 {
		t.Errorf("exit %d, sent %v\n%s", got.code, f.lines(), got.stderr)
	}
}
