package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"magalu.cloud/mke/internal/cli/oauth"
	"magalu.cloud/mke/internal/cli/products"
)

// credential is who calls: a key, or something that gets a token when one is needed.
type credential struct {
	source string // for people
	key    string
	token  func(context.Context) (string, error)
}

// credential takes the first that there is of: the key by flag or environment, a token by environment, the id and secret of a key by
// environment, the person who signed in, the key in cli.yaml.
func (a *app) credential(c Config, to *client) (credential, error) {
	if a.opts.apiKey != "" {
		return credential{source: "API key given with --api-key", key: a.opts.apiKey}, nil
	}
	if key := a.getenv("MGC_API_KEY"); key != "" {
		return credential{source: "API key in MGC_API_KEY", key: key}, nil
	}
	if token := a.getenv("MGC_ACCESS_TOKEN"); token != "" {
		return credential{source: "access token in MGC_ACCESS_TOKEN", token: func(context.Context) (string, error) { return token, nil }}, nil
	}
	if id, secret := a.getenv("MGC_CLIENT_ID"), a.getenv("MGC_CLIENT_SECRET"); id != "" || secret != "" {
		if id == "" || secret == "" {
			return credential{}, usagef("MGC_CLIENT_ID and MGC_CLIENT_SECRET are the id and the secret of an API key: set both")
		}
		return credential{source: "client credentials in MGC_CLIENT_ID and MGC_CLIENT_SECRET", token: a.programToken(c, to, id, secret)}, nil
	}
	session, err := a.store().Load()
	if err != nil {
		return credential{}, err
	}
	if session != nil && session.For(to.base) {
		return credential{source: "mgc auth login", token: a.sessionToken(to)}, nil
	}
	key, err := c.key()
	if err != nil {
		return credential{}, err
	}
	if key == "" {
		problem := "no API key is set and nobody is signed in, nothing was sent"
		if session != nil {
			problem = fmt.Sprintf("you are signed in at %s, which is another host than %s; nothing was sent", session.IAM, to.base)
		}
		return credential{}, &apiError{Status: 401, Problems: []string{problem}}
	}
	return credential{source: "API key in " + configFile, key: key}, nil
}

func (a *app) store() oauth.Store {
	dir, _ := a.workspaceDir() // storedConfig has told what is wrong with it
	return oauth.Store{Dir: dir, Now: time.Now}
}

func (a *app) sessionToken(to *client) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		token, err := a.store().Token(ctx, to.http)
		return token, signInError(err)
	}
}

// programToken gets one token for all requests of a run.
func (a *app) programToken(c Config, to *client, id, secret string) func(context.Context) (string, error) {
	var token string
	return func(ctx context.Context) (string, error) {
		if token != "" {
			return token, nil
		}
		server, err := oauth.Discover(ctx, to.http, c.address(&products.IAM))
		if err == nil {
			token, err = server.ForProgram(ctx, id, secret)
		}
		return token, signInError(err)
	}
}

// signInError is an error of signing in as mgc tells it: what is refused is not allowed, what cannot be reached may be tried again.
func signInError(err error) error {
	var refused *oauth.Refused
	switch {
	case errors.Is(err, oauth.ErrEnded), errors.As(err, &refused):
		return &permanentError{&apiError{Status: 401, Problems: []string{err.Error()}}}
	case errors.Is(err, oauth.ErrNotOffered):
		return &permanentError{err}
	}
	return err
}
