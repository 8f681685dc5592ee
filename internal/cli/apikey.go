package cli

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cli/products"
)

const (
	accountsPath   = "/api/v1/service-accounts"
	defaultAccount = "mgc" // has the keys that name no service account
)

func keysPath(account string) string {
	return accountsPath + "/" + url.PathEscape(account) + "/api-keys"
}

type serviceAccount struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

type apiKey struct {
	UUID          string   `json:"uuid"`
	Name          string   `json:"name"`
	Description   string   `json:"description"`
	Account       string   `json:"service_account"`
	AccountID     string   `json:"service_account_id"`
	Scopes        []string `json:"scopes"`
	StartValidity string   `json:"start_validity"`
	EndValidity   *string  `json:"end_validity"`
	RevokedAt     *string  `json:"revoked_at"`
	APIKey        string   `json:"api_key,omitempty"` // in the answer to its creation only
}

var apiKeyView = rows([]string{"name~", "uuid", "service account~", "scopes~", "expires", "revoked"}, func(_ *app, k apiKey) []string {
	return []string{k.Name, k.UUID, k.Account, cellText(anyOf(k.Scopes)), deref(k.EndValidity), deref(k.RevokedAt)}
})

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func anyOf(words []string) []any {
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = w
	}
	return list
}

func (a *app) apiKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "api-key", Short: "API keys of service accounts",
		Long: "API keys are for programs, and belong to service accounts. Keys that are made here belong to the service account \"" + defaultAccount +
			"\" unless another one is named; mgc iam service-accounts manages those.",
	}
	cmd.AddCommand(a.apiKeyList(), a.apiKeyGet(), a.apiKeyCreate(), a.apiKeyRevoke())
	group(cmd)
	return cmd
}

func keyRef() *ref { return &ref{label: "KEY", flag: "id", what: "id or name"} }

// allKeys are the keys of every service account, or of the one named.
func (a *app) allKeys(ctx context.Context, c *client, account string) ([]apiKey, error) {
	var accounts []serviceAccount
	if err := c.getInto(ctx, accountsPath, &accounts); err != nil {
		return nil, err
	}
	keys := []apiKey{}
	found := account == ""
	for _, sa := range accounts {
		if account != "" && account != sa.Name && account != sa.UUID {
			continue
		}
		found = true
		var some []apiKey
		err := c.getInto(ctx, keysPath(sa.UUID), &some)
		if isStatus(err, http.StatusNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		for _, k := range some {
			k.Account, k.AccountID = sa.Name, sa.UUID
			keys = append(keys, k)
		}
	}
	if !found {
		return nil, &notFoundError{"no service account has the id or name " + quote(account)}
	}
	return keys, nil
}

func (a *app) apiKeyList() *cobra.Command {
	var account string
	var revoked bool
	cmd := &cobra.Command{Use: "list", Short: "List the API keys", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(&products.IAM)
		if err != nil {
			return err
		}
		keys, err := a.allKeys(cmd.Context(), c, account)
		if err != nil {
			return err
		}
		shown := []apiKey{}
		for _, k := range keys {
			if revoked || k.RevokedAt == nil {
				shown = append(shown, k)
			}
		}
		return a.printValue(results[apiKey]{shown}, "table", apiKeyView)
	}}
	cmd.Flags().StringVar(&account, "service-account", "", "only those of this service account, by `id or name`")
	cmd.Flags().BoolVar(&revoked, "revoked", false, "also those that are revoked")
	return cmd
}

// findKey finds one key by id or, among those that work, by name.
func (a *app) findKey(ctx context.Context, c *client, given string) (*apiKey, error) {
	keys, err := a.allKeys(ctx, c, "")
	if err != nil {
		return nil, err
	}
	var found []*apiKey
	for i, k := range keys {
		if k.UUID == given || k.Name == given && k.RevokedAt == nil {
			found = append(found, &keys[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, &notFoundError{"no API key has the id or name " + quote(given)}
	case 1:
		return found[0], nil
	}
	return nil, usagef("%d API keys have the name %s; give the id", len(found), quote(given))
}

func (a *app) apiKeyGet() *cobra.Command {
	key := keyRef()
	return withRefs(&cobra.Command{Use: "get", Short: "Show one API key; the key itself cannot be shown again", RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(&products.IAM)
		if err != nil {
			return err
		}
		found, err := a.findKey(cmd.Context(), c, key.value)
		if err != nil {
			return err
		}
		return a.printValue(found, "yaml", apiKeyView)
	}}, key)
}

func (a *app) apiKeyRevoke() *cobra.Command {
	key := keyRef()
	return withRefs(&cobra.Command{Use: "revoke", Short: "Revoke an API key: nothing can be done with it any more", RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(&products.IAM)
		if err != nil {
			return err
		}
		found, err := a.findKey(cmd.Context(), c, key.value)
		if err != nil {
			return err
		}
		if err := a.confirm(cmd.Context(), "API key "+quote(found.Name), ""); err != nil {
			return err
		}
		if _, err := c.do(cmd.Context(), http.MethodDelete, keysPath(found.AccountID)+"/"+url.PathEscape(found.UUID), nil); err != nil {
			return err
		}
		a.notef("Revoked the API key %s.", quote(found.Name))
		return nil
	}}, key)
}

type apiKeyCreateFlags struct{ name, description, expiration, scopes, account string }

func (a *app) apiKeyCreate() *cobra.Command {
	var f apiKeyCreateFlags
	name := &ref{label: "NAME", flag: "name", what: "name"}
	cmd := withRefs(&cobra.Command{
		Use: "create", Short: "Make an API key; it is shown only now",
		Example: "  mgc auth api-key create ci --scopes mke.read,mke.write --expiration 2027-12-31",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.name = name.value
			return a.createKey(cmd.Context(), f)
		},
	}, name)
	cmd.Flags().StringVar(&f.description, "description", "", "free `text`")
	cmd.Flags().StringVar(&f.expiration, "expiration", "", "last `day` (UTC) on which it works, as 2027-12-31; without one it does not end")
	cmd.Flags().StringVar(&f.scopes, "scopes", "", "`scopes` it has (required), see: mgc iam scopes list")
	cmd.Flags().StringVar(&f.account, "service-account", "", "`id or name` of the service account it belongs to (default "+defaultAccount+")")
	return cmd
}

func (f *apiKeyCreateFlags) body() (map[string]any, error) {
	body := map[string]any{"name": f.name}
	setText(body, "description", f.description)
	scopes, err := parseStrings("scopes", firstOf(f.scopes, "[]"), `["mke.read", "mke.write"]`)
	if err != nil {
		return nil, err
	}
	if len(scopes) == 0 {
		return nil, usagef("--scopes is missing: what the key may be used for, such as --scopes mke.read,mke.write; see: mgc iam scopes list")
	}
	body["scopes"] = scopes
	if f.expiration != "" {
		day, err := time.Parse(time.DateOnly, f.expiration)
		if err != nil {
			return nil, usagef("--expiration: %q is no day such as 2027-12-31", f.expiration)
		}
		body["end_validity"] = day.AddDate(0, 0, 1).UTC().Format(time.RFC3339)
	}
	return body, nil
}

func (a *app) createKey(ctx context.Context, f apiKeyCreateFlags) error {
	body, err := f.body()
	if err != nil {
		return err
	}
	c, err := a.client(&products.IAM)
	if err != nil {
		return err
	}
	c.repeatable = false // a second key would be a secret that nobody has seen
	account, err := a.accountFor(ctx, c, f.account)
	if err != nil {
		return err
	}
	ans, err := c.do(ctx, http.MethodPost, keysPath(account.UUID), body)
	if err != nil {
		return err
	}
	var made apiKey
	if err := decode(ans.Body, &made); err != nil {
		return err
	}
	made.Account, made.AccountID = account.Name, account.UUID
	a.notef("Keep the key (api_key): it cannot be shown again.")
	return a.printValue(made, "yaml", apiKeyView)
}

// accountFor finds a service account, and makes the default one when it is not there yet.
func (a *app) accountFor(ctx context.Context, c *client, given string) (found serviceAccount, err error) {
	var accounts []serviceAccount
	if err := c.getInto(ctx, accountsPath, &accounts); err != nil {
		return found, err
	}
	for _, sa := range accounts {
		if wanted := firstOf(given, defaultAccount); sa.Name == wanted || sa.UUID == wanted {
			return sa, nil
		}
	}
	if given != "" {
		return found, &notFoundError{"no service account has the id or name " + quote(given)}
	}
	ans, err := c.do(ctx, http.MethodPost, accountsPath, map[string]any{
		"name": defaultAccount, "description": "has the API keys made with mgc auth api-key", "email": defaultAccount + "@service-accounts.mke",
	})
	if err != nil {
		return found, err
	}
	return found, decode(ans.Body, &found)
}
