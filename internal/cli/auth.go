package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cli/oauth"
	"magalu.cloud/mke/internal/cli/products"
)

const signInTime = 10 * time.Minute

func (a *app) authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "auth", Short: "Signing in and out, and API keys",
		Long: `Who calls is, the first that there is of: --api-key, MGC_API_KEY, MGC_ACCESS_TOKEN, MGC_CLIENT_ID with MGC_CLIENT_SECRET (the id and the
secret of an API key, for which a token is got), who signed in with mgc auth login, the key in cli.yaml.`,
	}
	cmd.AddCommand(a.authLogin(), a.authLogout(), a.authStatus(), a.apiKeyCommand())
	group(cmd)
	return cmd
}

// iam finds the IAM of the configuration.
func (a *app) iam(ctx context.Context) (*oauth.Server, *client, error) {
	c, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	to, err := newClient(c.address(&products.IAM), c.CAFile)
	if err != nil {
		return nil, nil, err
	}
	server, err := oauth.Discover(ctx, to.http, to.base)
	if errors.Is(err, oauth.ErrNotOffered) {
		err = fmt.Errorf("%w; use an API key there (MGC_API_KEY)", err)
	}
	return server, to, err
}

func (a *app) authLogin() *cobra.Command {
	var headless bool
	cmd := &cobra.Command{
		Use: "login", Short: "Sign in with a browser",
		Long: `Sign in with a browser. mgc stays signed in until mgc auth logout, or until it was not used for a week. With --headless the browser may be
on another machine: it ends at an address that does not answer, which is to be copied.`,
		Example: "  mgc auth login\n  mgc auth login --headless",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.login(cmd.Context(), headless) },
	}
	cmd.Flags().BoolVar(&headless, "headless", false, "only print the address, and read the answer from standard input")
	return cmd
}

func (a *app) login(ctx context.Context, headless bool) error {
	if _, err := ConfigDir(a.getenv); err != nil {
		return err
	}
	server, to, err := a.iam(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	flow, code, err := a.askBrowser(ctx, server, headless)
	if err != nil {
		return loginError(ctx, err)
	}
	session, err := flow.Exchange(ctx, to.base, code)
	if err != nil {
		return signInError(err)
	}
	store := a.store()
	unlock, err := store.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := store.Save(session); err != nil {
		return err
	}
	person, err := server.Who(ctx, session.AccessToken)
	if err != nil {
		return err
	}
	a.notef("Signed in as %s in the organization %s.", firstOf(person.Email, person.Subject), oauth.ClaimsOf(session.AccessToken).Tenant)
	if key := firstOf(a.opts.apiKey, a.getenv("MGC_API_KEY"), a.getenv("MGC_ACCESS_TOKEN"), a.getenv("MGC_CLIENT_ID")); key != "" {
		a.notef("As long as a key or token is set in the environment, that one is used.")
	}
	return nil
}

// askBrowser returns the code that the sign-in page gave.
func (a *app) askBrowser(ctx context.Context, server *oauth.Server, headless bool) (*oauth.Flow, string, error) {
	if headless {
		flow := server.BeginHeadless()
		fmt.Fprintf(a.Err, "Sign in at:\n%s\nThe browser ends at an address that begins with http://127.0.0.1 and does not answer. Paste it here: ", flow.URL)
		line, err := a.readLine(ctx)
		if err != nil {
			return nil, "", err
		}
		code, err := flow.Answer(line)
		return flow, code, err
	}
	flow, err := server.Begin(ctx)
	if err != nil {
		return nil, "", err
	}
	fmt.Fprintf(a.Err, "Sign in at:\n%s\n", flow.URL)
	if err := a.browse(flow.URL); err != nil {
		a.notef("No browser could be opened here (%v): open the address yourself, on this machine, or use --headless.", err)
	}
	code, err := flow.Wait(ctx)
	return flow, code, err
}

func loginError(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("nobody signed in within %s", signInTime)
	case ctx.Err() != nil:
		return &interruptedError{"interrupted, nobody is signed in"}
	}
	var refused *oauth.Refused
	if errors.As(err, &refused) {
		return signInError(err)
	}
	return usagef("%v", err)
}

func (a *app) authLogout() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Sign out: what signing in gave is revoked and forgotten", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.logout(cmd.Context()) },
	}
}

func (a *app) logout(ctx context.Context) error {
	store := a.store()
	session, err := store.Load()
	if err != nil {
		return err
	}
	if session == nil {
		a.notef("Nobody is signed in.")
		return nil
	}
	unlock, err := store.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if session, err = store.Load(); err != nil || session == nil {
		return err
	}
	revoked := a.revoke(ctx, session)
	if err := store.Forget(); err != nil {
		return err
	}
	if revoked != nil {
		return fmt.Errorf("signed out here, but %s could not be told (what signing in gave is good for a week at most): %w", session.IAM, revoked)
	}
	a.notef("Signed out.")
	return nil
}

func (a *app) revoke(ctx context.Context, session *oauth.Session) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	httpClient, err := newHTTPClient(c.CAFile)
	if err != nil {
		return err
	}
	server, err := oauth.Discover(ctx, httpClient, session.IAM)
	if err != nil {
		return err
	}
	if session.RefreshToken == "" {
		return server.Revoke(ctx, session.AccessToken, "access_token")
	}
	return server.Revoke(ctx, session.RefreshToken, "refresh_token")
}

// authState is what mgc auth status shows. It never has a key or token.
type authState struct {
	Workspace    string   `json:"workspace"`
	Server       string   `json:"server"`
	Source       string   `json:"source"`
	Email        string   `json:"email,omitempty"`
	Name         string   `json:"name,omitempty"`
	Organization string   `json:"organization,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	ExpiresAt    string   `json:"expires_at,omitempty"`
}

var authView = rows([]string{"server~", "source~", "email~", "organization"}, func(_ *app, s authState) []string {
	return []string{s.Server, s.Source, s.Email, s.Organization}
})

func (a *app) authStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show who calls, and whether the server still knows them", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := a.authState(cmd.Context())
			if err != nil {
				return err
			}
			return a.printValue(state, "yaml", authView)
		},
	}
}

func (a *app) authState(ctx context.Context) (*authState, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	to, err := newClient(c.address(&products.IAM), c.CAFile)
	if err != nil {
		return nil, err
	}
	who, err := a.credential(c, to)
	if err != nil {
		return nil, err
	}
	state := &authState{Workspace: a.workspace(), Server: to.base, Source: who.source}
	if who.token == nil {
		to.apiKey, to.retries = who.key, 1
		_, err := to.do(ctx, "GET", "/api/v1/scopes", nil) // whoever may not see this is known, too
		if isStatus(err, 403) {
			err = nil
		}
		return state, err
	}
	token, err := who.token(ctx)
	if err != nil {
		return nil, err
	}
	claims := oauth.ClaimsOf(token)
	state.Organization, state.Scopes = claims.Tenant, strings.Fields(claims.Scope)
	slices.Sort(state.Scopes)
	if claims.Expiry > 0 {
		state.ExpiresAt = time.Unix(claims.Expiry, 0).UTC().Format(time.RFC3339)
	}
	server, err := oauth.Discover(ctx, to.http, to.base)
	if err != nil {
		return nil, err
	}
	person, err := server.Who(ctx, token)
	state.Email, state.Name = person.Email, person.Name
	return state, signInError(err)
}
