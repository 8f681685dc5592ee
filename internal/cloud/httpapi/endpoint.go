package httpapi

import (
	"net/http"
	"reflect"

	"github.com/go-chi/chi/v5"
)

// Endpoint serves one operation and says what it answers; the products' OpenAPI documents are made of that.
type Endpoint struct {
	http.HandlerFunc
	Status int          // of success
	Answer reflect.Type // what is encoded then; nil: nothing
	Shape  ErrorShape
}

// Routes are those of a product, or of the part of one that tells errors in one shape.
type Routes struct {
	Router chi.Router
	Shape  ErrorShape
}

// Handle adds an operation whose success is answered with what fn returns, as JSON.
func Handle[T any](r Routes, method, path string, status int, fn func(*http.Request) (T, error)) {
	r.Router.Method(method, path, Endpoint{Status: status, Answer: reflect.TypeFor[T](), Shape: r.Shape,
		HandlerFunc: Handler(r.Shape, func(w http.ResponseWriter, req *http.Request) error {
			answer, err := fn(req)
			if err == nil {
				JSON(w, status, answer)
			}
			return err
		})})
}

// Get is Handle for what is only read.
func Get[T any](r Routes, path string, fn func(*http.Request) (T, error)) {
	Handle(r, http.MethodGet, path, http.StatusOK, fn)
}

// HandleEmpty adds an operation whose success is answered with a status only.
func HandleEmpty(r Routes, method, path string, status int, fn func(*http.Request) error) {
	r.Router.Method(method, path, Endpoint{Status: status, Shape: r.Shape,
		HandlerFunc: Handler(r.Shape, func(w http.ResponseWriter, req *http.Request) error {
			err := fn(req)
			if err == nil {
				w.WriteHeader(status)
			}
			return err
		})})
}
