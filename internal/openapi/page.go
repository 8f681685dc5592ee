package openapi

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/problem"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// labels are what the page says itself; what the document says stays in its language.
var labels = map[problem.Lang]map[string]string{
	problem.English: {"lang": "en", "operations": "Operations", "needs": "needs", "parameters": "Parameters", "body": "Body", "answers": "Answers",
		"schemas": "Schemas", "required": "required", "deprecated": "deprecated", "unavailable": "not available here", "download": "The document:"},
	problem.Portuguese: {"lang": "pt-BR", "operations": "Operações", "needs": "exige", "parameters": "Parâmetros", "body": "Corpo", "answers": "Respostas",
		"schemas": "Esquemas", "required": "obrigatório", "deprecated": "obsoleto", "unavailable": "não disponível aqui", "download": "O documento:"},
}

type page struct {
	Label       map[string]string
	Title       string
	Version     string
	Description string
	Groups      []group
	Schemas     []schemaView
}

// group is the operations of one tag, or of one first segment of their paths.
type group struct {
	Name       string
	Operations []operationView
}

type operationView struct {
	Anchor, Method, Path, Summary, Description string
	Needs                                      []string
	Deprecated, Unavailable                    bool
	Parameters                                 []fieldView
	Body                                       *typeView
	Answers                                    []answerView
}

type answerView struct {
	Status, Description string
	Type                *typeView
}

type schemaView struct {
	Name   string
	Fields []fieldView
	Type   typeView
}

type fieldView struct {
	Name, In, Description string
	Bounds                string // of a parameter, with what it is where it is not given
	Type                  typeView
	Required, Deprecated  bool
}

// typeView is a type in a few words, with the schema that it leads to.
type typeView struct{ Text, Schema string }

func render(doc *openapi3.T, lang problem.Lang) ([]byte, error) {
	p := page{Label: labels[lang], Title: doc.Info.Title, Version: doc.Info.Version, Description: doc.Info.Description}
	groups := map[string]*group{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := groupOf(path, op)
			if groups[name] == nil {
				groups[name] = &group{Name: name}
			}
			groups[name].Operations = append(groups[name].Operations, viewOperation(method, path, item, op))
		}
	}
	for _, g := range groups {
		slices.SortFunc(g.Operations, func(a, b operationView) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
		p.Groups = append(p.Groups, *g)
	}
	slices.SortFunc(p.Groups, func(a, b group) int { return cmp.Compare(a.Name, b.Name) })
	if doc.Components != nil {
		for name, schema := range doc.Components.Schemas {
			p.Schemas = append(p.Schemas, schemaView{Name: name, Fields: fieldsOf(schema.Value), Type: viewType(&openapi3.SchemaRef{Value: schema.Value})})
		}
	}
	slices.SortFunc(p.Schemas, func(a, b schemaView) int { return cmp.Compare(a.Name, b.Name) })
	var out bytes.Buffer
	err := pageTemplate.Execute(&out, p)
	return out.Bytes(), err
}

var versionSegment = regexp.MustCompile(`^v[0-9]`)

// groupOf is the tag of an operation, else the first segment of its path that is no version.
func groupOf(path string, op *openapi3.Operation) string {
	if len(op.Tags) > 0 {
		return op.Tags[0]
	}
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if segment != "api" && !versionSegment.MatchString(segment) {
			return segment
		}
	}
	return path
}

func viewOperation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) operationView {
	v := operationView{Anchor: cmp.Or(op.OperationID, method+path), Method: method, Path: path, Summary: op.Summary, Description: op.Description,
		Deprecated: op.Deprecated, Unavailable: op.Extensions["x-unavailable"] != nil}
	if scopes, ok := op.Extensions["x-scopes"].([]any); ok {
		for _, s := range scopes {
			v.Needs = append(v.Needs, fmt.Sprint(s))
		}
	}
	if permission, ok := op.Extensions["x-permission"].(map[string]any); ok {
		v.Needs = append(v.Needs, fmt.Sprint(permission["permission-name"]))
	}
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		v.Parameters = append(v.Parameters, fieldView{Name: p.Value.Name, In: p.Value.In, Description: p.Value.Description,
			Required: p.Value.Required, Type: viewType(p.Value.Schema), Bounds: boundsOf(p.Value.Schema)})
	}
	if op.RequestBody != nil {
		v.Body = typeOf(op.RequestBody.Value.Content)
	}
	for status, r := range op.Responses.Map() {
		a := answerView{Status: status, Type: typeOf(r.Value.Content)}
		if r.Value.Description != nil {
			a.Description = *r.Value.Description
		}
		v.Answers = append(v.Answers, a)
	}
	slices.SortFunc(v.Answers, func(a, b answerView) int { return cmp.Compare(a.Status, b.Status) })
	return v
}

func typeOf(content openapi3.Content) *typeView {
	for kind, media := range content {
		if media.Schema == nil {
			return &typeView{Text: kind}
		}
		v := viewType(media.Schema)
		return &v
	}
	return nil
}

func viewType(ref *openapi3.SchemaRef) typeView {
	switch {
	case ref == nil || ref.Value == nil:
		return typeView{Text: "any"}
	case ref.Ref != "":
		return typeView{Text: ref.Ref[strings.LastIndex(ref.Ref, "/")+1:], Schema: ref.Ref[strings.LastIndex(ref.Ref, "/")+1:]}
	case ref.Value.Type.Is("array"):
		of := viewType(ref.Value.Items)
		return typeView{Text: of.Text + "[]", Schema: of.Schema}
	case ref.Value.Type.Is("object") && ref.Value.AdditionalProperties.Schema != nil:
		of := viewType(ref.Value.AdditionalProperties.Schema)
		return typeView{Text: "map of " + of.Text, Schema: of.Schema}
	case ref.Value.Type == nil || len(*ref.Value.Type) == 0:
		return typeView{Text: "any"}
	}
	text := strings.Join(*ref.Value.Type, " | ")
	if ref.Value.Format != "" {
		text += " (" + ref.Value.Format + ")"
	}
	if len(ref.Value.Enum) > 0 {
		text += ": " + strings.Trim(fmt.Sprint(ref.Value.Enum), "[]")
	}
	return typeView{Text: text}
}

// boundsOf tells limits and default of a parameter: 1…1000 = 50.
func boundsOf(ref *openapi3.SchemaRef) string {
	if ref == nil || ref.Value == nil {
		return ""
	}
	text := ""
	if ref.Value.Min != nil && ref.Value.Max != nil {
		text = fmt.Sprintf("%.0f…%.0f", *ref.Value.Min, *ref.Value.Max)
	}
	if ref.Value.Default != nil {
		text += fmt.Sprintf(" = %v", ref.Value.Default)
	}
	return strings.TrimSpace(text)
}

func fieldsOf(schema *openapi3.Schema) (fields []fieldView) {
	for name, property := range schema.Properties {
		fields = append(fields, fieldView{Name: name, Type: viewType(property), Description: property.Value.Description,
			Required: slices.Contains(schema.Required, name), Deprecated: property.Value.Deprecated})
	}
	slices.SortFunc(fields, func(a, b fieldView) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}
