package iam

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

const signInPath = "/iam/oauth/sign-in"

func (f *fixture) waiting() audit.Waiting {
	f.t.Helper()
	var w audit.Waiting
	f.do(platformKey, "GET", audit.Path, "", 200, &w)
	return w
}

// What comes straight to IAM is on record, good or bad; what the gateway brings is not, for the gateway records it.
func TestDirectSignInsAreRecorded(t *testing.T) {
	f, b := newPerson(t)
	var key keyView
	f.do(acmeKey, "POST", accounts+"/"+f.account().UUID+"/api-keys", `{"name":"k","scopes":["mke.read"]}`, 201, &key)
	credentials := func(secret string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {key.UUID}, "client_secret": {secret}}
	}
	all := func(headers ...string) (secrets []string) {
		b.do("POST", signInPath, url.Values{"id": {b.begin()}, "email": {email}, "password": {"wrong-" + password}}, headers...)
		code := b.code(b.do("POST", signInPath, url.Values{"id": {b.begin()}, "email": {email}, "password": {password}}, headers...))
		form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {"mgc"}, "code_verifier": {verifier}}
		var got tokens
		if err := json.Unmarshal(b.do("POST", "/iam/oauth/token", form, headers...).Body.Bytes(), &got); err != nil || got.Access == "" {
			t.Fatalf("no token: %+v, %v", got, err)
		}
		b.do("POST", "/iam/oauth/token", credentials(acmeKey), headers...)
		b.do("POST", "/iam/oauth/token", credentials(*key.APIKey), headers...)
		b.do("POST", "/iam/oauth/revoke", url.Values{"token": {got.Access}, "client_id": {"mgc"}}, headers...)
		b.do("POST", signInPath, url.Values{"id": {"x"}, "email": {email}, "password": {password}}, append(headers, "Sec-Fetch-Site", "cross-site")...)
		return []string{password, code, verifier, got.Access, *key.APIKey, acmeKey, b.cookies[0].Value, redirect}
	}
	all("X-Api-Key", platformKey)
	if got := f.waiting(); len(got.Records) != 0 {
		t.Fatalf("the gateway's calls are recorded twice: %+v", got.Records)
	}
	secrets := all("User-Agent", "mgc/1\x01", "X-Api-Key", acmeKey)
	waiting := f.waiting()
	want := []struct {
		operation, subject string
		status             int
		slug               string
	}{
		{"POST /oauth/sign-in", email, 401, ""}, {"POST /oauth/sign-in", email, 303, ""}, {"POST /oauth/token", email, 200, ""},
		{"POST /oauth/token", "mke-1", 401, "invalid_client"}, {"POST /oauth/token", "mke-1", 200, ""}, {"POST /oauth/revoke", email, 200, ""},
		{"POST /oauth/sign-in", "", 403, ""},
	}
	if len(waiting.Records) != len(want) {
		t.Fatalf("%d records: %+v", len(waiting.Records), waiting.Records)
	}
	for i, r := range waiting.Records {
		w := want[i]
		if r.Operation != w.operation || r.SubjectName != w.subject || r.Status != w.status || r.Error != w.slug {
			t.Errorf("%d: got %+v, want %+v", i, r, w)
		}
		if r.SubjectName != "" && r.TenantID != acme || r.Product != "iam" || r.Method != "POST" || r.Address != "192.0.2.1" || r.UserAgent != "mgc/1" || r.Time.IsZero() {
			t.Errorf("%d: got %+v", i, r)
		}
	}
	raw, err := json.Marshal(waiting)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(raw), secret) || strings.Contains(string(raw), url.QueryEscape(secret)) {
			t.Errorf("the records have %q", secret)
		}
	}
}

// Records wait until the platform says up to where it has them. Nobody else sees them.
func TestRecordsWaitForThePlatform(t *testing.T) {
	f, b := newPerson(t)
	for range 3 {
		b.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {acme}, "client_secret": {"x"}})
	}
	for _, method := range []string{"GET", "DELETE"} {
		f.do(acmeKey, method, audit.Path+"?last=9", "", 404, nil)
	}
	first := f.waiting()
	if len(first.Records) != 3 || len(f.waiting().Records) != 3 {
		t.Fatalf("got %+v", first)
	}
	b.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {acme}, "client_secret": {"x"}})
	f.do(platformKey, "DELETE", audit.Path+"?last=x", "", 422, nil)
	for range 2 { // an answer may be lost
		f.do(platformKey, "DELETE", audit.Path+"?last="+strconv.FormatInt(first.Last, 10), "", 204, nil)
		if left := f.waiting(); len(left.Records) != 1 || left.Last != first.Last+1 {
			t.Errorf("left are %+v", left)
		}
	}
}

// Strangers cannot fill the database: refusals of one address are bounded by the second, what waits in all.
func TestRecordsAreBounded(t *testing.T) {
	f, b := newPerson(t)
	refuse := func(n int) {
		for range n {
			if rec := b.do("POST", "/iam/oauth/token", url.Values{"grant_type": {"nonsense"}}); rec.Code != 400 || rec.Header().Get("X-RateLimit-Limit") != "" {
				t.Fatalf("%d %v", rec.Code, rec.Header())
			}
		}
	}
	refuse(5 * refusalsRecorded)
	if n := len(f.waiting().Records); n < refusalsRecorded || n > 4*refusalsRecorded {
		t.Errorf("%d refusals are recorded", n)
	}
	f.do(platformKey, "DELETE", audit.Path+"?last=1000", "", 204, nil)
	f.service.refusals, f.service.maxRecords = newRefusals(), 3
	refuse(refusalsRecorded)
	if n := len(f.waiting().Records); n != 3 {
		t.Errorf("%d wait although there is room for 3", n)
	}
}

// A record is there before who signs in has the answer.
func TestRecordComesBeforeTheAnswer(t *testing.T) {
	f, _ := newPerson(t)
	var before int
	answer := &writer{ResponseWriter: httptest.NewRecorder(), first: func() { before = len(f.waiting().Records) }}
	r := httptest.NewRequest("POST", "/iam/oauth/token", strings.NewReader("grant_type=client_credentials"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	httpapi.RequestIDs(f.api).ServeHTTP(answer, r)
	if got := f.waiting().Records; before != 1 || len(got) != 1 || got[0].RequestID == "" {
		t.Errorf("%d records before the answer, after it %+v", before, got)
	}
}

type writer struct {
	http.ResponseWriter
	first func()
}

func (w *writer) WriteHeader(status int) {
	w.first()
	w.ResponseWriter.WriteHeader(status)
}
