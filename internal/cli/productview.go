package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"magalu.cloud/mke/internal/cli/products"
)

// listView shows a list with the columns of its table, and any other answer as names and values.
func listView(c *products.Call) view {
	if c.List == "" {
		return objectView
	}
	return func(a *app, body []byte) (*grid, error) {
		rows, err := rowsOf(body, c.List)
		if err != nil {
			return nil, err
		}
		g := &grid{}
		var paths []string
		for _, text := range strings.Fields(c.Columns) {
			title, path, named := strings.Cut(text, "=")
			name := strings.TrimSuffix(title, "~")
			if !named {
				path = name
			}
			g.columns = append(g.columns, column{strings.ReplaceAll(name, "-", " "), strings.HasSuffix(title, "~")})
			paths = append(paths, path)
		}
		for _, row := range rows {
			cells := make([]string, len(paths))
			for i, path := range paths {
				cells[i] = a.cell(g.columns[i].title, at(row, strings.Split(path, ".")))
			}
			g.add(cells...)
		}
		return g, nil
	}
}

func objectView(_ *app, body []byte) (*grid, error) {
	var object map[string]any
	if err := decode(body, &object); err != nil {
		return nil, err
	}
	g := &grid{columns: []column{{"name", false}, {"value", true}}}
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		g.add(key, cellText(object[key]))
	}
	return g, nil
}

// at follows keys into a value; through a list it follows them into every entry.
func at(value any, keys []string) any {
	if list, ok := value.([]any); ok && len(keys) > 0 {
		var all []any
		for _, entry := range list {
			if found := at(entry, keys); found != nil {
				all = append(all, found)
			}
		}
		return all
	}
	if len(keys) == 0 {
		return value
	}
	object, _ := value.(map[string]any)
	if object == nil {
		return nil
	}
	return at(object[keys[0]], keys[1:])
}

func (a *app) cell(title string, value any) string {
	if when, ok := value.(string); ok && title == "age" {
		if t, err := time.Parse(time.RFC3339, when); err == nil {
			return a.age(t)
		}
	}
	return cellText(value)
}

// cellText is a value in one cell.
func cellText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return strings.TrimSpace(v)
	case float64:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
	case []any:
		words := make([]string, len(v))
		for i, entry := range v {
			words[i] = cellText(entry)
		}
		return strings.Join(words, ",")
	case map[string]any:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v)
		return strings.TrimSpace(b.String())
	}
	return fmt.Sprint(value)
}
