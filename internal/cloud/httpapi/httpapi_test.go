package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func serve(h http.Handler, req *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestErrorsTellNothingInternal(t *testing.T) {
	for _, c := range []struct {
		err    error
		shape  ErrorShape
		status int
		body   string
	}{
		{NotFound("vpc"), SlugMessage, 404, `{"message":"vpc not found","slug":"not_found"}`},
		{NotFound("vpc"), SlugMessageDetails, 404, `{"message":"vpc not found","slug":"not_found","details":{}}`},
		{NotFound("vpc"), SlugMessageList, 404, `{"message":"vpc not found","slug":"not_found","details":[]}`},
		{Invalid("name: bad"), SlugMessageDetails, 422, `{"message":"name: bad","slug":"unprocessable_entity"}`},
		{&http.MaxBytesError{Limit: 5}, SlugMessage, 413, `{"message":"the body is larger than 5 bytes","slug":"body_too_large"}`},
	} {
		rec := serve(Handler(c.shape, func(http.ResponseWriter, *http.Request) error { return c.err }), httptest.NewRequest("GET", "/", nil))
		if got := strings.TrimSpace(rec.Body.String()); rec.Code != c.status || got != c.body {
			t.Errorf("%v: %d %s", c.err, rec.Code, got)
		}
	}
	rec := serve(Handler(SlugMessage, func(http.ResponseWriter, *http.Request) error { return errors.New("SQL is secret") }), httptest.NewRequest("GET", "/", nil))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "SQL") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	rec = serve(Recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })), httptest.NewRequest("GET", "/", nil))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") {
		t.Errorf("panic: %d %s", rec.Code, rec.Body)
	}
}

func TestDecode(t *testing.T) {
	var v struct {
		Name string `json:"name"`
		N    []int  `json:"n"`
	}
	for body, want := range map[string]string{
		`{"name":"x","unknown":1}`: "",
		``:                         "a JSON body is required",
		` null `:                   "a JSON body is required",
		`{"name":7}`:               "name: Input should be a valid string",
		`{"n":{}}`:                 "n: Input should be a valid list",
		`{"name":"x"}{}`:           "not valid JSON",
		`[`:                        "not valid JSON",
	} {
		err := Decode(httptest.NewRequest("POST", "/", strings.NewReader(body)), &v)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", body, err, want)
		}
	}
	large := httptest.NewRequest("POST", "/", strings.NewReader(`"`+strings.Repeat("x", MaxBody)+`"`))
	rec := serve(LimitBody(Handler(SlugMessage, func(_ http.ResponseWriter, r *http.Request) error { return Decode(r, &v) })), large)
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d", rec.Code)
	}
}

func TestPages(t *testing.T) {
	page, err := ParsePage(httptest.NewRequest("GET", "/?_limit=2&_offset=1", nil), 50, 100)
	if err != nil || page != (Page{Limit: 2, Offset: 1}) {
		t.Fatalf("got %v, %v", page, err)
	}
	if got := Slice([]int{1, 2, 3, 4}, page); len(got) != 2 || got[0] != 2 {
		t.Errorf("got %v", got)
	}
	if got := Slice([]int{1}, Page{Limit: 2, Offset: 9}); got == nil || len(got) != 0 {
		t.Errorf("behind the end: %v", got)
	}
	for _, query := range []string{"_limit=0", "_limit=101", "_limit=x", "_offset=-1"} {
		if _, err := ParsePage(httptest.NewRequest("GET", "/?"+query, nil), 50, 100); err == nil {
			t.Errorf("%s must be refused", query)
		}
	}
}

func TestSort(t *testing.T) {
	type item struct {
		name string
		size int
	}
	order := Order[item]{"name": By(func(i item) string { return i.name }), "size": By(func(i item) int { return i.size })}
	items := []item{{"b", 1}, {"a", 2}, {"c", 1}}
	for query, want := range map[string]string{"": "abc", "_sort=name:desc": "cba", "_sort=size:asc": "bca", "_sort=size:desc,name:desc": "acb"} {
		sorted, err := ParseOrder(httptest.NewRequest("GET", "/?"+query, nil), "_sort", "name:asc", order)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		got := ""
		for _, i := range sorted(items) {
			got += i.name
		}
		if got != want || items[0].name != "b" {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	for _, query := range []string{"_sort=name", "_sort=name:up", "_sort=other:asc", "_sort=name:asc,,"} {
		if _, err := ParseOrder(httptest.NewRequest("GET", "/?"+query, nil), "_sort", "name:asc", order); err == nil {
			t.Errorf("%s must be refused", query)
		}
	}
}

func TestLinksKeepFilters(t *testing.T) {
	for _, c := range []struct {
		query                string
		total                int
		next, previous, self string
	}{
		{"_limit=2&_offset=2&name=x", 5, "/l?_limit=2&_offset=4&name=x", "/l?_limit=2&_offset=0&name=x", "/l?_limit=2&_offset=2&name=x"},
		{"_limit=2&_offset=1", 3, "", "/l?_limit=2&_offset=0", "/l?_limit=2&_offset=1"},
		{"", 3, "", "", "/l?"},
	} {
		r := httptest.NewRequest("GET", "/l?"+c.query, nil)
		page, err := ParsePage(r, 50, 100)
		if got := PageLinks(r, page, c.total); err != nil || got != (Links{Next: c.next, Previous: c.previous, Self: c.self}) {
			t.Errorf("%s: %+v, %v", c.query, got, err)
		}
	}
	r := httptest.NewRequest("GET", "/l?page=2&items_per_page=2", nil)
	page, err := ParseNumberedPage(r, "page", "items_per_page", 10, 100)
	if got := NumberedPageLinks(r, "page", "items_per_page", page, 5); err != nil || got.Next != "/l?items_per_page=2&page=3" || got.Previous != "/l?items_per_page=2&page=1" {
		t.Errorf("numbered: %+v, %v", got, err)
	}
}

// The published SDK sends every body in chunks, without a length, and `null` with DELETE.
func TestChunkedBodies(t *testing.T) {
	var got struct{ Name string }
	server := httptest.NewServer(LimitBody(Handler(SlugMessage, func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodPost {
			if err := Decode(r, &got); err != nil {
				return err
			}
		}
		NoContent(w)
		return nil
	})))
	defer server.Close()
	for method, body := range map[string]string{"POST": `{"name":"x"}`, "DELETE": "null"} {
		request, err := http.NewRequest(method, server.URL, io.MultiReader(strings.NewReader(body))) // of no known length
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %d", method, answer.StatusCode)
		}
	}
	if got.Name != "x" {
		t.Errorf("got %+v", got)
	}
}

type keys map[string]Identity

func (k keys) Authenticate(_ context.Context, key string) (Identity, error) {
	if key == "broken" {
		return Identity{}, errors.New("no database")
	}
	id, ok := k[key]
	if !ok {
		return id, ErrUnknownKey
	}
	return id, nil
}

func TestAuthentication(t *testing.T) {
	all := []string{"*"}
	auth := keys{
		"user":     {TenantID: "a", Scopes: []string{"network.read"}, Permissions: all},
		"member":   {TenantID: "a", Scopes: all, Permissions: []string{"net_vpc_get"}},
		"platform": {TenantID: "p", Platform: true, Scopes: all, Permissions: all},
	}
	h := Authenticate(auth, SlugMessage)(Authorize("network", SlugMessageOrigin)(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, TenantID(r.Context())) })))
	for _, c := range []struct {
		method, path, header, value, tenant string
		status                              int
		body                                string
	}{
		{"GET", "/v0/vpcs", "X-Api-Key", "", "", 401, ""},
		{"GET", "/v0/vpcs", "X-Api-Key", "wrong", "", 401, ""},
		{"GET", "/v0/vpcs", "X-Api-Key", "broken", "", 503, ""},
		{"GET", "/v0/vpcs", "X-Api-Key", "user", "", 200, "a"},
		{"GET", "/v0/vpcs", "X-Api-Key", "user", "b", 200, "a"},
		{"GET", "/v0/vpcs", "Authorization", "Bearer user", "", 200, "a"},
		{"POST", "/v1/vpcs", "X-Api-Key", "user", "", 403, `{"message":"the credential lacks the scope network.write","slug":"forbidden"}`},
		{"GET", "/v0/vpcs/x", "X-Api-Key", "member", "", 200, "a"},
		{"GET", "/v0/vpcs", "X-Api-Key", "member", "", 403, `{"message":"you lack the permission net_vpc_list","slug":"forbidden","origin":"permissionsAPI","permission":"net_vpc_list","product":"network"}`},
		{"POST", "/v1/vpcs", "X-Api-Key", "platform", "B", 200, "b"},
	} {
		req := httptest.NewRequest(c.method, c.path, nil)
		req.Header.Set(c.header, c.value)
		req.Header.Set("x-tenant-id", c.tenant)
		rec := serve(h, req)
		if rec.Code != c.status || (c.body != "" && strings.TrimSpace(rec.Body.String()) != c.body) {
			t.Errorf("%+v: %d %s", c, rec.Code, rec.Body)
		}
	}
}

func TestRequestIDsAndLogs(t *testing.T) {
	var log strings.Builder
	h := RequestIDs(Log(slog.New(slog.NewJSONHandler(&log, nil)))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, RequestID(r.Context()))
	})))
	req := httptest.NewRequest("POST", "/x?key=secret-query", strings.NewReader("secret-body"))
	req.Header.Set("X-Request-Id", "mine-1")
	req.Header.Set("X-Api-Key", "secret-key")
	if rec := serve(h, req); rec.Header().Get("X-Request-Id") != "mine-1" || rec.Body.String() != "mine-1" {
		t.Errorf("the caller's id must be kept: %v", rec.Header())
	}
	if !strings.Contains(log.String(), `"status":418`) || strings.Contains(log.String(), "secret") {
		t.Errorf("log: %s", log.String())
	}
	req = httptest.NewRequest("GET", "/", nil)
	req.Header.Set("X-Request-Id", "bad id\twith spaces")
	if rec := serve(h, req); strings.Contains(rec.Header().Get("X-Request-Id"), " ") || rec.Header().Get("X-Request-Id") == "" {
		t.Errorf("a harmful id must be replaced: %q", rec.Header().Get("X-Request-Id"))
	}
}

func TestFaults(t *testing.T) {
	faults := &Faults{}
	var done atomic.Int32
	server := httptest.NewServer(faults.Disturb(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { done.Add(1) })))
	defer server.Close()
	set := func(body string, want int) {
		t.Helper()
		if rec := serve(faults, httptest.NewRequest("PUT", "/", strings.NewReader(body))); rec.Code != want {
			t.Fatalf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	get := func(path string) int {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if get("/compute") != 200 {
		t.Error("without a fault everything works")
	}
	set(`{"status":200}`, 422)
	set(`{"status":429,"path_prefix":"/compute","duration_s":60}`, 204)
	if get("/compute/x") != 429 || get("/network") != 200 {
		t.Error("the fault must hit what it names")
	}
	done.Store(0)
	set(`{"drop_answer":true,"duration_s":60}`, 204)
	if get("/compute") != 0 || done.Load() == 0 {
		t.Error("a dropped answer means: done, but nobody hears of it")
	}
	set(`{"delay_ms":30,"duration_s":60}`, 204)
	if begin := time.Now(); get("/compute") != 200 || time.Since(begin) < 30*time.Millisecond {
		t.Error("a delay delays")
	}
	set(`{"status":500,"duration_s":0}`, 204)
	if get("/compute") != 200 {
		t.Error("the fault must end")
	}
}
