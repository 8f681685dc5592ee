package contracttest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// Battery sends requests that are wrong in many ways to every published
// operation. None may be answered with a 5xx (501 aside), all errors must have
// the product's shape and tell nothing internal, and what the contract does not
// allow must be refused. fill puts ids of things that exist into a path's
// template; what it leaves gets an id of nothing.
func (c Checker) Battery(t *testing.T, fill func(template string) string, send func(method, target, body string) (status int, answer []byte)) {
	t.Helper()
	sent, refused := 0, 0
	operations := c.Operations()
	slices.SortStableFunc(operations, func(a, b Operation) int { return deletes(a) - deletes(b) }) // things are needed until then
	for _, o := range operations {
		path := parameter.ReplaceAllString(fill(o.Path), uuid.NewString())
		try := func(target, body, why string, bad bool) {
			t.Helper()
			sent++
			status, answer := send(o.Method, target, body)
			if status >= 400 {
				refused++
			}
			plain, _, _ := strings.Cut(target, "?")
			switch {
			case status >= 500 && status != 501:
				t.Errorf("%s, %s: %d %s", o, why, status, answer)
			case bad && status < 400:
				t.Errorf("%s, %s: accepted with %d\n%.300s", o, why, status, body)
			case status >= 400:
				checkError(t, o, why, answer)
				if plain == path { // with a strange id the path may be another operation's
					c.Check(t, o.Method, path, status, answer)
				}
			}
		}
		o.badBodies(func(body, why string, bad bool) { try(path, body, why, bad) })
		o.badQueries(func(query, why string, bad bool) { try(path+"?"+query, o.body(), why, bad) })
		o.badPaths(fill, func(path, why string) { try(path, o.body(), why, false) })
	}
	if len(operations) > 0 {
		t.Logf("%d requests, %d refused", sent, refused)
	}
}

func deletes(o Operation) int {
	if o.Method == http.MethodDelete {
		return 1
	}
	return 0
}

// Sender sends a tenant's requests to a product, through what the daemon has before it, in chunks as the published SDK does.
func (c Checker) Sender(t testing.TB, product http.Handler, tenantID string) func(method, target, body string) (status int, answer []byte) {
	handler := httpapi.Recover(httpapi.LimitBody(product))
	return func(method, target, body string) (int, []byte) {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.ContentLength = -1
		w := httptest.NewRecorder()
		r = c.Watch(t, r)
		handler.ServeHTTP(w, r.WithContext(httpapi.WithIdentity(r.Context(), httpapi.Identity{TenantID: tenantID})))
		return w.Code, w.Body.Bytes()
	}
}

var (
	parameter = regexp.MustCompile(`\{[^}]*\}`)
	internals = regexp.MustCompile(`(?i)\bsql|goroutine|panic:|json: |strconv|netip\.|\.go\b|constraint|uuid: |base64\b.*byte`)
)

func checkError(t *testing.T, o Operation, why string, answer []byte) {
	t.Helper()
	type shape struct{ Slug, Message, Code, Detail string }
	var one shape
	if err := json.Unmarshal(answer, &one); err != nil {
		var list []shape
		if json.Unmarshal(answer, &list) == nil && len(list) > 0 {
			one = list[0]
		}
	}
	if one.Slug+one.Code == "" || one.Message+one.Detail == "" {
		t.Errorf("%s, %s: not an error's shape: %.300s", o, why, answer)
	}
	if internals.MatchString(one.Message + one.Detail) {
		t.Errorf("%s, %s: tells internals: %.300s", o, why, answer)
	}
}

// body is a body as the contract wants it; empty where it wants none.
func (o Operation) body() string {
	schema := o.schema()
	if schema == nil {
		return ""
	}
	return string(httpapi.Encode(sample(schema, 0)))
}

// strangeText are query values, path parameters and strings of bodies.
var strangeText = []string{"x", "0", "-1", "1.5", "9223372036854775808", "true", "\x00", "\xff", "\u202e🙂\u0301", "a\r\nX-Evil: 1", "../../etc/passwd",
	"'; DROP TABLE x; --", "${HOME}", "%s%n", strings.Repeat("ä", 5000)}

func (o Operation) badQueries(emit func(query, why string, bad bool)) {
	emit("unknown=1", "an unknown parameter", false)
	for _, ref := range o.params {
		p := ref.Value
		if p.In != "query" || p.Schema == nil {
			continue
		}
		for _, value := range append([]string{""}, strangeText...) {
			emit(url.Values{p.Name: {value}}.Encode(), p.Name+"="+short(value), p.Schema.Value.Type.Is("integer") && !integer(value))
		}
		emit(url.Values{p.Name: {"1", "x"}}.Encode(), p.Name+" twice", false)
	}
}

// integer tells whether a parameter is one; none at all is the default.
func integer(value string) bool {
	_, err := strconv.Atoi(value)
	return err == nil || value == ""
}

func (o Operation) badPaths(fill func(string) string, emit func(path, why string)) {
	for _, name := range parameter.FindAllString(o.Path, -1) {
		for _, value := range append([]string{strings.ToUpper(uuid.NewString())}, strangeText...) {
			path := strings.Replace(o.Path, name, url.PathEscape(value), 1)
			emit(parameter.ReplaceAllString(fill(path), uuid.NewString()), name+"="+short(value))
		}
	}
}

func short(text string) string { return strconv.Quote(text[:min(len(text), 30)]) }
