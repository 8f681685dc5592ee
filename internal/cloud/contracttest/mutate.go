package contracttest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

func (o Operation) schema() *openapi3.Schema {
	if o.published.RequestBody == nil {
		return nil
	}
	media := o.published.RequestBody.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return nil
	}
	return media.Schema.Value
}

const deepest = 5 // of samples; contracts may refer to themselves

// sample is a value that a schema allows: its example, completed.
func sample(schema *openapi3.Schema, depth int) any {
	if depth > deepest {
		return nil
	}
	if len(schema.AnyOf) > 0 && len(schema.Properties) == 0 {
		return sample(schema.AnyOf[0].Value, depth+1)
	}
	switch {
	case len(schema.Enum) > 0:
		return schema.Enum[0]
	case schema.Type.Is("object"):
		object, _ := schema.Example.(map[string]any)
		object = maps.Clone(object)
		if object == nil {
			object = map[string]any{}
		}
		for name, property := range schema.Properties {
			if _, ok := object[name]; !ok {
				object[name] = sample(property.Value, depth+1)
			}
		}
		return object
	case schema.Type.Is("array"):
		if schema.Items == nil {
			return []any{}
		}
		return []any{sample(schema.Items.Value, depth+1)}
	case schema.Example != nil:
		return schema.Example
	case schema.Type.Is("integer"), schema.Type.Is("number"):
		return 1
	case schema.Type.Is("boolean"):
		return true
	}
	return "sample"
}

// badBodies gives what is not JSON, what is JSON of another kind, and then the
// sample with one thing changed at a time. bad ones are not allowed by the contract.
func (o Operation) badBodies(emit func(body, why string, bad bool)) {
	deep := strings.Repeat("[", 20_000)
	malformed := []string{"{", "[", "{}{}", "\xff\xfe", `{"name":"\xff"}`, `{"name":"\ud800"}`, "nul", deep, `{"name":` + deep, `{"a":1e400}`}
	schema := o.schema()
	for _, body := range append([]string{"", "null", "{}", "[]", `"x"`, "7"}, malformed...) {
		emit(body, "the body "+short(body), false)
	}
	if schema == nil {
		return
	}
	emit(`{"name":"`+strings.Repeat("x", httpapi.MaxBody)+`"}`, "a body that is too large", true)
	mutants(schema, sample(schema, 0), true, func(value any, why string, optional bool) {
		body := httpapi.Encode(value)
		var again any // with the types that a decoder makes
		bad := json.Unmarshal(body, &again) == nil && schema.VisitJSON(again) != nil && !optional
		emit(string(body), why, bad)
	})
}

var strangeValues = []any{true, 0, -1, 1.5, json.Number("1e400"), json.Number("9223372036854775808"), 1 << 40, "", []any{}, map[string]any{},
	[]any{nil}, []any{[]any{[]any{}}}, map[string]any{"id": map[string]any{}}}

// mutants are values that differ from one in a single place. optional: it is a null, which is as good as nothing.
func mutants(schema *openapi3.Schema, value any, required bool, emit func(value any, why string, optional bool)) {
	emit(nil, "null", !required)
	for _, strange := range strangeValues {
		text, _ := json.Marshal(strange)
		emit(strange, string(text), false)
	}
	for _, text := range strangeText {
		emit(text, short(text), false)
	}
	if len(schema.AnyOf) > 0 && len(schema.Properties) == 0 {
		schema = schema.AnyOf[0].Value
	}
	switch value := value.(type) {
	case string:
		if schema.MaxLength != nil {
			emit(strings.Repeat("x", int(*schema.MaxLength)+1), "too long", false)
		}
	case []any:
		if len(value) == 0 || schema.Items == nil {
			return
		}
		emit(slices.Repeat(value[:1], 3000), "a huge list", false)
		mutants(schema.Items.Value, value[0], true, func(item any, why string, optional bool) { emit([]any{item}, "[0] "+why, optional) })
	case map[string]any:
		for name, property := range schema.Properties {
			change := func(member any, why string, optional bool) {
				object := maps.Clone(value)
				object[name] = member
				emit(object, name+" "+why, optional)
			}
			mutants(property.Value, value[name], slices.Contains(schema.Required, name), change)
			without := maps.Clone(value)
			delete(without, name)
			emit(without, "no "+name, false)
		}
	}
}
