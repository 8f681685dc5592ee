package ccm

import (
	"net/http"

	"k8s.io/client-go/util/flowcontrol"
)

// Calls to the cloud by one cluster's MCCM, whatever happens in it.
const (
	callsPerSecond = 10
	callsAtOnce    = 50
)

// limited lets calls wait for a token each, so that no storm inside the cluster becomes one in the cloud.
type limited struct {
	http.RoundTripper
	tokens flowcontrol.RateLimiter
}

func limit(next http.RoundTripper) http.RoundTripper {
	return limited{next, flowcontrol.NewTokenBucketRateLimiter(callsPerSecond, callsAtOnce)}
}

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := l.tokens.Wait(r.Context()); err != nil {
		return nil, err
	}
	return l.RoundTripper.RoundTrip(r)
}
