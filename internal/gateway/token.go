package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/sync/singleflight"
)

const (
	// keysTTL is how long IAM's public keys are believed.
	keysTTL = 10 * time.Minute
	// keysPause is how long the gateway waits before it asks again because of a key that it does not know: strangers can make up keys.
	keysPause = 5 * time.Second
	// clockSkew between this machine and IAM's.
	clockSkew = 5 * time.Second
)

// tokens verifies access tokens with IAM's public keys, which it remembers: a token that is forged, over, or not for this region does
// not even reach IAM. Whether a good one was revoked, and what its holder may do, only IAM knows.
type tokens struct {
	expected jwt.Expected
	keysURL  string
	client   *http.Client
	now      func() time.Time
	calls    singleflight.Group

	mu    sync.Mutex
	keys  jose.JSONWebKeySet
	asked time.Time
}

// newTokens verifies what the cloud at the URL issues for itself.
func newTokens(cloud *url.URL, transport http.RoundTripper) *tokens {
	issuer := cloud.JoinPath("iam")
	return &tokens{
		expected: jwt.Expected{Issuer: issuer.String(), AnyAudience: jwt.Audience{cloud.String()}},
		keysURL:  issuer.JoinPath(".well-known/jwks.json").String(),
		client:   &http.Client{Transport: transport, Timeout: introspectTimeout},
		now:      time.Now,
	}
}

// verify returns errNoIdentity for a token that is not good, another error if that could not be found out. The one algorithm is what
// IAM signs with; what a token says about itself counts for nothing.
func (t *tokens) verify(ctx context.Context, text string) error {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(token.Headers) != 1 || token.Headers[0].KeyID == "" {
		return errNoIdentity
	}
	key, err := t.key(ctx, token.Headers[0].KeyID)
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if token.Claims(key, &claims) != nil || claims.Expiry == nil {
		return errNoIdentity
	}
	expected := t.expected
	expected.Time = t.now()
	if claims.ValidateWithLeeway(expected, clockSkew) != nil {
		return errNoIdentity
	}
	return nil
}

// key returns the public key with the id, from memory if it can.
func (t *tokens) key(ctx context.Context, id string) (any, error) {
	t.mu.Lock()
	key, age := find(t.keys, id), t.now().Sub(t.asked)
	t.mu.Unlock()
	if key != nil && age < keysTTL {
		return key, nil
	}
	if key == nil && age < keysPause {
		return nil, errNoIdentity
	}
	keys, err, _ := t.calls.Do("", func() (any, error) { return t.fetch(context.WithoutCancel(ctx)) })
	if err != nil {
		if key != nil { // better an old key than nobody may pass
			return key, nil
		}
		return nil, err
	}
	if key = find(keys.(jose.JSONWebKeySet), id); key == nil {
		return nil, errNoIdentity
	}
	return key, nil
}

func find(keys jose.JSONWebKeySet, id string) any {
	for _, k := range keys.Key(id) {
		if k.Valid() && k.IsPublic() && k.Algorithm == string(jose.ES256) {
			return k.Key
		}
	}
	return nil
}

func (t *tokens) fetch(ctx context.Context) (jose.JSONWebKeySet, error) {
	var keys jose.JSONWebKeySet
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.keysURL, nil)
	if err != nil {
		return keys, err
	}
	res, err := t.client.Do(req)
	if err != nil {
		return keys, fmt.Errorf("IAM's public keys: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return keys, errors.New("IAM's public keys: " + res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxBody)).Decode(&keys); err != nil {
		return keys, fmt.Errorf("IAM's public keys: %w", err)
	}
	t.mu.Lock()
	t.keys, t.asked = keys, t.now()
	t.mu.Unlock()
	return keys, nil
}
