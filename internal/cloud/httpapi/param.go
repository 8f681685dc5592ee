package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Handlers read parameters only with the functions here, and before they look at anything else, so that an Inspector sees all of them.

// values returns all that the request has of a parameter.
func values(r *http.Request, p Param) []string {
	if see := inspectorOf(r.Context()).Param; see != nil {
		see(p)
	}
	if p.In == "header" {
		return r.Header.Values(p.Name)
	}
	return r.URL.Query()[p.Name]
}

// first is the parameter's value; none is as good as an empty one.
func first(r *http.Request, p Param) string {
	if all := values(r, p); len(all) > 0 {
		return all[0]
	}
	return ""
}

// TextParam reads a parameter of any text.
func TextParam(r *http.Request, name, about string) string {
	return first(r, Param{Name: name, In: "query", Kind: "string", About: about})
}

// RequiredParam reads a parameter that must not be empty.
func RequiredParam(r *http.Request, name, about string) (string, error) {
	text := first(r, Param{Name: name, In: "query", Kind: "string", About: about, Required: true})
	if text == "" && inspectorOf(r.Context()).Body == nil {
		return "", Invalid("%s: Field required", name)
	}
	return text, nil
}

// ChoiceParam reads a parameter that is empty or one of a few words.
func ChoiceParam(r *http.Request, name, about string, words ...string) (string, error) {
	text := first(r, Param{Name: name, In: "query", Kind: "string", About: about, Enum: words})
	if text != "" && !slices.Contains(words, text) {
		return "", Invalid("%s: Input should be '%s'", name, strings.Join(words, "' or '"))
	}
	return text, nil
}

// ListParam reads a parameter that may come several times; without it fallback is meant.
func ListParam(r *http.Request, name, about string, fallback ...string) []string {
	p := Param{Name: name, In: "query", Kind: "array", About: about}
	if len(fallback) > 0 {
		p.Default = fallback
	}
	all := values(r, p)
	if all == nil {
		return fallback
	}
	return all
}

// ExpandParam reads which parts of an answer are wanted in full. Clients write them in several ways; what is not known is ignored.
func ExpandParam(r *http.Request, known []string, fallback ...string) (names []string) {
	for _, value := range ListParam(r, "expand", "what to tell more of than its id: "+strings.Join(known, ", "), fallback...) {
		for name := range strings.SplitSeq(value, ",") {
			names = append(names, strings.Trim(name, ` "[]'`))
		}
	}
	return names
}

// IntParam reads a parameter that is a number.
func IntParam(r *http.Request, name, about string, fallback, min, max int) (int, error) {
	text := first(r, Param{Name: name, In: "query", Kind: "integer", About: about, Default: fallback, Min: &min, Max: &max})
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, Invalid("%s: Input should be a valid integer", name)
	case n < min:
		return 0, Invalid("%s: Input should be greater than or equal to %d", name, min)
	case n > max:
		return 0, Invalid("%s: Input should be less than or equal to %d", name, max)
	}
	return n, nil
}

// BoolParam reads a parameter that is true or false.
func BoolParam(r *http.Request, name, about string, fallback bool) (bool, error) {
	text := first(r, Param{Name: name, In: "query", Kind: "boolean", About: about, Default: fallback})
	if text == "" {
		return fallback, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, Invalid("%s: Input should be a valid boolean", name)
	}
	return value, nil
}

// HeaderParam reads a header that belongs to an operation.
func HeaderParam(r *http.Request, name, about string) string {
	return first(r, Param{Name: name, In: "header", Kind: "string", About: about})
}
