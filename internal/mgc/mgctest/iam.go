package mgctest

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

type account struct {
	object
	mgc.ServiceAccount
	keys []*mgc.APIKey
}

// RevokeKey makes an API key stop working, as a person might do.
func (c *Cloud) RevokeKey(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revokedKeys[key] = true
}

// RestoreKey makes a revoked API key work again.
func (c *Cloud) RestoreKey(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.revokedKeys, key)
}

// ServiceAccounts returns the service accounts of Tenant.
func (c *Cloud) ServiceAccounts() []mgc.ServiceAccount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accountsOf(Tenant)
}

// ActiveKeys returns the keys of a service account that are not revoked.
func (c *Cloud) ActiveKeys(accountID string) []mgc.APIKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.accounts[accountID]; a != nil {
		return c.activeKeys(a)
	}
	return nil
}

const accountsBase = "/iam/api/v1/service-accounts"

func (c *Cloud) routeIAM() {
	c.handle("GET "+accountsBase, func(rq call) { rq.ok(http.StatusOK, c.accountsOf(rq.tenant)) })
	c.handle("POST "+accountsBase, c.createAccount)
	c.handle("DELETE "+accountsBase+"/{id}", func(rq call) {
		c.withAccount(rq, func(a *account) {
			for _, k := range a.keys {
				delete(c.keys, k.Key)
			}
			delete(c.accounts, a.UUID)
			rq.ok(http.StatusNoContent, nil)
		})
	})
	c.handle("GET "+accountsBase+"/{id}/api-keys", func(rq call) {
		c.withAccount(rq, func(a *account) { rq.ok(http.StatusOK, c.activeKeys(a)) })
	})
	c.handle("POST "+accountsBase+"/{id}/api-keys", func(rq call) {
		c.withAccount(rq, func(a *account) {
			var in mgc.APIKeyCreate
			if !rq.decode(&in) {
				return
			}
			k := &mgc.APIKey{UUID: uuid.NewString(), Name: in.Name, Description: in.Description, Scopes: in.Scopes, Key: uuid.NewString()}
			a.keys = append(a.keys, k)
			c.keys[k.Key] = a.tenant
			rq.ok(http.StatusCreated, k)
		})
	})
	c.handle("DELETE "+accountsBase+"/{id}/api-keys/{key}", func(rq call) {
		c.withAccount(rq, func(a *account) {
			for _, k := range a.keys {
				if k.UUID == rq.PathValue("key") && k.RevokedAt == "" {
					k.RevokedAt = time.Now().Format(time.RFC3339)
					delete(c.keys, k.Key)
					rq.ok(http.StatusNoContent, nil)
					return
				}
			}
			rq.notFound("API key")
		})
	})
	c.handle("POST /iam/internal/v1/introspect", c.introspect)
}

func (c *Cloud) withAccount(rq call, f func(*account)) {
	a := c.accounts[rq.PathValue("id")]
	if a == nil || !a.of(rq.tenant) {
		rq.notFound("service account")
		return
	}
	f(a)
}

func (c *Cloud) createAccount(rq call) {
	var in mgc.ServiceAccountCreate
	if !rq.decode(&in) {
		return
	}
	if in.Name == "" || in.Description == "" || in.Email == "" {
		rq.fail(http.StatusUnprocessableEntity, "validation_error", "name, description and email are required")
		return
	}
	for _, a := range c.accounts {
		if a.of(rq.tenant) && (a.Email == in.Email || a.Name == in.Name) {
			rq.fail(http.StatusConflict, "conflict", "a service account with this name or email exists")
			return
		}
	}
	a := &account{object: object{tenant: rq.tenant}, ServiceAccount: mgc.ServiceAccount{UUID: uuid.NewString(), Name: in.Name,
		Description: in.Description, Email: in.Email, Tenant: mgc.Tenant{UUID: rq.tenant}}}
	c.accounts[a.UUID] = a
	rq.ok(http.StatusCreated, a.ServiceAccount)
}

func (c *Cloud) introspect(rq call) {
	var in struct {
		APIKey string `json:"api_key"`
	}
	if rq.Header.Get("X-Api-Key") != PlatformKey {
		rq.fail(http.StatusForbidden, "forbidden", "only the platform may ask")
		return
	}
	if !rq.decode(&in) {
		return
	}
	tenant, ok := c.keys[in.APIKey]
	if !ok || c.revokedKeys[in.APIKey] {
		rq.ok(http.StatusOK, mgc.Identity{})
		return
	}
	rq.ok(http.StatusOK, mgc.Identity{Active: true, TenantID: tenant, Subject: in.APIKey[:8], SubjectType: "user"})
}

func (c *Cloud) accountsOf(tenant string) []mgc.ServiceAccount {
	out := []mgc.ServiceAccount{}
	for _, a := range c.accounts {
		if a.of(tenant) {
			out = append(out, a.ServiceAccount)
		}
	}
	return out
}

// activeKeys leaves the secrets out, as a list should.
func (c *Cloud) activeKeys(a *account) []mgc.APIKey {
	out := []mgc.APIKey{}
	for _, k := range a.keys {
		if k.RevokedAt == "" {
			listed := *k
			listed.Key, listed.KeyPairSecret = "", ""
			out = append(out, listed)
		}
	}
	return out
}
