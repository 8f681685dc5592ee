package httpapi

import "context"

// Param is a parameter of the query or the header, as the handler reads it.
type Param struct {
	Name, In string // In: query or header
	About    string
	Kind     string // string, integer, boolean, or array (of strings)
	Default  any    // nil: none
	Min, Max *int
	Enum     []string // empty: anything
	Pattern  string
	Required bool
}

// Inspector sees what a handler reads. The products' OpenAPI documents are made with one, and tests use one to find what they lack.
type Inspector struct {
	Param func(Param)
	// Body is shown into what the body would be read; the handler then ends without doing anything. Without it handlers go on.
	Body func(v any)
}

type inspectorKey struct{}

// WithInspector is for requests that are inspected.
func WithInspector(ctx context.Context, i Inspector) context.Context {
	return context.WithValue(ctx, inspectorKey{}, i)
}

func inspectorOf(ctx context.Context) Inspector {
	i, _ := ctx.Value(inspectorKey{}).(Inspector)
	return i
}
