// Package access says what a caller needs for every operation of every product: scopes, which bound what a credential is for, and
// a permission, which bounds what a person may do. The gateway applies it to the Kubernetes product, the cloud to its own.
package access

import (
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// All stands for every scope, or every permission.
const All = "*"

// Operation is one call of a product.
type Operation struct {
	Product    string // first segment of its address, such as "compute"
	Method     string
	Path       string // relative to the product, with {parameters}
	Permission string
	Scopes     []string // all of them are needed

	segments []string // of Path
}

// operations.txt is made of the published documents, whose permissions and scopes are kept; a test compares them. Permissions that
// no document names (compute, profile, IAM, routes of a VPC) are ours.
//
//go:embed operations.txt
var table string

var operations = parse(table)

func parse(text string) []Operation {
	var list []Operation
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) < 5 {
			panic(fmt.Sprintf("operations.txt: %q", line))
		}
		list = append(list, Operation{Product: fields[0], Method: fields[1], Path: fields[2], Permission: fields[3], Scopes: fields[4:],
			segments: strings.Split(fields[2], "/")})
	}
	return list
}

// Operations returns all operations, those of a product one after the other.
func Operations() []Operation { return slices.Clone(operations) }

// Find returns the operation that a request is. path is relative to the product; a literal segment goes before a parameter.
func Find(product, method, path string) (Operation, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var found Operation
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for i := range operations {
		o := &operations[i]
		if o.Product != product || o.Method != method {
			continue
		}
		if o.Path == path {
			return *o, true
		}
		if found.Path == "" && matches(o.segments, segments) {
			found = *o
		}
	}
	return found, found.Path != ""
}

func matches(template, segments []string) bool {
	if len(template) != len(segments) {
		return false
	}
	for i, want := range template {
		if want != segments[i] && !strings.HasPrefix(want, "{") {
			return false
		}
	}
	return true
}

// Parameters are the values of the path's parameters in a path that Find has found the operation for.
func (o Operation) Parameters(path string) (values []string) {
	for i, value := range strings.Split(strings.TrimSuffix(path, "/"), "/") {
		if i < len(o.segments) && strings.HasPrefix(o.segments[i], "{") {
			values = append(values, value)
		}
	}
	return values
}

// MissingScope returns the first scope of the operation that is not among those given, empty if all are.
func (o Operation) MissingScope(given []string) string {
	for _, scope := range o.Scopes {
		if !Has(given, scope) {
			return scope
		}
	}
	return ""
}

// Has tells whether what is wanted, a scope or a permission, is among those given.
func Has(given []string, want string) bool {
	return slices.Contains(given, All) || slices.Contains(given, want)
}
