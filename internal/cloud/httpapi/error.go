package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Error is an answer to a request that was not done. Message is for the user
// and must not tell anything internal; Cause goes to the log only.
type Error struct {
	Status     int
	Slug       string
	Message    string
	RetryAfter time.Duration // sent as Retry-After, whole seconds, where > 0
	Cause      error

	Permission, Product string // what is lacking, of a 403
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Slug, e.Message, e.Cause)
	}
	return e.Slug + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// NotFound is the 404 for an object that does not exist or belongs to somebody else.
func NotFound(what string) *Error {
	return &Error{Status: http.StatusNotFound, Slug: "not_found", Message: what + " not found"}
}

// BadRequest is a 400.
func BadRequest(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Slug: "bad_request", Message: fmt.Sprintf(format, args...)}
}

// Invalid is the 422 for a body or parameter that does not fit the contract.
func Invalid(format string, args ...any) *Error {
	return &Error{Status: http.StatusUnprocessableEntity, Slug: "unprocessable_entity", Message: fmt.Sprintf(format, args...)}
}

// OverQuota is the 422 for more than a tenant may have.
func OverQuota(what string, have int, limit int64) *Error {
	return &Error{Status: http.StatusUnprocessableEntity, Slug: "quota_exceeded", Message: fmt.Sprintf("the quota of %s is exceeded: the tenant has %d and may have %d", what, have, limit)}
}

// Conflict is the 409 for an object whose state does not allow what was asked.
func Conflict(format string, args ...any) *Error {
	return &Error{Status: http.StatusConflict, Slug: "conflict", Message: fmt.Sprintf(format, args...)}
}

// Forbidden is the 403 for who lacks a scope or permission.
func Forbidden(format string, args ...any) *Error {
	return &Error{Status: http.StatusForbidden, Slug: "forbidden", Message: fmt.Sprintf(format, args...)}
}

// ErrorShape turns an error into the body that a product publishes for it.
type ErrorShape func(*Error) any

type slugMessage struct {
	Message string `json:"message"`
	Slug    string `json:"slug"`
}

// SlugMessage is {message, slug}.
func SlugMessage(e *Error) any { return slugMessage{e.Message, e.Slug} }

type lackedPermission struct {
	Message    string `json:"message"`
	Slug       string `json:"slug"`
	Origin     string `json:"origin"`
	Permission string `json:"permission"`
	Product    string `json:"product"`
}

// SlugMessageOrigin is {message, slug}, of a permission that is lacking {message, slug, origin, permission, product} (IAM).
func SlugMessageOrigin(e *Error) any {
	if e.Permission == "" {
		return SlugMessage(e)
	}
	return lackedPermission{e.Message, e.Slug, "permissionsAPI", e.Permission, e.Product}
}

type slugMessageDetails struct {
	Message string   `json:"message"`
	Slug    string   `json:"slug"`
	Details struct{} `json:"details"`
}

// SlugMessageDetails is {message, slug, details{}} (compute); 422 is {message, slug}.
func SlugMessageDetails(e *Error) any {
	if e.Status == http.StatusUnprocessableEntity {
		return SlugMessage(e)
	}
	return slugMessageDetails{Message: e.Message, Slug: e.Slug}
}

type slugMessageList struct {
	Message string   `json:"message"`
	Slug    string   `json:"slug"`
	Details []string `json:"details"`
}

// SlugMessageList is {message, slug, details[]} (network v0); 422 is {message, slug}.
func SlugMessageList(e *Error) any {
	if e.Status == http.StatusUnprocessableEntity {
		return SlugMessage(e)
	}
	return slugMessageList{e.Message, e.Slug, []string{}}
}

type problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Code   string   `json:"code"`
	Errors []string `json:"errors"`
}

// Problem is RFC 7807's object (network v1); 422 is {message, slug}.
func Problem(e *Error) any {
	if e.Status == http.StatusUnprocessableEntity {
		return SlugMessage(e)
	}
	return problem{"about:blank", http.StatusText(e.Status), e.Status, e.Message, e.Slug, []string{}}
}

// WriteError answers with err in the product's shape. What is not an *Error
// becomes a 500 that tells nothing but the request id; the log has the rest.
func WriteError(w http.ResponseWriter, r *http.Request, shape ErrorShape, err error) {
	var e *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &tooLarge):
		e = &Error{Status: http.StatusRequestEntityTooLarge, Slug: "body_too_large",
			Message: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	default:
		e = &Error{Status: http.StatusInternalServerError, Slug: "internal_error", Cause: err,
			Message: "something went wrong on our side; try again, and tell the operator the request id " + RequestID(r.Context()) + " if it persists"}
	}
	if e.Cause != nil {
		slog.ErrorContext(r.Context(), "request failed", "request_id", RequestID(r.Context()), "error", err.Error())
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	JSON(w, e.Status, shape(e))
}

// Handler adapts a function that returns its failure instead of writing it.
func Handler(shape ErrorShape, fn func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := fn(w, r); err != nil {
			WriteError(w, r, shape, err)
		}
	}
}
