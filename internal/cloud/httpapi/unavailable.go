package httpapi

import (
	"fmt"
	"net/http"
)

// Unavailable is a published operation that this cloud does not offer: it would only be a pretence here.
type Unavailable struct {
	Method, Path string // relative to the product, as published
	What         string // such as "copying a snapshot to another region"
	Instead      string // what to do, a sentence
}

// NotImplemented is the 501 for something published that the local cloud does not offer; instead says what to do.
func NotImplemented(what, instead string) *Error {
	return &Error{Status: http.StatusNotImplemented, Slug: "not_implemented",
		Message: fmt.Sprintf("%s is not available in the local cloud. %s", what, instead)}
}

// RegisterUnavailable lets the operations answer 501.
func RegisterUnavailable(r Routes, operations []Unavailable) {
	for _, u := range operations {
		HandleEmpty(r, u.Method, u.Path, http.StatusNotImplemented, func(*http.Request) error { return NotImplemented(u.What, u.Instead) })
	}
}
