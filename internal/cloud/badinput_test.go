package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/cloud/contracttest"
)

// strange are values that no field is meant for, or few are.
func strange() map[string]any {
	nested := any("x")
	for range 200 {
		nested = []any{nested}
	}
	return map[string]any{"null": nil, "true": true, "zero": 0, "negative": -1, "fraction": 1.5, "huge": 1e300, "beyond int64": json.Number("99999999999999999999"),
		"empty": "", "long": strings.Repeat("x", 100_000), "unicode": "\u0000\u202e\U0001F4A9\ufffd", "invalid": "\xff\xfe", "SQL": "' OR 1=1; DROP TABLE iam_tenants;--",
		"path": "../../../../etc/passwd", "template": "{{.}}${x}%s%n", "newline": "a\r\nX-Evil: 1", "list": []any{}, "long list": slices.Repeat([]any{"x"}, 5000),
		"object": map[string]any{}, "deep": nested}
}

// Requests made of the published documents, each with one thing wrong: none may be our fault, whatever it says.
func TestBadRequestsAreNeverOurFault(t *testing.T) {
	m := newMatrix(t)
	var asked int
	for product, name := range publishedAs {
		doc := contracttest.Document(t, name)
		if doc == nil || product == "kubernetes" {
			continue
		}
		for path, item := range doc.Paths.Map() {
			for method, operation := range item.Operations() {
				target := "/" + product + parameters.ReplaceAllString(path, unknownID)
				check := func(what, target, body string) {
					asked++
					rec := ask(m.public, method, target, acmeKey, body)
					var e any
					if rec.Code >= 500 && rec.Code != 501 {
						t.Errorf("%s %s, %s: %d %.300s", method, target, what, rec.Code, rec.Body)
					}
					if rec.Code >= 400 && json.Unmarshal(rec.Body.Bytes(), &e) != nil {
						t.Errorf("%s %s, %s: the answer is not JSON: %.300s", method, target, what, rec.Body)
					}
					if rec.Header().Get("X-Evil") != "" {
						t.Errorf("%s %s, %s: a header was injected", method, target, what)
					}
				}
				for what, body := range map[string]string{"no body": "", "null": "null", "number": "1", "text": `"x"`, "list": "[]", "half": `{"a":`, "two": "{}{}",
					"deep": strings.Repeat("[", 100_000), "invalid": "\xff", "XML": "<a/>", "unknown": `{"x-unknown":{}}`} {
					check(what, target, body)
				}
				for field, body := range oneFieldStrange(operation) {
					check(field, target, body)
				}
				for _, q := range []string{"_limit=-1", "_limit=x", "_offset=99999999999999999999", "_sort=%27;--", "_sort=x:up", "expand=%00", "name=%ff", "email=%00", "page=0",
					"per_page=1e9", "status=%0a", "unknown=1", "%zz", "a;b", strings.Repeat("x", 60_000)} {
					if method == "GET" {
						check("?"+q[:min(len(q), 30)], target+"?"+q, "")
					}
				}
				if strings.Contains(path, "{") {
					for what, id := range map[string]string{"null byte": "%00", "escaped slash": "..%2f..%2fetc", "long": strings.Repeat("x", 5000), "quote": "%27%3b--", "newline": "%0d%0aX-Evil:1"} {
						check("path: "+what, "/"+product+parameters.ReplaceAllString(path, id), "{}")
					}
				}
			}
		}
	}
	t.Logf("%d requests", asked)
	if rec := ask(m.public, "GET", accounts, acmeKey, ""); rec.Code != 200 {
		t.Errorf("afterwards: %d", rec.Code)
	}
}

// oneFieldStrange are bodies as published but for one field.
func oneFieldStrange(operation *openapi3.Operation) map[string]string {
	bodies := map[string]string{}
	if operation.RequestBody == nil {
		return bodies
	}
	media := operation.RequestBody.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return bodies
	}
	for field := range media.Schema.Value.Properties {
		for what, value := range strange() {
			body := plausible(media.Schema.Value)
			body[field] = value
			data, err := json.Marshal(body)
			if err != nil {
				panic(err)
			}
			if what == "invalid" { // which Marshal would have made valid
				data = []byte(strings.Replace(string(data), `\ufffd\ufffd`, "\xff\xfe", 1))
			}
			bodies[fmt.Sprintf("%s is %s", field, what)] = string(data)
		}
	}
	return bodies
}

// plausible fills the required fields with something of the right type.
func plausible(schema *openapi3.Schema) map[string]any {
	body := map[string]any{}
	for _, name := range schema.Required {
		property := schema.Properties[name]
		if property == nil {
			continue
		}
		switch v := property.Value; {
		case len(v.Enum) > 0:
			body[name] = v.Enum[0]
		case v.Type.Is("string") && v.Format == "email", name == "email", name == "member_email":
			body[name] = "someone@example.com"
		case v.Type.Is("string"):
			body[name] = "plausible"
		case v.Type.Is("integer"), v.Type.Is("number"):
			body[name] = 10
		case v.Type.Is("boolean"):
			body[name] = false
		case v.Type.Is("array"):
			body[name] = []any{"plausible"}
		default:
			body[name] = plausible(v)
		}
	}
	return body
}
