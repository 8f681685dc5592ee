package audit

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	r := Record{UserAgent: "a\x00b\x1b[31m\xff" + strings.Repeat("é", maxText), Path: strings.Repeat("/x", maxPath), Resources: make([]string, 20)}
	r.Clean()
	if !strings.HasPrefix(r.UserAgent, "ab[31m?é") || len(r.UserAgent) > maxText || !utf8.ValidString(r.UserAgent) {
		t.Errorf("user agent %q", r.UserAgent)
	}
	if len(r.Path) != maxPath || len(r.Resources) != maxResources {
		t.Errorf("path of %d bytes, %d resources", len(r.Path), len(r.Resources))
	}
}

func TestCallerHeader(t *testing.T) {
	want := Caller{TenantID: "t", SubjectType: "user", Subject: "u", SubjectName: "Ana & Zé\r\n<a@b.c>", KeyID: "k"}
	text := want.Encode()
	if strings.ContainsAny(text, "\r\n ") {
		t.Errorf("not fit for a header: %q", text)
	}
	if got := ParseCaller(text); got != want {
		t.Errorf("got %+v", got)
	}
	if got := ParseCaller("%zz"); got != (Caller{}) {
		t.Errorf("nonsense: %+v", got)
	}
}

func TestResult(t *testing.T) {
	for status, want := range map[int]string{200: Succeeded, 303: Succeeded, 400: Failed, 401: Refused, 403: Refused, 404: Failed, 429: Refused, 503: Failed} {
		if got := Result(status); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}
