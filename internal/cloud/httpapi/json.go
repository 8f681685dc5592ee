package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// MaxBody is the largest request body in bytes.
const MaxBody = 1 << 20

// JSON answers with v as JSON.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone: nothing to do about it
}

// Encode returns v as JSON; v must be something that can be encoded.
func Encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// NoContent answers 204.
func NoContent(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

// Decode reads the body as one JSON document into v, which must be a pointer.
// Unknown fields are ignored, as in the published products; a missing body, a
// body `null` and a second document are not accepted.
func Decode(r *http.Request, v any) error {
	if see := inspectorOf(r.Context()).Body; see != nil {
		see(v)
		return BadRequest("the request was only inspected")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return BadRequest("the body could not be read")
	}
	if trimmed := strings.TrimSpace(string(body)); trimmed == "" || trimmed == "null" {
		return Invalid("a JSON body is required")
	}
	err = json.Unmarshal(body, v)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return Invalid("%s: Input should be a valid %s", wrongType.Field, jsonType(wrongType.Type.Kind().String()))
	default:
		return Invalid("the body is not valid JSON for this request")
	}
}

func jsonType(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "integer"
	case strings.HasPrefix(kind, "float"):
		return "number"
	case kind == "slice", kind == "array":
		return "list"
	case kind == "struct", kind == "map":
		return "object"
	case kind == "bool":
		return "boolean"
	default:
		return kind
	}
}
