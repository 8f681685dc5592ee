package mgctest

import (
	"net/http"
)

// shown is an object that can be answered by itself.
type shown interface {
	comparable
	of(tenant string) bool
	view() any
}

func (v *vpc) view() any {
	v.step()
	return v.VPC
}
func (s *subnet) view() any { return s.Subnet }
func (p *port) view() any   { return p.Port }

// show answers the object, or 404 if it is nil or another tenant's.
func show[T shown](rq call, o T, what string) {
	var none T
	if o == none || !o.of(rq.tenant) {
		rq.notFound(what)
		return
	}
	rq.ok(http.StatusOK, o.view())
}
