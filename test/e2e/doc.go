// Package e2e drives a whole region as a customer and as a clumsy operator would: through bin/mke, bin/mgc and kubectl.
//
// Run it with `make test-e2e`, or one group of it with
// `go test -tags e2e ./test/e2e -count=1 -timeout 40m -v -run 'TestRegion/(Up|Journey)$'`.
// A region that is up already is used as it is and left up; then the tests of `mke up` and `mke down` are not part of the run.
package e2e
