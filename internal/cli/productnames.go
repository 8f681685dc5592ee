package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cli/products"
)

// arguments are the values of the path's parameters, names made ids.
func (in *invocation) arguments(ctx context.Context, c *client) (map[string]string, error) {
	values := map[string]string{}
	for i, name := range products.Parameters(in.call.Path()) {
		value, err := in.argument(ctx, c, name, in.refs[i].value, values)
		if err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}

// argument is the id of what is given for one parameter; before are the ids of those before it.
func (in *invocation) argument(ctx context.Context, c *client, name, given string, before map[string]string) (string, error) {
	lister := in.product.Lister(in.call.Path(), name)
	if lister == nil || uuid.Validate(given) == nil || strings.HasSuffix(name, "_name") {
		return given, nil
	}
	items, err := c.listAll(ctx, lister, fill(rename(lister.Path(), in.call.Path()), before))
	if err != nil {
		return "", err
	}
	return pick(items, name, given, lister.Noun)
}

// rename gives a list's parameters the names they have in the path that leads through it.
func rename(list, path string) string {
	from, to := products.Parameters(list), products.Parameters(path)
	for i := range min(len(from), len(to)) {
		list = strings.Replace(list, "{"+from[i]+"}", "{"+to[i]+"}", 1)
	}
	return list
}

// pick returns the id of the one item that has the name given.
func pick(items []map[string]any, parameter, given, noun string) (string, error) {
	var found []string
	for _, item := range items {
		id := itemID(item, parameter)
		for _, key := range []string{"name", "email", "public_ip"} {
			if item[key] == given || id == given {
				found = append(found, id)
				break
			}
		}
	}
	switch len(found) {
	case 0:
		return "", &notFoundError{"no " + noun + " has the id or name " + quote(given)}
	case 1:
		return found[0], nil
	}
	return "", usagef("%d of them have the name %s; give one of these ids: %q", len(found), quote(given), found)
}

func itemID(item map[string]any, parameter string) string {
	for _, key := range []string{parameter, "id", "uuid"} {
		if id, ok := item[key].(string); ok {
			return id
		}
	}
	return ""
}

const (
	pageSize = 100 // of lists that say no greatest size
	mostRows = 100000
)

// listAll reads all pages of a list.
func (c *client) listAll(ctx context.Context, call *products.Call, path string) ([]map[string]any, error) {
	var all []map[string]any
	for page := 1; len(all) < mostRows; page++ {
		query, size := pageOf(call, page)
		ans, err := c.do(ctx, http.MethodGet, path+query, nil)
		if err != nil {
			return nil, err
		}
		rows, err := rowsOf(ans.Body, call.List)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if size == 0 || len(rows) < size {
			return all, nil
		}
	}
	return nil, fmt.Errorf("there are more than %d; give the id", mostRows)
}

// pageOf is the query of a page, from 1, and how many items a full one has; 0 where there are no pages.
func pageOf(call *products.Call, page int) (query string, size int) {
	v := url.Values{}
	for _, f := range call.Fields {
		switch key := f.Keys()[0]; key {
		case "_limit", "items_per_page", "per_page":
			size = pageSize
			if f.Max > 0 {
				size = min(size, f.Max)
			}
			v.Set(key, strconv.Itoa(size))
		}
	}
	for _, f := range call.Fields {
		switch key := f.Keys()[0]; {
		case key == "_offset" && f.Min == 0:
			v.Set(key, strconv.Itoa((page-1)*size))
		case key == "page" || key == "_offset":
			v.Set(key, strconv.Itoa(page))
		}
	}
	if size == 0 {
		return "", 0
	}
	return "?" + v.Encode(), size
}

// rowsOf are the objects in a list's answer.
func rowsOf(body []byte, list string) ([]map[string]any, error) {
	raw := json.RawMessage(body)
	if list != "." && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) { // some lists have two published shapes
		var shape map[string]json.RawMessage
		if err := decode(body, &shape); err != nil {
			return nil, err
		}
		raw = shape[list]
	}
	var rows []map[string]any
	if len(raw) == 0 {
		return nil, fmt.Errorf("the server's answer has no list %q", list)
	}
	return rows, decode(raw, &rows)
}
