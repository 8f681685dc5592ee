// Package products says which commands mgc has for the products beside Kubernetes: a table for each, which package cli makes commands
// of. Groups, verbs and flags have the names of the published CLI; a test compares operations, fields, enumerations and ranges with the
// published documents.
package products

import (
	"net/http"
	"regexp"
	"strings"
)

// All are the products, as `mgc --help` lists them.
var All = []*Product{&VirtualMachine, &BlockStorage, &Network, &LoadBalancer, &IAM, &Profile}

// Product is one product of the cloud.
type Product struct {
	Name   string // on the command line
	Path   string // in addresses: <server>/<region>/<path>
	Short  string
	Global bool // its address in the public cloud has no region
	Calls  []Call
}

// Call is one command, and the one request that it sends.
type Call struct {
	Use     string // words of the command below the product
	Request string // method and path, relative to the product
	Noun    string // what it is about, for people
	Short   string
	List    string // key of the list in the answer; "." when the answer itself is the list
	Columns string // of a list's table: title or title=path, with ~ when it may be shortened
	Expand  string // parts that a table shows and an answer has only when asked, as of --expand
	Wait    string // what --wait looks at, and until when: a path, with {new} for the answer's id, then conditions or "gone"
	Fields  []Field
}

// Method is the request's method.
func (c *Call) Method() string { method, _, _ := strings.Cut(c.Request, " "); return method }

// Path is the request's path, with {parameters}.
func (c *Call) Path() string { _, path, _ := strings.Cut(c.Request, " "); return path }

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// Parameters are the names of a path's parameters, in order.
func Parameters(path string) []string {
	var names []string
	for _, m := range parameter.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

// Find returns the call of a request, which may name the path's parameters in another way.
func (p *Product) Find(request string) *Call {
	for i := range p.Calls {
		if nameless(p.Calls[i].Request) == nameless(request) {
			return &p.Calls[i]
		}
	}
	return nil
}

func nameless(path string) string { return parameter.ReplaceAllString(path, "{}") }

// Lister returns the call that lists what a parameter of a path names, and nil if none does: what is listed at the path before it
// (/v0/vpcs for /v0/vpcs/{id}), else what is called like it (/v0/ports for {port_id}).
func (p *Product) Lister(path, name string) *Call {
	before, _, _ := strings.Cut(path, "/{"+name+"}")
	plural := "/" + strings.TrimSuffix(name, "_id") + "s"
	for _, wanted := range []string{versionless(before), plural} {
		for i := range p.Calls {
			c := &p.Calls[i]
			if c.List != "" && c.Method() == http.MethodGet && versionless(c.Path()) == versionless(wanted) {
				return c
			}
		}
	}
	return nil
}

var version = regexp.MustCompile(`^/v\d\w*/`)

func versionless(path string) string { return version.ReplaceAllString(nameless(path), "/") }

// Kind is what a field's value is.
type Kind int

// Kinds of values.
const (
	Text    Kind = iota // Min and Max bound its length
	Number              // a whole number from Min (0 unless said) to Max
	Decimal             // a number from Min to Max
	Bool
	Strings // words, separated by commas or as a JSON list; Min and Max bound how many
	List    // JSON; Min and Max bound how many
	Object  // JSON, or the flags that begin with its name
)

// Place is where a field is sent.
type Place int

// Places of fields.
const (
	Usual Place = iota // the query of GET and DELETE, else the body
	Query
	Header
)

// Field is a flag, and what is sent for it.
type Field struct {
	Flag     string // dots lead into objects: network.vpc.id
	Key      string // its name in the request, if that is not Flag with underscores
	Kind     Kind
	In       Place
	Required bool   // of an object's field: when the object is given
	Default  string // sent when the flag is not given
	OneOf    []string
	Min, Max int // Max 0 is no bound
	Help     string
}

// Place is where a request of method carries the field.
func (f *Field) Place(method string) Place {
	if f.In == Usual && (method == http.MethodGet || method == http.MethodDelete) {
		return Query
	}
	return f.In
}

// Keys are the field's names from the outermost object inwards.
func (f *Field) Keys() []string {
	if f.Key != "" {
		return []string{f.Key}
	}
	return strings.Split(strings.ReplaceAll(f.Flag, "-", "_"), ".")
}
