package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"magalu.cloud/mke/internal/cli/products"
)

// fieldValues are the flags of a call's fields; those that were not given are not changed.
type fieldValues map[string]*pflag.Flag

func (v fieldValues) add(flags *pflag.FlagSet, f *products.Field) {
	usage := f.Help
	if f.Kind == products.Object {
		usage += "; or its parts with --" + f.Flag + ".…"
	}
	if bounds := boundsOf(f); bounds != "" {
		usage += " (" + bounds + ")"
	}
	if f.Required {
		usage += " (required)"
	}
	if f.Kind == products.Bool {
		flags.Bool(f.Flag, false, usage)
	} else {
		flags.Var(&fieldText{kind: f.Kind}, f.Flag, usage)
	}
	v[f.Flag] = flags.Lookup(f.Flag)
}

// fieldText is what was given for a flag; compose reads it.
type fieldText struct {
	kind products.Kind
	text string
}

func (t *fieldText) String() string        { return t.text }
func (t *fieldText) Set(text string) error { t.text = text; return nil }

// Type is how help calls the value.
func (t *fieldText) Type() string {
	switch t.kind {
	case products.Number, products.Decimal:
		return "number"
	case products.Strings:
		return "words"
	case products.List:
		return "JSON-list"
	case products.Object:
		return "JSON-object"
	}
	return "text"
}

// boundsOf says what is allowed, and nothing when all is.
func boundsOf(f *products.Field) string {
	unit := map[products.Kind]string{products.Text: " characters", products.Strings: " words", products.List: " entries"}[f.Kind]
	switch {
	case len(f.OneOf) > 0:
		return "one of " + strings.Join(f.OneOf, ", ")
	case f.Min > 0 && f.Max > 0:
		return fmt.Sprintf("%d to %d%s", f.Min, f.Max, unit)
	case f.Max > 0:
		return fmt.Sprintf("at most %d%s", f.Max, unit)
	case f.Min > 0:
		return fmt.Sprintf("at least %d%s", f.Min, unit)
	}
	return ""
}

// request is what a call sends besides method and path.
type request struct {
	values url.Values // of the query
	header http.Header
	body   any // nil for none
}

func (r *request) query() string {
	if len(r.values) == 0 {
		return ""
	}
	return "?" + r.values.Encode()
}

// compose makes a request of the flags, after checking all that the contract says about them.
func compose(c *products.Call, flags fieldValues) (*request, error) {
	r := &request{values: url.Values{}, header: http.Header{}}
	body, fields := map[string]any{}, false
	for i := range c.Fields {
		f := &c.Fields[i]
		text, given := f.Default, f.Default != ""
		if flag := flags[f.Flag]; flag.Changed {
			text, given = flag.Value.String(), true
		}
		place := f.Place(c.Method())
		fields = fields || place == products.Usual
		if !given {
			if f.Required && place != products.Usual {
				return nil, missing(c, f)
			}
			continue
		}
		value, err := parseField(f, text)
		if err != nil {
			return nil, err
		}
		switch place {
		case products.Query:
			r.values.Set(f.Keys()[0], inQuery(value))
		case products.Header:
			r.header.Set(f.Keys()[0], inQuery(value))
		default:
			if err := put(body, f, value); err != nil {
				return nil, err
			}
		}
	}
	if !fields {
		return r, nil
	}
	r.body = body
	return r, checkBody(c, body)
}

// put sets a field in the body, and makes the objects around it.
func put(body map[string]any, f *products.Field, value any) error {
	keys := f.Keys()
	for _, key := range keys[:len(keys)-1] {
		inner, ok := body[key].(map[string]any)
		if !ok {
			if body[key] != nil {
				return usagef("--%s: what it is a part of was given as something else than an object", f.Flag)
			}
			inner = map[string]any{}
			body[key] = inner
		}
		body = inner
	}
	body[keys[len(keys)-1]] = value
	return nil
}

// checkBody wants required fields, and holds what came as a part of a JSON object against its own field, too.
func checkBody(c *products.Call, body map[string]any) error {
	if len(body) == 0 && (c.Method() == http.MethodPatch || c.Method() == http.MethodPut) {
		return usagef("nothing to change; give at least one of %s", strings.Join(flagsOf(c), ", "))
	}
	for i := range c.Fields {
		f := &c.Fields[i]
		if f.Place(c.Method()) != products.Usual {
			continue
		}
		value, parent := find(body, f.Keys())
		switch {
		case parent && value == nil && f.Required:
			return missing(c, f)
		case value == nil:
			continue
		}
		if problem := checkValue(f, value); problem != "" {
			return usagef("--%s: %s", f.Flag, problem)
		}
	}
	return nil
}

// find returns what is at keys, and whether the object around it is there.
func find(body map[string]any, keys []string) (value any, parent bool) {
	for _, key := range keys[:len(keys)-1] {
		inner, ok := body[key].(map[string]any)
		if !ok {
			return nil, false
		}
		body = inner
	}
	return body[keys[len(keys)-1]], true
}

func missing(c *products.Call, f *products.Field) error {
	var parts []string
	for _, other := range c.Fields {
		if rest, ok := strings.CutPrefix(other.Flag, f.Flag+"."); ok && !strings.Contains(rest, ".") {
			parts = append(parts, "--"+other.Flag)
		}
	}
	if len(parts) > 0 {
		return usagef("--%s is missing (%s); give %s", f.Flag, f.Help, strings.Join(parts, " or "))
	}
	return usagef("--%s is missing: %s", f.Flag, f.Help)
}

func flagsOf(c *products.Call) []string {
	var names []string
	for _, f := range c.Fields {
		names = append(names, "--"+f.Flag)
	}
	return names
}

// inQuery is a value in a query or header: lists as words with commas.
func inQuery(value any) string {
	switch v := value.(type) {
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = fmt.Sprint(w)
		}
		return strings.Join(words, ",")
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(value)
}
