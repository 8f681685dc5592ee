package contracttest

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/cloud/httpapi"
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
	if c.contract == nil {
		return nil
	}
	var all []Operation
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			params := append(slices.Clone(item.Parameters), operation.Parameters...)
			all = append(all, Operation{Method: method, Path: path, published: operation, params: params})
		}
	}
	slices.SortFunc(all, func(a, b Operation) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
	return all
}

// Run runs the tests of a product's package. It fails, too, when there is a
// published operation that is not among the unavailable ones, and that no test
// got a success from which is valid by the contract.
func Run(m *testing.M, product string, unavailable []httpapi.Unavailable) int {
	code := m.Run()
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return code // not all tests ran
		}
	}
	c, err := load(product)
	if code != 0 || err != nil || c.contract == nil {
		return code
	}
	for _, o := range c.Operations() {
		left := slices.ContainsFunc(unavailable, func(u httpapi.Unavailable) bool { return u.Method == o.Method && u.Path == o.Path })
		if !left && !c.succeeded[o.String()] {
			fmt.Fprintf(os.Stderr, "contract: no test saw %s succeed\n", o)
			code = 1
		}
	}
	return code
}
