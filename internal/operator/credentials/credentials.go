// Package credentials gives every customer cluster an identity of its own in the cloud: a service account and one API key,
// which lives in a Secret beside the cluster's objects.
package credentials

import (
	"context"
	"fmt"

	"magalu.cloud/mke/internal/mgc"
)

// Scopes of the key: what the provider, the cloud controller and the volume driver of a cluster do in the tenant.
var Scopes = []string{
	"virtual-machine.read", "virtual-machine.write", "network.read", "network.write", "lbaas.read", "lbaas.write",
	"block-storage.read", "block-storage.write",
}

// IAM is what is needed of the cloud.
type IAM interface {
	ListServiceAccounts(ctx context.Context) ([]mgc.ServiceAccount, error)
	CreateServiceAccount(ctx context.Context, in mgc.ServiceAccountCreate) (*mgc.ServiceAccount, error)
	DeleteServiceAccount(ctx context.Context, id string) error
	ListServiceAccountKeys(ctx context.Context, accountID string) ([]mgc.APIKey, error)
	CreateServiceAccountKey(ctx context.Context, accountID string, in mgc.APIKeyCreate) (*mgc.APIKey, error)
	RevokeServiceAccountKey(ctx context.Context, accountID, keyID string) error
	Introspect(ctx context.Context, apiKey string) (*mgc.Identity, error)
}

// Key is a cluster's credential.
type Key struct {
	AccountID, APIKey string
}

// Name of the service account and of its key.
func Name(clusterID string) string { return "mke-" + clusterID }

// Issue makes a new key for the cluster and revokes every older one, whose secret nobody knows any more. An account that
// exists already, perhaps from a call whose answer was lost, is used again.
func Issue(ctx context.Context, iam IAM, clusterID string) (Key, error) {
	account, err := ensureAccount(ctx, iam, clusterID)
	if err != nil {
		return Key{}, err
	}
	if err := revokeKeys(ctx, iam, account.UUID); err != nil {
		return Key{}, err
	}
	key, err := iam.CreateServiceAccountKey(ctx, account.UUID, mgc.APIKeyCreate{
		Name:        Name(clusterID),
		Description: "mke.cluster-id=" + clusterID,
		Scopes:      Scopes,
	})
	if err != nil {
		return Key{}, fmt.Errorf("create the API key of the cluster: %w", err)
	}
	return Key{AccountID: account.UUID, APIKey: key.Key}, nil
}

// Remove revokes the cluster's keys and deletes its service account. It does nothing if there is none.
func Remove(ctx context.Context, iam IAM, clusterID string) error {
	accounts, err := find(ctx, iam, clusterID)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if err := revokeKeys(ctx, iam, a.UUID); err != nil {
			return err
		}
		if err := iam.DeleteServiceAccount(ctx, a.UUID); err != nil && !mgc.IsNotFound(err) {
			return fmt.Errorf("delete the service account of the cluster: %w", err)
		}
	}
	return nil
}

func ensureAccount(ctx context.Context, iam IAM, clusterID string) (*mgc.ServiceAccount, error) {
	accounts, err := find(ctx, iam, clusterID)
	if err != nil {
		return nil, err
	}
	if len(accounts) > 0 {
		return &accounts[0], nil
	}
	account, err := iam.CreateServiceAccount(ctx, mgc.ServiceAccountCreate{
		Name:        Name(clusterID),
		Description: "mke.cluster-id=" + clusterID,
		Email:       Name(clusterID) + "@mke.invalid",
	})
	if err != nil {
		return nil, fmt.Errorf("create the service account of the cluster: %w", err)
	}
	return account, nil
}

func find(ctx context.Context, iam IAM, clusterID string) ([]mgc.ServiceAccount, error) {
	all, err := iam.ListServiceAccounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list service accounts: %w", err)
	}
	var ours []mgc.ServiceAccount
	for _, a := range all {
		if a.Name == Name(clusterID) {
			ours = append(ours, a)
		}
	}
	return ours, nil
}

func revokeKeys(ctx context.Context, iam IAM, accountID string) error {
	keys, err := iam.ListServiceAccountKeys(ctx, accountID)
	if mgc.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the keys of the cluster's service account: %w", err)
	}
	for _, k := range keys {
		if err := iam.RevokeServiceAccountKey(ctx, accountID, k.UUID); err != nil && !mgc.IsNotFound(err) {
			return fmt.Errorf("revoke a key of the cluster's service account: %w", err)
		}
	}
	return nil
}
