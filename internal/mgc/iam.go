package mgc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"magalu.cloud/mke/internal/audit"
)

// ServiceAccount is an identity for programs.
type ServiceAccount struct {
	UUID        string `json:"uuid"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Email       string `json:"email"`
	Tenant      Tenant `json:"tenant"`
}

// Tenant owns objects in the cloud.
type Tenant struct {
	UUID      string `json:"uuid"`
	LegalName string `json:"legal_name"`
}

// ServiceAccountCreate is the wanted service account; all fields are required.
type ServiceAccountCreate struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Email       string `json:"email"`
}

// APIKey of a service account.
type APIKey struct {
	UUID          string   `json:"uuid"`
	Name          string   `json:"name"`
	Description   string   `json:"description"`
	KeyPairID     string   `json:"key_pair_id"`
	KeyPairSecret string   `json:"key_pair_secret"`
	Scopes        []string `json:"scopes"`
	// Key is the secret itself.
	Key       string `json:"api_key"`
	RevokedAt string `json:"revoked_at"`
}

// APIKeyCreate is the wanted key.
type APIKeyCreate struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Scopes      []string `json:"scopes"`
}

// Identity is who holds an API key.
type Identity struct {
	// Active is false for unknown and revoked keys; the rest is then empty.
	Active   bool   `json:"active"`
	TenantID string `json:"tenant_id"`
	Subject  string `json:"subject"`
	// SubjectType is user or service_account.
	SubjectType string   `json:"subject_type"`
	Name        string   `json:"name"`        // e-mail of a user, name of a service account
	KeyID       string   `json:"key_id"`      // of the API key, also of the one that an access token was got with
	Scopes      []string `json:"scopes"`      // what the credential is for; "*" stands for all
	Permissions []string `json:"permissions"` // what who holds it may do; "*" stands for all
}

const serviceAccounts = "/api/v1/service-accounts"

func keysURL(accountID string) string {
	return serviceAccounts + "/" + url.PathEscape(accountID) + "/api-keys"
}

// CreateServiceAccount creates a service account in the tenant.
func (c *IAMClient) CreateServiceAccount(ctx context.Context, in ServiceAccountCreate) (*ServiceAccount, error) {
	var out ServiceAccount
	if err := c.do(ctx, request{method: http.MethodPost, path: serviceAccounts, in: in, out: &out}); err != nil {
		return nil, err
	}
	return &out, nil
}

// ListServiceAccounts returns all service accounts of the tenant.
func (c *IAMClient) ListServiceAccounts(ctx context.Context) ([]ServiceAccount, error) {
	var out []ServiceAccount
	err := c.get(ctx, serviceAccounts, nil, &out)
	return out, err
}

// DeleteServiceAccount deletes a service account with its keys.
func (c *IAMClient) DeleteServiceAccount(ctx context.Context, id string) error {
	return c.delete(ctx, serviceAccounts+"/"+url.PathEscape(id), nil)
}

// CreateServiceAccountKey creates a key; its secret is in the answer.
func (c *IAMClient) CreateServiceAccountKey(ctx context.Context, accountID string, in APIKeyCreate) (*APIKey, error) {
	var out APIKey
	if err := c.do(ctx, request{method: http.MethodPost, path: keysURL(accountID), in: in, out: &out}); err != nil {
		return nil, err
	}
	if out.Key == "" {
		return nil, &callError{method: http.MethodPost, path: keysURL(accountID), err: errors.New("the answer has no key")}
	}
	return &out, nil
}

// ListServiceAccountKeys returns the keys that are not revoked.
func (c *IAMClient) ListServiceAccountKeys(ctx context.Context, accountID string) ([]APIKey, error) {
	var out []APIKey
	err := c.get(ctx, keysURL(accountID), url.Values{"status": {"active"}}, &out)
	return out, err
}

// RevokeServiceAccountKey ends a key's validity.
func (c *IAMClient) RevokeServiceAccountKey(ctx context.Context, accountID, keyID string) error {
	return c.delete(ctx, keysURL(accountID)+"/"+url.PathEscape(keyID), nil)
}

// Introspect tells who holds apiKey. Only the platform's key may ask.
func (c *IAMClient) Introspect(ctx context.Context, apiKey string) (*Identity, error) {
	in := struct {
		APIKey string `json:"api_key"`
	}{apiKey}
	var out Identity
	if err := c.do(ctx, request{method: http.MethodPost, path: "/internal/v1/introspect", in: in, out: &out}); err != nil {
		return nil, err
	}
	return &out, nil
}

// AuditRecords returns the oldest records of sign-ins that did not come through the gateway. Only the platform's key may ask.
func (c *IAMClient) AuditRecords(ctx context.Context) (audit.Waiting, error) {
	var out audit.Waiting
	err := c.get(ctx, audit.Path, nil, &out)
	return out, err
}

// ForgetAuditRecords removes the records up to the last one that is kept elsewhere.
func (c *IAMClient) ForgetAuditRecords(ctx context.Context, last int64) error {
	return c.delete(ctx, audit.Path, url.Values{"last": {strconv.FormatInt(last, 10)}})
}
