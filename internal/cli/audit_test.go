package cli

import (
	"strings"
	"testing"

	"magalu.cloud/mke/internal/golden"
)

const auditOne = `{"id":"44444444-4444-4444-8444-444444444444","time":"2026-11-22T11:59:00Z","actor":{"type":"user","id":"u","name":"maria@example.com","key_id":"k"},
	"product":"kubernetes","operation":"DELETE /v0/clusters/{cluster_id}","method":"DELETE","path":"/v0/clusters/` + clusterOne + `","resources":["` + clusterOne + `"],
	"dry_run":true,"address":"198.51.100.7","user_agent":"mgc/1","request_id":"r1","trace_id":"t1","result":"failed","status":409,"error":"deletion_protected","duration_ms":12}`

const auditTwo = `{"id":"55555555-5555-4555-8555-555555555555","time":"2026-11-22T11:58:00Z","actor":{"type":"","id":"","name":""},"product":"","operation":"","method":"POST",
	"path":"/nowhere","resources":[],"dry_run":false,"result":"refused","status":401,"error":"unauthorized"}`

func TestAudit(t *testing.T) {
	const next = "2026-11-22T11:58:00Z,55555555-5555-4555-8555-555555555555"
	f := newFakeAPI(t, map[string][]reply{
		"GET /v1alpha0/audit?_limit=100":                                                                        {ok(`{"results":[` + auditOne + `,` + auditTwo + `]}`)},
		"GET /v1alpha0/audit?_limit=1&actor=maria%40example.com&result=failed":                                  {ok(`{"results":[` + auditOne + `],"next":"` + next + `"}`)},
		"GET /v1alpha0/audit?_after=2026-11-22T11%3A58%3A00Z%2C55555555-5555-4555-8555-555555555555&_limit=100": {ok(`{"results":[]}`)},
		"GET /v1alpha0/audit/44444444-4444-4444-8444-444444444444":                                              {ok(auditOne)},
	})
	for file, args := range map[string]string{
		"audit_list.txt": "audit list",
		"audit_get.yaml": "audit get 44444444-4444-4444-8444-444444444444",
		"audit_none.txt": "audit list --after " + next,
	} {
		got := f.run(t, strings.Fields(args)...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%s: exit %d: %s", args, got.code, got.stderr)
		}
		golden.Match(t, "testdata/"+file, got.stdout)
	}
	some := []string{"audit", "list", "--actor", "maria@example.com", "--result", "failed", "--limit", "1"}
	if got := f.run(t, some...); got.code != 0 || got.stderr != "There are more: --after "+next+"\n" {
		t.Errorf("exit %d: %q", got.code, got.stderr)
	}
	if got := f.run(t, append(some, "--raw", "-o", "json")...); got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, `"next":"`+next) {
		t.Errorf("exit %d: %q %q", got.code, got.stdout, got.stderr)
	}
	if got := f.run(t, "audit", "get"); got.code != ExitUsage {
		t.Errorf("without a record: exit %d", got.code)
	}
}
