package ccm

import (
	"context"
	"net/http"
	"testing"
	"time"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLimit(t *testing.T) {
	calls := 0
	limited := limit(roundTripper(func(*http.Request) (*http.Response, error) {
		calls++
		return nil, nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cloud", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 * callsAtOnce {
		if _, err := limited.RoundTrip(r); err != nil { //nolint:bodyclose // there is no body
			break
		}
	}
	if calls < callsAtOnce || calls > callsAtOnce+callsPerSecond {
		t.Errorf("%d calls in 0.2 s", calls)
	}
}
