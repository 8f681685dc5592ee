package mgctest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// object is what everything in the cloud has.
type object struct {
	tenant string
	order  int    // of creation
	steps  int    // reads until the work under way is done
	settle func() // what becomes true then
}

func (o *object) of(tenant string) bool { return o.tenant == tenant }
func (o *object) created() int          { return o.order }

// step takes the work under way, if any, one step further.
func (o *object) step() {
	if o.steps == 0 {
		return
	}
	if o.steps--; o.steps == 0 {
		o.settle()
	}
}

// start starts work on an object.
func (c *Cloud) start(o *object, settle func()) { o.steps, o.settle = max(1, c.Steps), settle }

// newObject is made after all others.
func (c *Cloud) newObject(tenant string) object {
	c.lastOrder++
	return object{tenant: tenant, order: c.lastOrder}
}

// kept is an object that is made and deleted in steps.
type kept interface {
	comparable
	of(tenant string) bool
	created() int
	step()
	key() (id, name string)
}

// inOrder returns the tenant's objects in the order of their creation.
func inOrder[T kept](objects map[string]T, tenant string) []T {
	var out []T
	for _, o := range objects {
		if o.of(tenant) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b T) int { return a.created() - b.created() })
	return out
}

// look returns what a test sees of Tenant's objects, without a step.
func look[T kept, V any](c *Cloud, objects map[string]T, view func(T) V) []V {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []V
	for _, o := range inOrder(objects, Tenant) {
		out = append(out, view(o))
	}
	return out
}

// with takes a step with the object that the path names and calls f, or missing when there is none, or none any more.
func with[T kept](rq call, objects map[string]T, missing func(), f func(T)) {
	id := rq.PathValue("id")
	o, exists := objects[id]
	if exists && o.of(rq.tenant) {
		o.step()
		if _, exists = objects[id]; exists {
			f(o)
			return
		}
	}
	missing()
}

// list takes a step with each of the tenant's objects and answers with a page of those whose name contains part.
func list[T kept, V any](rq call, kind string, defaultLimit int, objects map[string]T, part string, view func(T) V) {
	out := []V{}
	for _, o := range inOrder(objects, rq.tenant) {
		id, name := o.key()
		o.step()
		if _, exists := objects[id]; exists && strings.Contains(name, part) {
			out = append(out, view(o))
		}
	}
	paginate(rq, kind, defaultLimit, out)
}

// paginate answers one page of items under the key.
func paginate[T any](rq call, key string, defaultLimit int, items []T) {
	query := rq.URL.Query()
	limit, offset := defaultLimit, 0
	if n, err := strconv.Atoi(query.Get("_limit")); err == nil {
		limit = n
	}
	if n, err := strconv.Atoi(query.Get("_offset")); err == nil {
		offset = min(n, len(items))
	}
	page := items[offset:min(offset+limit, len(items))]
	if page == nil {
		page = []T{}
	}
	rq.ok(http.StatusOK, map[string]any{key: page, "meta": map[string]any{
		"page":  map[string]int{"limit": limit, "offset": offset, "count": len(page), "total": len(items)},
		"links": map[string]any{"self": rq.URL.String()},
	}})
}
