package main

import (
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestStripDescriptions(t *testing.T) {
	text := func() apiextensionsv1.JSONSchemaProps { return apiextensionsv1.JSONSchemaProps{Description: "text"} }
	item, extra := text(), text()
	schema := &apiextensionsv1.JSONSchemaProps{
		Description: "text",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			// A field that is itself called description stays.
			"description": {Description: "text", Type: "string"},
			"list":        {Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &item}},
			"map":         {AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Schema: &extra}},
		},
		AnyOf: []apiextensionsv1.JSONSchemaProps{text()},
	}
	stripDescriptions(schema)
	if _, ok := schema.Properties["description"]; !ok {
		t.Error("the field named description is gone")
	}
	for where, got := range map[string]string{
		"root": schema.Description, "property": schema.Properties["description"].Description,
		"items": item.Description, "additional": extra.Description, "anyOf": schema.AnyOf[0].Description,
	} {
		if got != "" {
			t.Errorf("%s: description left", where)
		}
	}
}

func TestCovers(t *testing.T) {
	kept := map[string]bool{"cluster.x-k8s.io/machines": true}
	tests := []struct {
		resource string
		want     bool
	}{
		{"machines", true}, {"machines/scale", true}, {"machinepools", false},
	}
	for _, tt := range tests {
		rules := []admissionv1.RuleWithOperations{{Rule: admissionv1.Rule{APIGroups: []string{"cluster.x-k8s.io"}, Resources: []string{tt.resource}}}}
		if got := covers(kept, rules); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.resource, got, tt.want)
		}
	}
}
