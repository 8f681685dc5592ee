// Package problem is the catalogue of everything that the public API can answer instead of a result.
//
// A Kind is one entry: a slug for programs, an HTTP status, a message and a hint for people in English and Portuguese. An Error
// carries all problems of one request, so that a person corrects them at once.
package problem

//go:generate go run ./gendocs ../../docs/api.md

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sort"
	"strings"
)

// retryAfter are the seconds after which to repeat what was not available.
const retryAfter = "5"

// Lang is a language that messages exist in.
type Lang int

const (
	English Lang = iota
	Portuguese
)

// LangOf picks the language from an Accept-Language header: Portuguese if its first choice is Portuguese, else English.
func LangOf(acceptLanguage string) Lang {
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(acceptLanguage)), "pt") {
		return Portuguese
	}
	return English
}

// Text is a sentence in both languages, with fmt verbs for arguments.
type Text struct{ EN, PT string }

func (t Text) in(lang Lang, args []any) string {
	s := t.EN
	if lang == Portuguese && t.PT != "" {
		s = t.PT
	}
	if len(args) == 0 {
		return s
	}
	return fmt.Sprintf(s, args...)
}

// Kind is one entry of the catalogue.
type Kind struct {
	Slug    string
	Status  int
	Message Text
	Hint    Text // takes no arguments; may be empty
}

// Find returns the entry of that slug, nil if there is none.
func Find(slug string) *Kind {
	for _, k := range catalogue {
		if k.Slug == slug {
			return k
		}
	}
	return nil
}

// Say is what the entry says to people.
func (k *Kind) Say(lang Lang, args ...any) (message, hint string) {
	return k.Message.in(lang, args), k.Hint.in(lang, nil)
}

// Problem is one thing that is wrong with a request.
type Problem struct {
	Kind  *Kind
	Field string // path in the body such as node_pools[0].replicas, or empty
	Args  []any  // of the kind's message
	Quota *Quota // if it is one that is exceeded
}

// Quota tells by how much a quota is too small.
type Quota struct {
	Name   string `json:"name"`
	Limit  int64  `json:"limit"`
	Used   int64  `json:"used"`
	Wanted int64  `json:"wanted"` // in addition
}

// Detail is a Problem in one language.
type Detail struct {
	Field   string `json:"field,omitempty"`
	Slug    string `json:"slug"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Quota   *Quota `json:"quota,omitempty"`
}

// Body is what clients get.
type Body struct {
	Message string   `json:"message"`
	Slug    string   `json:"slug"`
	Hint    string   `json:"hint,omitempty"`
	Details []Detail `json:"details,omitempty"`
}

// Error is all that is wrong with a request. It implements huma.StatusError.
type Error struct{ Problems []Problem }

// New returns an error with one problem that concerns no field.
func New(kind *Kind, args ...any) *Error {
	return &Error{Problems: []Problem{{Kind: kind, Args: args}}}
}

// Error is the English message.
func (e *Error) Error() string { return e.In(English).Message }

// GetStatus is the HTTP status: that of the problems if they agree, else 400.
func (e *Error) GetStatus() int {
	status := e.Problems[0].Kind.Status
	for _, p := range e.Problems[1:] {
		if p.Kind.Status != status {
			return http.StatusBadRequest
		}
	}
	return status
}

// GetHeaders says when to try again. It implements huma.HeadersError.
func (e *Error) GetHeaders() http.Header {
	h := http.Header{}
	if e.GetStatus() == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	return h
}

// Is makes errors.Is(err, problem.New(kind)) true for an error that consists of that kind.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && len(e.Problems) == 1 && len(other.Problems) == 1 && e.Problems[0].Kind == other.Problems[0].Kind
}

// In says the error in one language. Problems of one kind keep its slug; others become invalid_request with one detail each.
func (e *Error) In(lang Lang) Body {
	details := make([]Detail, len(e.Problems))
	for i, p := range e.Problems {
		details[i] = Detail{Field: p.Field, Slug: p.Kind.Slug, Message: p.Kind.Message.in(lang, p.Args), Hint: p.Kind.Hint.in(lang, nil), Quota: p.Quota}
	}
	if len(details) == 1 {
		d := details[0]
		body := Body{Message: withField(d), Slug: d.Slug, Hint: d.Hint}
		if d.Field != "" || d.Quota != nil {
			body.Details = details
		}
		return body
	}
	slug := details[0].Slug
	sentences := make([]string, len(details))
	for i, d := range details {
		sentences[i] = withField(d)
		if d.Slug != slug {
			slug = InvalidRequest.Slug
		}
	}
	return Body{Message: InvalidRequest.Message.in(lang, []any{len(details), strings.Join(sentences, "; ")}), Slug: slug, Details: details}
}

func withField(d Detail) string {
	if d.Field == "" {
		return d.Message
	}
	return d.Field + ": " + d.Message
}

// Write answers with the error. It is for handlers outside of huma.
func Write(w http.ResponseWriter, r *http.Request, e *Error) {
	maps.Copy(w.Header(), e.GetHeaders())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.GetStatus())
	_ = json.NewEncoder(w).Encode(e.In(LangOf(r.Header.Get("Accept-Language"))))
}

// maxProblems is how many problems of one request are told: a hostile one could have a hundred thousand.
const maxProblems = 100

// List collects the problems of one request, at most one per field.
type List struct{ problems []Problem }

// Add notes a problem of a field, unless something is already wrong with that field or one that contains it.
func (l *List) Add(field string, kind *Kind, args ...any) {
	if len(l.problems) >= maxProblems || l.Has(field) {
		return
	}
	l.problems = append(l.problems, Problem{Kind: kind, Field: field, Args: args})
}

// Has says whether something is wrong with the field or one that contains it.
func (l *List) Has(field string) bool {
	for _, p := range l.problems {
		if field == p.Field || strings.HasPrefix(field, p.Field+".") || strings.HasPrefix(field, p.Field+"[") {
			return true
		}
	}
	return false
}

// Err returns what was collected, nil if nothing.
func (l *List) Err() error {
	if len(l.problems) == 0 {
		return nil
	}
	sort.SliceStable(l.problems, func(i, j int) bool { return l.problems[i].Field < l.problems[j].Field })
	return &Error{Problems: l.problems}
}
