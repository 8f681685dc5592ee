package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"magalu.cloud/mke/internal/mgc"
)

const (
	// positiveTTL is how long a revoked key may still work.
	positiveTTL = 5 * time.Second
	// negativeTTL is how long a new key may still be refused if it was tried before it existed.
	negativeTTL = 2 * time.Second
	// staleTTL is how long a key that was good is believed while IAM does not answer.
	staleTTL = time.Minute
	// maxCached bounds the memory that strangers with made-up keys can take.
	maxCached = 10_000

	introspectTimeout = 10 * time.Second
)

// errNoIdentity says that a request has no valid credential.
var errNoIdentity = errors.New("no valid credential")

// Introspector tells whose an API key is. *mgc.IAMClient is one.
type Introspector interface {
	Introspect(ctx context.Context, apiKey string) (*mgc.Identity, error)
}

// identities asks IAM for identities and remembers the answers for a moment. Keys are kept as hashes.
type identities struct {
	iam    Introspector
	tokens *tokens
	now    func() time.Time
	calls  singleflight.Group

	mu      sync.Mutex
	entries map[[sha256.Size]byte]entry
}

type entry struct {
	identity *mgc.Identity
	asked    time.Time
}

func newIdentities(iam Introspector, tokens *tokens) *identities {
	return &identities{iam: iam, tokens: tokens, now: time.Now, entries: map[[sha256.Size]byte]entry{}}
}

// credential returns the API key or access token of a request, empty if there is none that could be valid.
func credential(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		if id, err := uuid.Parse(key); err != nil || id.Version() != 4 || id.String() != key {
			return ""
		}
		return key
	}
	token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !isBearer {
		return ""
	}
	return strings.TrimSpace(token)
}

// identify returns who makes a request, errNoIdentity if that is nobody, or another error if IAM could not be asked.
func (i *identities) identify(r *http.Request) (*mgc.Identity, error) {
	key := credential(r)
	if key == "" {
		return nil, errNoIdentity
	}
	hash := sha256.Sum256([]byte(key))
	i.mu.Lock()
	known, ok := i.entries[hash]
	i.mu.Unlock()
	if ok && i.now().Sub(known.asked) < ttl(known.identity) {
		return checked(known.identity)
	}
	if strings.Contains(key, ".") { // an access token; keys are UUIDs
		if err := i.tokens.verify(r.Context(), key); err != nil {
			return nil, err
		}
	}
	// Concurrent requests with one key ask once, and a client that leaves does not spoil the answer for the others.
	answer, err, _ := i.calls.Do(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), introspectTimeout)
		defer cancel()
		return i.iam.Introspect(ctx, key)
	})
	if err != nil {
		if ok && known.identity.Active && i.now().Sub(known.asked) < staleTTL {
			return known.identity, nil
		}
		return nil, err
	}
	identity := answer.(*mgc.Identity)
	i.remember(hash, identity)
	return checked(identity)
}

func ttl(identity *mgc.Identity) time.Duration {
	if identity.Active {
		return positiveTTL
	}
	return negativeTTL
}

// checked refuses inactive keys and those that belong to no tenant, such as the platform's own.
func checked(identity *mgc.Identity) (*mgc.Identity, error) {
	if !identity.Active || identity.TenantID == "" {
		return nil, errNoIdentity
	}
	return identity, nil
}

func (i *identities) remember(hash [sha256.Size]byte, identity *mgc.Identity) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if len(i.entries) >= maxCached {
		for h, e := range i.entries {
			if now.Sub(e.asked) > negativeTTL {
				delete(i.entries, h)
			}
		}
	}
	if len(i.entries) < maxCached {
		i.entries[hash] = entry{identity, now}
	}
}
