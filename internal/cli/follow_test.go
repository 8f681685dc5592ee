package cli

import (
	"strings"
	"testing"
)

func eventStream(text string) reply {
	return reply{status: 200, header: map[string]string{"Content-Type": "text/event-stream"}, body: text}
}

func TestOperationWatch(t *testing.T) {
	path := "GET /v0/operations/" + opOne + "/events"
	running := "retry: 1000\n\nid: 7\nevent: operation\ndata: {\"kind\":\"CreateCluster\",\"state\":\"Running\",\"message\":\"waiting for the load balancer\",\"phases\":[{\"name\":\"Requested\",\"state\":\"Succeeded\"}]}\n\n: heartbeat\n\n"
	end := "event: end\ndata: {}\n\n"
	ended := func(state, message string) string {
		return "id: 8\nevent: operation\ndata: {\"kind\":\"CreateCluster\",\"state\":\"" + state + "\",\"message\":\"" + message + "\",\"phases\":[]}\n\n" + end
	}
	answers := standard()
	// The connection is lost twice, and once the server restarts.
	answers[path] = []reply{eventStream(running), {status: 503, body: `{"message":"m","slug":"unavailable"}`}, eventStream(""), eventStream(ended("Succeeded", "done"))}
	f := newFakeAPI(t, answers)
	got := f.run(t, "kubernetes", "operation", "watch", opOne)
	if got.code != 0 || !strings.Contains(got.stderr, "ok  Requested") || !strings.Contains(got.stderr, "waiting for the load balancer") || !strings.Contains(got.stderr, "CreateCluster is done.") {
		t.Errorf("exit %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
	for i, want := range []string{"", "7", "7", "7"} {
		if id := f.requests[i].header.Get("Last-Event-ID"); id != want {
			t.Errorf("request %d resumes after %q, want %q", i, id, want)
		}
	}

	answers[path] = []reply{eventStream(running + ended("Failed", "the quota is used up"))}
	got = newFakeAPI(t, answers).run(t, "kubernetes", "operation", "watch", opOne, "-o", "json")
	if got.code != ExitGeneral || len(strings.Split(strings.TrimSpace(got.stdout), "\n")) != 2 || !strings.Contains(got.stderr, "the quota is used up") {
		t.Errorf("exit %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
	got = newFakeAPI(t, standard()).run(t, "kubernetes", "operation", "watch", opOne)
	if got.code != ExitNotFound {
		t.Errorf("exit %d of an operation that is not there: %s", got.code, got.stderr)
	}
}

func TestOperationFilters(t *testing.T) {
	answers := standard()
	answers["GET /v0/operations?kind=CreateCluster&state=Stalled"] = []reply{ok(`{"results":[]}`)}
	answers["GET /v0/operations"] = []reply{ok(`{"results":[],"next_offset":1000}`)}
	answers["GET /v0/operations?_offset=1000"] = []reply{ok(`{"results":[]}`)}
	f := newFakeAPI(t, answers)
	if got := f.run(t, "kubernetes", "operation", "list", "--state", "Stalled", "--kind", "CreateCluster"); got.code != 0 {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
	if got := f.run(t, "kubernetes", "operation", "list"); got.code != 0 || got.stderr != "There are more: --offset 1000\n" {
		t.Errorf("exit %d: %q", got.code, got.stderr)
	}
	if got := f.run(t, "kubernetes", "operation", "list", "--offset", "1000"); got.code != 0 || got.stderr != "" {
		t.Errorf("exit %d: %q", got.code, got.stderr)
	}
}
