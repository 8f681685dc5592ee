package httpapi

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// An order that is not refused consists of allowed columns only.
func FuzzSort(f *testing.F) {
	for _, text := range []string{"", "name:asc", "name:desc,id:asc", "name", "name:up", "secret:asc", "name:asc;drop", "name:asc,", ":"} {
		f.Add(text)
	}
	order := regexp.MustCompile(`^(col_name|col_id)( desc)?(, (col_name|col_id)( desc)?)*$`)
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest("GET", "/?"+url.Values{"_sort": {text}}.Encode(), nil)
		got, err := ParseSort(r, "name:asc", map[string]string{"name": "col_name", "id": "col_id"})
		if err == nil && !order.MatchString(got) {
			t.Errorf("%q gives %q", text, got)
		}
		sorted, itemsErr := ParseOrder(r, "_sort", "name:asc", Order[string]{"name": By(strings.Clone), "id": By(strings.Clone)})
		if (err == nil) != (itemsErr == nil) || err == nil && len(sorted([]string{"b", "a"})) != 2 {
			t.Errorf("%q: %v and %v", text, err, itemsErr)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Add("2", "1")
	f.Add("-1", "9223372036854775808")
	f.Fuzz(func(t *testing.T, limit, offset string) {
		query := "/?" + url.Values{"_limit": {limit}, "_offset": {offset}}.Encode()
		page, err := ParsePage(httptest.NewRequest("GET", query, nil), 50, 1000)
		if err == nil && (page.Limit < 1 || page.Limit > 1000 || page.Offset < 0 || len(Slice([]int{1, 2}, page)) > page.Limit) {
			t.Errorf("%q, %q: %v", limit, offset, page)
		}
		numbered, err := ParseNumberedPage(httptest.NewRequest("GET", query, nil), "_offset", "_limit", 10, 1000)
		if err == nil && (numbered.Offset < 0 || numbered.Offset%numbered.Limit != 0) {
			t.Errorf("%q, %q: %v", limit, offset, numbered)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{`{"name":"x","list":[1],"more":{"n":1}}`, `null`, `{"name":7}`, `{}{}`, `{"list":1e400}`, "\xff", strings.Repeat("[", 20_000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var body struct {
			Name *string        `json:"name"`
			List []int          `json:"list"`
			More map[string]any `json:"more"`
		}
		if err := Decode(httptest.NewRequest("POST", "/", strings.NewReader(text)), &body); err != nil && strings.Contains(err.Error(), "json: ") {
			t.Errorf("%q: %v", text, err)
		}
	})
}
