package contracttest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// List is a published list with pages. In a test it has two items at least, on one page.
type List struct {
	Target       string // with a query or without
	Items        string // the member with the items
	Number, Size string // its parameters, counted from 1; empty: _offset, from 0, and _limit
	Sort         string // empty: _sort
	By           string // a field by which it can be sorted, different for all items; empty: it cannot be sorted
}

// Check looks at pages, order, and parameters as the published clients send them.
func (l List) Check(t *testing.T, send func(method, target, body string) (status int, answer []byte)) {
	t.Helper()
	first, second := "1", "2"
	if l.Number == "" {
		first, second = "0", "1"
	}
	number, size, sort := cmp.Or(l.Number, "_offset"), cmp.Or(l.Size, "_limit"), cmp.Or(l.Sort, "_sort")
	get := func(query string, want int) (ids []string) {
		t.Helper()
		target := l.Target + "?" + query
		if strings.Contains(l.Target, "?") {
			target = l.Target + "&" + query
		}
		status, answer := send(http.MethodGet, target, "")
		if status != want {
			t.Errorf("%s: %d %.300s, want %d", target, status, answer, want)
		}
		var page map[string]json.RawMessage
		var items []struct{ ID string }
		if status == http.StatusOK && (json.Unmarshal(answer, &page) != nil || json.Unmarshal(page[l.Items], &items) != nil || items == nil) {
			t.Errorf("%s: no list of %s: %.300s", target, l.Items, answer)
		}
		for _, item := range items {
			ids = append(ids, item.ID)
		}
		return ids
	}
	all := get("", http.StatusOK)
	if len(all) < 2 {
		t.Fatalf("%s: %d items are too few", l.Target, len(all))
	}
	pages := append(get(size+"=1&"+number+"="+first, 200), get(size+"=1&"+number+"="+second, 200)...)
	if len(pages) != 2 || pages[0] != all[0] || pages[1] != all[1] {
		t.Errorf("%s: two pages of one have %v, all are %v", l.Target, pages, all)
	}
	if behind := get(number+"=2000000", 200); len(behind) > 0 {
		t.Errorf("%s: behind the end: %v", l.Target, behind)
	}
	if got := get("unknown=1&"+size+"=&"+number+"=&"+sort+"=", 200); len(got) != len(all) {
		t.Errorf("%s: empty and unknown parameters make it %v", l.Target, got)
	}
	for _, query := range []string{size + "=0", size + "=x", size + "=99999999999", number + "=-1", number + "=x"} {
		get(query, http.StatusUnprocessableEntity)
	}
	if l.By == "" {
		return
	}
	get(sort+"=secret:asc", http.StatusUnprocessableEntity)
	get(sort+"="+l.By+":up", http.StatusUnprocessableEntity)
	up, down := get(sort+"="+l.By+":asc", 200), get(sort+"="+l.By+":desc", 200)
	if len(up) != len(all) || len(down) != len(all) || up[0] != down[len(down)-1] || up[0] == up[1] {
		t.Errorf("%s: by %s up %v and down %v", l.Target, l.By, up, down)
	}
}
