package cli

import (
	"net/http"
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	list := "GET /v0/clusters"
	tests := []struct {
		name    string
		answers []reply
		args    string
		code    int
		stderr  []string
		sent    int
	}{
		{"all problems, one per line", []reply{{status: 400, body: `{"message":"2 problems: a; b","slug":"invalid_request","details":[{"field":"name","message":"must begin with a letter"},{"field":"node_pools[0].flavor","message":"not offered","hint":"see the list"}]}`}},
			"cluster list", ExitInvalid, []string{"400 Bad Request (invalid_request)\n", "\n  - name: must begin with a letter\n", "\n  - node_pools[0].flavor: not offered (see the list)\n", "Request id: req-1"}, 1},
		{"one problem with a hint", []reply{{status: 422, body: `{"message":"flavor: not offered","slug":"unknown_flavor","hint":"see the list","details":[{"field":"flavor","message":"not offered"}]}`}},
			"cluster list", ExitInvalid, []string{"(unknown_flavor) - flavor: not offered\nHint: see the list\n"}, 1},
		{"conflict", []reply{{status: 409, body: `{"message":"exists","slug":"conflict"}`}}, "cluster list", ExitInvalid, []string{"409 Conflict (conflict) - exists"}, 1},
		{"forbidden", []reply{{status: 403, body: `{"message":"no","slug":"Forbidden"}`}}, "cluster list", ExitAuth, []string{"403 Forbidden"}, 1},
		{"not found", []reply{{status: 404, body: `{"message":"no","slug":"not_found"}`}}, "cluster list", ExitNotFound, nil, 1},
		{"too many", []reply{{status: 429, header: map[string]string{"Retry-After": "7"}, body: `{"message":"slow","slug":"rate"}`}}, "cluster list", ExitGeneral, []string{"Try again in: 7 s"}, 1},
		{"server error to the end", []reply{{status: 503, body: `busy`}}, "cluster list", ExitGeneral, []string{"503 Service Unavailable - the server gave no reason"}, 5},
		{"not implemented", []reply{{status: 501, body: `{"message":"there is none here","slug":"not_implemented"}`}}, "cluster list", ExitGeneral, []string{"there is none here"}, 1},
		{"server error that passes", []reply{{status: 500}, {status: 502}, ok(`{"results":[]}`)}, "cluster list", ExitOK, nil, 3},
		{"redirects are not followed", []reply{{status: 302, header: map[string]string{"Location": "http://elsewhere/"}}}, "cluster list", ExitGeneral, []string{"redirects to \"http://elsewhere/\""}, 1},
		{"not JSON", []reply{ok("<html>")}, "cluster list -o json", ExitGeneral, []string{"not JSON"}, 1},
		{"unknown name", []reply{ok(`{"results":[]}`)}, "cluster get nobody", ExitNotFound, []string{`no cluster has the id or name "nobody"`}, 1},
		{"two of a name", []reply{ok(`{"results":[{"id":"a","name":"n"},{"id":"b","name":"n"}]}`)}, "cluster get n", ExitUsage, []string{`give one of these ids: ["a" "b"]`}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeAPI(t, map[string][]reply{list: tt.answers})
			got := f.run(t, append([]string{"kubernetes"}, strings.Fields(tt.args)...)...)
			if got.code != tt.code {
				t.Errorf("exit %d, want %d; stderr:\n%s", got.code, tt.code, got.stderr)
			}
			if tt.code != 0 && got.stdout != "" {
				t.Errorf("an error wrote to stdout: %q", got.stdout)
			}
			for _, want := range tt.stderr {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
				}
			}
			if n := len(f.lines()); n != tt.sent {
				t.Errorf("sent %d requests, want %d", n, tt.sent)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"cluster", "create"}, []string{"--name is missing"}},
		{[]string{"cluster", "create", "--name", "x", "--node-pools", `[{"a":}]`}, []string{"--node-pools: it is not valid JSON", "position 7", "\n        ^\n", "Example: --node-pools '[{"}},
		{[]string{"cluster", "create", "--name", "x", "--node-pools", `[{"a":1}`}, []string{"ends too early, at position 9", "Example:"}},
		{[]string{"cluster", "create", "--name", "x", "--node-pools", ``}, []string{"ends too early"}},
		{[]string{"cluster", "create", "--name", "x", "--node-pools", `[{}] x`}, []string{"more after the end"}},
		{[]string{"cluster", "create", "--name", "x", "--node-pools", `{}`}, []string{"found object where a list is needed"}},
		{[]string{"cluster", "create", "--name", "x", "--node-pools", `[null]`}, []string{"entry 1 is null"}},
		{[]string{"cluster", "create", "--name", "x", "--node-pools", `null`}, []string{"not a list"}},
		{[]string{"cluster", "create", "--name", "x", "--allowed-cidrs", `[1]`}, []string{"found number where a string is needed"}},
		{[]string{"nodepool", "create", "c", "--name", "x", "--flavor", "f", "--labels", "novalue"}, []string{`"novalue", is not key=value`}},
		{[]string{"nodepool", "update", "c", "p", "--replicas", "many"}, []string{"--replicas"}},
		{[]string{"nodepool", "update", "c", "p"}, []string{"nothing to change"}},
		{[]string{"nodepool", "get", "c"}, []string{"NODE_POOL is missing", "get CLUSTER NODE_POOL"}},
		{[]string{"cluster", "get", "a", "b"}, []string{`unexpected argument "b"`}},
		{[]string{"cluster", "lst"}, []string{"unknown command", "did you mean list"}},
		{[]string{"cluster", "list", "--nope"}, []string{"unknown flag: --nope", "--help"}},
		{[]string{"cluster", "list", "-o", "xml"}, []string{"use json, yaml, table"}},
		{[]string{"cluster", "list", "-U", "x,5s,jsonpath=$.a"}, []string{"first part", "Running"}},
		{[]string{"cluster", "list", "--server-url", "nohost"}, []string{"not an http(s) URL"}},
	}
	for _, tt := range tests {
		f := newFakeAPI(t, standard())
		got := f.run(t, append([]string{"kubernetes"}, tt.args...)...)
		if got.code != ExitUsage || got.stdout != "" {
			t.Errorf("%q: exit %d, stdout %q", tt.args, got.code, got.stdout)
		}
		for _, want := range tt.want {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%q: stderr lacks %q:\n%s", tt.args, want, got.stderr)
			}
		}
		if len(f.lines()) > 0 {
			t.Errorf("%q sent %v", tt.args, f.lines())
		}
	}
}

func TestWrongKey(t *testing.T) {
	got := newFakeAPI(t, standard()).run(t, "kubernetes", "cluster", "list", "--api-key", "wrong")
	if got.code != ExitAuth || !strings.Contains(got.stderr, "401 Unauthorized") || !strings.Contains(got.stderr, "MGC_API_KEY") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
}

// TestRetryHeaders wants a new request id and the same idempotency key for every attempt, and no key in the debug text.
func TestRetryHeaders(t *testing.T) {
	f := newFakeAPI(t, map[string][]reply{"POST /v0/clusters": {{status: 500}, {status: 500}, {status: 201, body: `{"id":"i","name":"n"}`}}})
	got := f.run(t, "kubernetes", "cluster", "create", "--name", "n", "--debug")
	if got.code != 0 || len(f.requests) != 3 {
		t.Fatalf("exit %d, %d requests: %s", got.code, len(f.requests), got.stderr)
	}
	if strings.Contains(got.stderr, testKey) {
		t.Error("--debug shows the API key")
	}
	ids, keys := map[string]bool{}, map[string]bool{}
	for _, r := range f.requests {
		ids[r.header.Get("X-Request-Id")] = true
		keys[r.header.Get("Idempotency-Key")] = true
	}
	if len(ids) != 3 || len(keys) != 1 {
		t.Errorf("request ids %v, idempotency keys %v", ids, keys)
	}
}

func TestUnreachableIsTriedAgain(t *testing.T) {
	f := newFakeAPI(t, nil)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
	})
	got := f.run(t, "kubernetes", "cluster", "list")
	if got.code != ExitGeneral || !strings.Contains(got.stderr, "cannot reach") {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
}

// A repetition that comes while the lost first attempt is still being worked on waits for its answer.
func TestRepetitionOfWhatIsUnderWay(t *testing.T) {
	answers := standard()
	answers["POST /v0/clusters"] = append([]reply{{status: 503, body: `{"message":"m","slug":"unavailable"}`},
		{status: 409, body: `{"message":"m","slug":"idempotency_key_in_use"}`}}, answers["POST /v0/clusters"]...)
	f := newFakeAPI(t, answers)
	if got := f.run(t, "kubernetes", "cluster", "create", "--name", "meu-cluster"); got.code != 0 || len(f.requests) != 3 {
		t.Fatalf("exit %d after %d requests: %s", got.code, len(f.requests), got.stderr)
	}
	for _, r := range f.requests {
		if key := r.header.Get("Idempotency-Key"); key == "" || key != f.requests[0].header.Get("Idempotency-Key") {
			t.Errorf("key %q", key)
		}
	}
}
