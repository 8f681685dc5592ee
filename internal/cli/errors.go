package cli

import (
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
	if e.RetryAfter != "" {
		fmt.Fprintf(&b, "\nTry again in: %s s", e.RetryAfter)
	}
	if e.Status == http.StatusUnauthorized {
		b.WriteString("\nCheck the API key: --api-key, MGC_API_KEY, or apiKey/apiKeyFile in " + configFile)
	}
	if e.RequestID != "" {
		b.WriteString("\nRequest id: " + e.RequestID)
	}
	if e.TraceID != "" && e.TraceID != e.RequestID {
		b.WriteString("\nTrace id: " + e.TraceID)
	}
	return b.String()
}

// errorBody is the published shape {message, slug}; errors lists every problem of the request.
type errorBody struct {
	Message string            `json:"message"`
	Slug    string            `json:"slug"`
	Errors  []json.RawMessage `json:"errors"`
}

func newAPIError(status int, h http.Header, body []byte) *apiError {
	e := &apiError{Status: status, RequestID: h.Get("X-Request-Id"), TraceID: h.Get("X-Mgc-Trace-Id"), RetryAfter: h.Get("Retry-After")}
	if status >= 300 && status < 400 {
		e.Problems = []string{fmt.Sprintf("the server redirects to %q; give the final address with --server-url", h.Get("Location"))}
		return e
	}
	var parsed errorBody
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if strings.HasSuffix(media, "json") && json.Unmarshal(body, &parsed) == nil {
		e.Slug = parsed.Slug
		e.Problems = parsed.problems()
	}
	if len(e.Problems) == 0 {
		e.Problems = []string{"the server gave no reason"}
	}
	return e
}

func (b errorBody) problems() []string {
	var out []string
	for _, raw := range b.Errors {
		var text string
		var item struct{ Field, Location, Message string }
		switch {
		case json.Unmarshal(raw, &text) == nil:
			out = append(out, text)
		case json.Unmarshal(raw, &item) == nil && item.Message != "":
			where := strings.TrimPrefix(item.Field+item.Location, "body.")
			if where != "" && !strings.HasPrefix(item.Message, where) {
				item.Message = where + ": " + item.Message
			}
			out = append(out, item.Message)
		}
	}
	if len(out) == 0 && b.Message != "" {
		for _, line := range strings.Split(strings.ReplaceAll(b.Message, "; ", "\n"), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
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
	case errors.As(err, &interrupted):
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
