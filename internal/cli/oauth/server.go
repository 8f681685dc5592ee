// Package oauth signs people in at a region's IAM, and keeps them signed in: authorization code with PKCE, answered on the loopback, and
// refresh tokens in a file that processes share.
package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// clientID is how IAM knows mgc.
const clientID = "mgc"

const maxDocument = 1 << 20

// ErrNotOffered means that there is no IAM with a sign-in at an address.
var ErrNotOffered = errors.New("there is no sign-in")

// Server is the IAM of a region.
type Server struct {
	Authorize  string   `json:"authorization_endpoint"`
	Token      string   `json:"token_endpoint"`
	UserInfo   string   `json:"userinfo_endpoint"`
	Revocation string   `json:"revocation_endpoint"`
	Scopes     []string `json:"scopes_supported"`

	http *http.Client
}

// Discover asks IAM, whose address it is given, where everything is.
func Discover(ctx context.Context, client *http.Client, iam string) (*Server, error) {
	s := &Server{http: client}
	where := strings.TrimRight(iam, "/") + "/.well-known/openid-configuration"
	status, err := s.get(ctx, where, "", s)
	if err == nil && status == http.StatusOK && s.Authorize != "" && s.Token != "" {
		return s, s.secure(where)
	}
	if err != nil || status >= http.StatusInternalServerError {
		return nil, fmt.Errorf("cannot ask %s how to sign in: %w", iam, errors.Join(err, unexpected(status)))
	}
	return nil, fmt.Errorf("%w at %s", ErrNotOffered, iam)
}

func unexpected(status int) error {
	if status == 0 {
		return nil
	}
	return fmt.Errorf("it answers %d %s", status, http.StatusText(status))
}

// secure refuses to leave TLS for where a document points.
func (s *Server) secure(document string) error {
	for _, endpoint := range []string{s.Authorize, s.Token, s.UserInfo, s.Revocation} {
		if strings.HasPrefix(document, "https:") && endpoint != "" && !strings.HasPrefix(endpoint, "https:") {
			return fmt.Errorf("%s names an address without TLS: %s", document, endpoint)
		}
	}
	return nil
}

func (s *Server) get(ctx context.Context, address, token string, into any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxDocument)).Decode(into); err != nil {
		return http.StatusNotFound, nil //nolint:nilerr // a page that is no document of IAM's
	}
	return res.StatusCode, nil
}

// Person is who signed in.
type Person struct {
	Subject string `json:"sub"`
	Email   string `json:"email"`
	Name    string `json:"name"`
}

// ErrEnded means that the server knows a token no more.
var ErrEnded = errors.New("the sign-in has ended")

// Who asks whose a token is.
func (s *Server) Who(ctx context.Context, token string) (p Person, err error) {
	status, err := s.get(ctx, s.UserInfo, token, &p)
	switch {
	case err != nil:
		return p, err
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return p, ErrEnded
	}
	if status != http.StatusOK {
		return p, unexpected(status)
	}
	return p, nil
}

// Revoke ends a token, and with a refresh token everything that came of its sign-in.
func (s *Server) Revoke(ctx context.Context, token, kind string) error {
	form := url.Values{"token": {token}, "token_type_hint": {kind}, "client_id": {clientID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return unexpected(res.StatusCode)
	}
	return nil
}

func (s *Server) config(redirect string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: clientID, RedirectURL: redirect, Scopes: s.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: s.Authorize, TokenURL: s.Token, AuthStyle: oauth2.AuthStyleInParams},
	}
}

func (s *Server) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, s.http)
}

// refresh spends a refresh token.
func (s *Server) refresh(ctx context.Context, token string) (*oauth2.Token, error) {
	fresh, err := s.config("").TokenSource(s.context(ctx), &oauth2.Token{RefreshToken: token}).Token()
	return fresh, plain(err)
}

// ForProgram gets a token with the id and the secret of an API key.
func (s *Server) ForProgram(ctx context.Context, id, secret string) (string, error) {
	c := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: s.Token, AuthStyle: oauth2.AuthStyleInHeader}
	token, err := c.Token(s.context(ctx))
	if err != nil {
		return "", plain(err)
	}
	return token.AccessToken, nil
}

// plain takes the answer's body, which could hold a secret, out of an error.
func plain(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Response != nil && refused.Response.StatusCode >= http.StatusInternalServerError {
		return unexpected(refused.Response.StatusCode)
	}
	return &Refused{Code: refused.ErrorCode, Description: refused.ErrorDescription}
}

// Refused is a request that IAM understood and does not grant.
type Refused struct{ Code, Description string }

func (e *Refused) Error() string {
	if e.Description == "" {
		return "IAM refused: " + e.Code
	}
	return fmt.Sprintf("IAM refused: %s (%s)", e.Description, e.Code)
}
