package contracttest

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Operation is one of a contract's.
type Operation struct {
	Method, Path string // with parameters in braces
	published    *openapi3.Operation
	params       openapi3.Parameters
}

func (o Operation) String() string { return o.Method + " " + o.Path }

// Operations are all of a contract, in the order of their paths; none of the zero Checker.
func (c Checker) Operations() []Operation {
	if c.contract == nil || c.doc == nil {
		return nil
	}
	return operationsOf(c.doc)
}

func operationsOf(doc *openapi3.T) []Operation {
	var all []Operation
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			params := append(slices.Clone(item.Parameters), operation.Parameters...)
			all = append(all, Operation{Method: method, Path: path, published: operation, params: params})
		}
	}
	slices.SortFunc(all, func(a, b Operation) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
	return all
}

// Run runs the tests of a product's package. It fails, too, when there is an
// operation in our document that is available, and that no test got a success
// from which is valid by our document and the contract.
func Run(m *testing.M, product string) int {
	code := m.Run()
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return code // not all tests ran
		}
	}
	c, err := load(product)
	if code != 0 || err != nil {
		return code
	}
	for _, o := range operationsOf(c.ours) {
		if o.published.Extensions["x-unavailable"] == nil && !c.succeeded[o.String()] {
			fmt.Fprintf(os.Stderr, "contract: no test saw %s succeed\n", o)
			code = 1
		}
	}
	return code
}
