package httpapi

import (
	"cmp"
	"net/http"
	"regexp"
	"strings"
)

var sortPattern = regexp.MustCompile(`^([\w-]+:(asc|desc)(,[\w-]+:(asc|desc))*)?$`)

// ParseSort turns the parameter _sort into an ORDER BY of the allowed columns, which are given by field.
func ParseSort(r *http.Request, fallback string, allowed map[string]string) (string, error) {
	text := cmp.Or(r.URL.Query().Get("_sort"), fallback)
	if !sortPattern.MatchString(text) {
		return "", Invalid("_sort: String should match pattern 'field:asc|desc[,...]'")
	}
	var terms []string
	for _, term := range strings.Split(text, ",") {
		field, direction, _ := strings.Cut(term, ":")
		column, ok := allowed[field]
		if !ok {
			return "", Invalid("_sort: cannot sort by %q", field)
		}
		terms = append(terms, column+" "+direction)
	}
	return strings.Join(terms, ", "), nil
}
