package mgc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an answer of the cloud with a status of 300 or above.
type Error struct {
	// StatusCode of the answer.
	StatusCode int
	// Slug is the cloud's short name of the error, empty if it gave none.
	Slug string
	// Message for people, the status text if the cloud gave none.
	Message string
	// RequestID to give to the cloud's support.
	RequestID string
	// RetryAfter is how long the cloud asked to wait, 0 if it did not.
	RetryAfter time.Duration

	method, path string
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d %s", e.method, e.path, e.StatusCode, e.Message)
	if e.Slug != "" {
		fmt.Fprintf(&b, " (%s)", e.Slug)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, ", request %s", e.RequestID)
	}
	return b.String()
}

// IsNotFound is true only if the cloud itself said that the object does not exist.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound, http.StatusGone) }

// IsConflict is true if the object is in use, exists already or is in the wrong state.
func IsConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

// IsUnauthorized is true if the key is wrong, revoked or lacks a permission.
func IsUnauthorized(err error) bool {
	return hasStatus(err, http.StatusUnauthorized, http.StatusForbidden)
}

// IsInvalid is true if the cloud refused the request's content, for example an unknown machine type or an exceeded quota.
func IsInvalid(err error) bool {
	return hasStatus(err, http.StatusBadRequest, http.StatusUnprocessableEntity)
}

// IsRateLimited is true if the cloud asked to slow down.
func IsRateLimited(err error) bool { return hasStatus(err, http.StatusTooManyRequests) }

// IsTransient is true for errors that may be gone on the next try: 429, 5xx, network errors, timeouts, cut answers. The call may
// nevertheless have taken effect.
func IsTransient(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusRequestTimeout
	}
	var ce *callError
	return errors.As(err, &ce) && !errors.Is(err, context.Canceled)
}

// RetryAfter returns how long the cloud asked to wait, 0 if it did not.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

func hasStatus(err error, codes ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.StatusCode == c {
			return true
		}
	}
	return false
}

func decodeError(r request, res *http.Response) error {
	e := &Error{
		StatusCode: res.StatusCode,
		Message:    http.StatusText(res.StatusCode),
		RequestID:  res.Header.Get("X-Request-Id"),
		RetryAfter: parseRetryAfter(res.Header.Get("Retry-After"), time.Now()),
		method:     r.method,
		path:       r.path,
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	if err != nil {
		return e // the status alone is enough
	}
	if slug, message := parseErrorBody(data); message != "" {
		e.Slug, e.Message = slug, message
	}
	return e
}

// errorBody is the union of the products' error shapes: {message, slug}, FastAPI's {detail}, and RFC 7807.
type errorBody struct {
	Slug    string          `json:"slug"`
	Message string          `json:"message"`
	Code    string          `json:"code"`
	Title   string          `json:"title"`
	Detail  json.RawMessage `json:"detail"`
	Errors  []struct {
		Detail  string `json:"detail"`
		Pointer string `json:"pointer"`
	} `json:"errors"`
}

func parseErrorBody(data []byte) (slug, message string) {
	data = bytes.TrimSpace(data)
	var bodies []errorBody
	if bytes.HasPrefix(data, []byte("[")) {
		if json.Unmarshal(data, &bodies) != nil {
			return "", ""
		}
	} else {
		var one errorBody
		if json.Unmarshal(data, &one) != nil {
			return "", ""
		}
		bodies = append(bodies, one)
	}
	var messages []string
	for _, b := range bodies {
		if slug == "" {
			slug = firstNonEmpty(b.Slug, b.Code)
		}
		if m := b.text(); m != "" {
			messages = append(messages, m)
		}
	}
	return slug, strings.Join(messages, "; ")
}

func (b errorBody) text() string {
	var detail string
	_ = json.Unmarshal(b.Detail, &detail) // anything but a string is not for people
	text := firstNonEmpty(b.Message, detail, b.Title)
	for _, e := range b.Errors {
		text += fmt.Sprintf("; %s: %s", e.Pointer, e.Detail)
	}
	return text
}

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// parseRetryAfter reads both forms of the header, seconds and HTTP date.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
