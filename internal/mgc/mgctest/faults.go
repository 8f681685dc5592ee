package mgctest

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Call is a call that reached the cloud.
type Call struct {
	Method, Path string
}

// Mutates is true for calls that are not reads.
func (c Call) Mutates() bool { return c.Method != http.MethodGet }

// Fault makes matching calls go wrong.
type Fault struct {
	// Method and Path (a regular expression) select calls; empty selects all.
	Method, Path string
	// MutatingOnly leaves reads alone.
	MutatingOnly bool
	// Skip lets that many matching calls pass first.
	Skip int
	// Times is how many calls fail, 0 for all until removed.
	Times int
	// Status is answered without doing anything. 0 cuts the connection.
	Status int
	// RetryAfter is sent with the status, in whole seconds.
	RetryAfter time.Duration
	// Done does the work first, so that only its answer is lost or replaced.
	Done bool
	// Strike runs when the fault strikes, after the work if Done; for example to cancel the caller's context.
	Strike func()

	path *regexp.Regexp
	used bool
}

// Inject adds a fault and returns a function that removes it.
func (c *Cloud) Inject(f Fault) (remove func()) {
	f.path = regexp.MustCompile(f.Path)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.faults = slices.DeleteFunc(c.faults, func(x *Fault) bool { return x == &f })
	}
}

// Calls returns all calls so far, those that failed included.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Count returns how many calls had this method ("" for any) and a path that matches the regular expression.
func (c *Cloud) Count(method, path string) int {
	re := regexp.MustCompile(path)
	n := 0
	for _, call := range c.Calls() {
		if (method == "" || method == call.Method) && re.MatchString(call.Path) {
			n++
		}
	}
	return n
}

// ResetCalls forgets the calls so far.
func (c *Cloud) ResetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}

// match returns the fault that strikes this call, nil for none.
func (c *Cloud) match(call Call) *Fault {
	for _, f := range c.faults {
		if (f.Method != "" && f.Method != call.Method) || (f.MutatingOnly && !call.Mutates()) || !f.path.MatchString(call.Path) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.used && f.Times == 0 {
			return f
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				defer func() { c.faults = slices.DeleteFunc(c.faults, func(x *Fault) bool { return x == f }) }()
			}
		}
		f.used = true
		return f
	}
	return nil
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", "test-request")
	call := Call{Method: r.Method, Path: r.URL.Path}
	c.mu.Lock()
	c.calls = append(c.calls, call)
	fault := c.match(call)
	c.mu.Unlock()
	if fault == nil {
		c.mux.ServeHTTP(w, r)
		return
	}
	if fault.Done {
		c.mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	if fault.Strike != nil {
		fault.Strike()
	}
	if fault.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if fault.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(fault.RetryAfter.Seconds())))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(fault.Status)
	_, _ = w.Write([]byte(`{"slug":"injected","message":"injected fault"}`))
}
