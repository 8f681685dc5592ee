package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// Exit codes of mgc, documented in docs/cli.md.
const (
	ExitOK          = 0
	ExitGeneral     = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitAuth        = 4
	ExitInvalid     = 5 // refused by the server: validation or conflict
	ExitInterrupted = 130
)

// usageError is a mistake in the command line: nothing was sent.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// notFoundError is a name that no object has.
type notFoundError struct{ msg string }

func (e *notFoundError) Error() string { return e.msg }

// interruptedError ends a wait by Ctrl-C; the operation itself goes on.
type interruptedError struct{ msg string }

func (e *interruptedError) Error() string { return e.msg }

// apiError is an answer that is not 2xx.
type apiError struct {
	Status     int
	Slug       string
	Problems   []string // at least one
	Hint       string   // what to do
	RequestID  string
	TraceID    string
	RetryAfter string
}

func (e *apiError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", e.Status, http.StatusText(e.Status))
	if e.Slug != "" {
		fmt.Fprintf(&b, " (%s)", e.Slug)
	}
	if len(e.Problems) == 1 {
		b.WriteString(" - " + e.Problems[0])
	} else {
		for _, p := range e.Problems {
			b.WriteString("\n  - " + p)
		}
	}
	if e.Hint != "" {
		b.WriteString("\nHint: " + e.Hint)
	}
	if e.RetryAfter != "" {
		fmt.Fprintf(&b, "\nTry again in: %s s", e.RetryAfter)
	}
	if e.Status == http.StatusUnauthorized {
		b.WriteString("\nSign in with mgc auth login, or check the API key: --api-key, MGC_API_KEY, or apiKey/apiKeyFile in " + configFile)
	}
	if e.RequestID != "" {
		b.WriteString("\nRequest id: " + e.RequestID)
	}
	if e.TraceID != "" && e.TraceID != e.RequestID {
		b.WriteString("\nTrace id: " + e.TraceID)
	}
	return b.String()
}

// errorBody is the shape that most products publish, {message, slug}, with details of every problem; {detail, code} is the network
// product's, and block storage answers with a list of the first.
type errorBody struct {
	Message string          `json:"message"`
	Slug    string          `json:"slug"`
	Detail  string          `json:"detail"`
	Code    string          `json:"code"`
	Hint    string          `json:"hint"`
	Details json.RawMessage `json:"details"`
}

type errorDetail struct {
	Field   string `json:"field"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

func newAPIError(status int, h http.Header, body []byte) *apiError {
	e := &apiError{Status: status, RequestID: h.Get("X-Request-Id"), TraceID: h.Get("X-Mgc-Trace-Id"), RetryAfter: h.Get("Retry-After")}
	if status >= 300 && status < 400 {
		e.Problems = []string{fmt.Sprintf("the server redirects to %q; give the final address with --server-url", h.Get("Location"))}
		return e
	}
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if strings.HasSuffix(media, "json") {
		for _, parsed := range errorBodies(body) {
			e.Slug, e.Hint = firstOf(e.Slug, parsed.Slug, parsed.Code), firstOf(e.Hint, parsed.Hint)
			e.Problems = append(e.Problems, parsed.problems()...)
		}
	}
	if len(e.Problems) == 0 {
		e.Problems = []string{"the server gave no reason"}
	}
	return e
}

func errorBodies(body []byte) []errorBody {
	var list []errorBody
	if json.Unmarshal(body, &list) == nil {
		return list
	}
	var one errorBody
	if json.Unmarshal(body, &one) != nil {
		return nil
	}
	return []errorBody{one}
}

// problems are the lines to show, one for each thing that is wrong.
func (b errorBody) problems() []string {
	var details []errorDetail
	_ = json.Unmarshal(b.Details, &details) // of other products they say nothing for people
	if len(details) < 2 {
		if text := firstOf(b.Message, b.Detail); text != "" {
			return []string{text}
		}
		return nil
	}
	var out []string
	for _, d := range details {
		line := d.Message
		if d.Field != "" {
			line = d.Field + ": " + line
		}
		if d.Hint != "" {
			line += " (" + d.Hint + ")"
		}
		out = append(out, line)
	}
	return out
}

func isStatus(err error, status ...int) bool {
	var e *apiError
	if !errors.As(err, &e) {
		return false
	}
	for _, s := range status {
		if e.Status == s {
			return true
		}
	}
	return false
}

func exitCode(err error) int {
	var (
		usage       *usageError
		notFound    *notFoundError
		interrupted *interruptedError
		api         *apiError
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &notFound):
		return ExitNotFound
	case errors.As(err, &interrupted), errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &api):
		return exitCodeOfStatus(api.Status)
	}
	return ExitGeneral
}

func exitCodeOfStatus(status int) int {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return ExitNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return ExitAuth
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusPreconditionFailed:
		return ExitInvalid
	}
	return ExitGeneral
}
