//nolint:misspell // half of the texts are Portuguese
package iam

import (
	_ "embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/httprate"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

//go:embed signin.html
var signInHTML string

var signInTemplate = template.Must(template.New("sign-in").Parse(signInHTML))

// page is what the sign-in page shows: the form for address and password or, if there are organizations, the choice among them.
type page struct {
	ID, Email, Error string
	Organizations    []organizationView
	Lang, OtherLang  string
	Text             map[string]string
}

// texts of the page, Portuguese first: whoever wants English says so.
var texts = map[string]map[string]string{
	"pt": {"title": "Entrar", "email": "E-mail", "password": "Senha", "submit": "Entrar", "choose": "Escolha a organização", "other": "English",
		"wrong": "E-mail ou senha incorretos.", "over": "Esta tentativa de entrar terminou ou começou em outro navegador. Comece de novo.",
		"often": "Tentativas demais. Espere um minuto.", "none": "Você não é membro de nenhuma organização.", "failed": "Algo deu errado do nosso lado. Tente de novo."},
	"en": {"title": "Sign in", "email": "E-mail", "password": "Password", "submit": "Sign in", "choose": "Choose the organization", "other": "Português",
		"wrong": "Wrong e-mail or password.", "over": "This sign-in is over, or began in another browser. Begin again.",
		"often": "Too many attempts. Wait a minute.", "none": "You are not a member of any organization.", "failed": "Something went wrong on our side. Try again."},
}

func languageOf(r *http.Request) (lang, other string) {
	switch wanted := r.FormValue("lang"); {
	case wanted == "en", wanted != "pt" && strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), "en"):
		return "en", "pt"
	}
	return "pt", "en"
}

func (s *Service) show(w http.ResponseWriter, r *http.Request, status int, p page, problem string) {
	p.Lang, p.OtherLang = languageOf(r)
	p.Text, p.ID = texts[p.Lang], r.FormValue("id")
	p.Error = p.Text[problem]
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", p.Lang)
	w.WriteHeader(status)
	if err := signInTemplate.Execute(w, p); err != nil {
		slog.WarnContext(r.Context(), "sign-in page", "error", err.Error())
	}
}

// refuse shows what went wrong. What is our fault goes to the log.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errWrongPassword):
		s.show(w, r, http.StatusUnauthorized, page{Email: r.FormValue("email")}, "wrong")
	case errors.Is(err, errNoAuthRequest):
		s.show(w, r, http.StatusBadRequest, page{}, "over")
	default:
		slog.ErrorContext(r.Context(), "sign in", "request_id", httpapi.RequestID(r.Context()), "error", err.Error())
		s.show(w, r, http.StatusInternalServerError, page{}, "failed")
	}
}

func (s *Service) signInPage(w http.ResponseWriter, r *http.Request) {
	if _, err := s.authRequest(r.Context(), r.FormValue("id")); err != nil {
		s.refuse(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, page{}, "")
}

// signInLimits bound guessing, by address of the person and by address of who tries.
type signInLimits struct{ email, host *httprate.RateLimiter }

func newSignInLimits() signInLimits {
	return signInLimits{email: httprate.NewRateLimiter(5, time.Minute), host: httprate.NewRateLimiter(30, time.Minute)}
}

func (l signInLimits) exceeded(w http.ResponseWriter, r *http.Request) bool {
	return l.host.OnLimit(w, r, remoteHost(r)) || l.email.OnLimit(w, r, strings.ToLower(r.FormValue("email")))
}

func (s *Service) signIn(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := s.authRequest(ctx, r.PostFormValue("id"))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.aboutPerson(ctx, r.PostFormValue("email"), "")
	if s.limits.exceeded(w, r) {
		s.show(w, r, http.StatusTooManyRequests, page{Email: r.PostFormValue("email")}, "often")
		return
	}
	userID, err := s.checkPassword(ctx, r.PostFormValue("email"), r.PostFormValue("password"))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	organizations, err := list(ctx, s.db, scanOrganization, selectOrganization+
		`WHERE t.id IN (SELECT tenant_id FROM iam_members WHERE user_id = ?) ORDER BY t.legal_name`, userID)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	switch len(organizations) {
	case 0:
		s.show(w, r, http.StatusForbidden, page{}, "none")
	case 1:
		s.finish(w, r, request.id, userID, organizations[0].UUID)
	default:
		if err := s.signedIn(ctx, request.id, userID, ""); err != nil {
			s.refuse(w, r, err)
			return
		}
		s.show(w, r, http.StatusOK, page{Organizations: organizations}, "")
	}
}

// chooseOrganization is the second step of who belongs to several.
func (s *Service) chooseOrganization(w http.ResponseWriter, r *http.Request) {
	request, err := s.authRequest(r.Context(), r.PostFormValue("id"))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.aboutPerson(r.Context(), request.userID, "")
	tenant := r.PostFormValue("organization")
	if _, member, err := s.permissions(r.Context(), tenant, request.userID); err != nil || !member {
		s.refuse(w, r, errors.Join(err, errNoAuthRequest))
		return
	}
	s.finish(w, r, request.id, request.userID, tenant)
}

// finish sends the browser back to the program that wanted the person to sign in, with a code.
func (s *Service) finish(w http.ResponseWriter, r *http.Request, id, userID, tenantID string) {
	if err := s.signedIn(r.Context(), id, userID, tenantID); err != nil {
		s.refuse(w, r, err)
		return
	}
	s.aboutPerson(r.Context(), userID, tenantID)
	slog.InfoContext(r.Context(), "signed in", "request_id", httpapi.RequestID(r.Context()), "user_id", userID, "tenant_id", tenantID)
	http.Redirect(w, r, s.issuer+"/oauth/authorize/callback?"+url.Values{"id": {id}}.Encode(), http.StatusSeeOther)
}
