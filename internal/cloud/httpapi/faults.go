package httpapi

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Fault is how requests below a path are disturbed for a while, in tests.
type Fault struct {
	Status     int    `json:"status"`      // answer with this status; 0: answer truly (after the delay)
	DelayMS    int    `json:"delay_ms"`    // wait so long before
	DropAnswer bool   `json:"drop_answer"` // do what was asked, then cut the connection
	PathPrefix string `json:"path_prefix"` // without the region, such as /compute; empty: all
	Method     string `json:"method"`      // empty: all
	DurationS  int    `json:"duration_s"`  // how long the fault lasts
}

// Faults is the fault in force, if any. Its zero value has none.
type Faults struct {
	mu    sync.Mutex
	fault Fault
	until time.Time
}

// ServeHTTP sets the fault: PUT with a Fault as body; it replaces the one before.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	if err := Decode(r, &fault); err != nil {
		WriteError(w, r, SlugMessage, err)
		return
	}
	if fault.Status != 0 && (fault.Status < 400 || fault.Status > 599) {
		WriteError(w, r, SlugMessage, Invalid("status: must be 0 or between 400 and 599"))
		return
	}
	f.mu.Lock()
	f.fault, f.until = fault, time.Now().Add(time.Duration(fault.DurationS)*time.Second)
	f.mu.Unlock()
	NoContent(w)
}

func (f *Faults) current(r *http.Request) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	matches := time.Now().Before(f.until) && strings.HasPrefix(r.URL.Path, f.fault.PathPrefix) &&
		(f.fault.Method == "" || f.fault.Method == r.Method)
	return f.fault, matches
}

// Disturb applies the fault in force to the requests it matches.
func (f *Faults) Disturb(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault, ok := f.current(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case <-time.After(time.Duration(fault.DelayMS) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
		switch {
		case fault.Status != 0:
			e := &Error{Status: fault.Status, Slug: "injected_fault", Message: "a fault was injected for a test"}
			if fault.Status == http.StatusTooManyRequests {
				e.RetryAfter = time.Second
			}
			WriteError(w, r, SlugMessage, e)
		case fault.DropAnswer:
			next.ServeHTTP(discard{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// discard is an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
