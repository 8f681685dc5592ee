package httpapi

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

var sortPattern = regexp.MustCompile(`^([\w-]+:(asc|desc)(,[\w-]+:(asc|desc))*)?$`)

type sortTerm struct {
	field string
	desc  bool
}

func sortTerms(r *http.Request, param, fallback string, fields []string) ([]sortTerm, error) {
	slices.Sort(fields)
	text := cmp.Or(first(r, Param{Name: param, In: "query", Kind: "string", Default: fallback, Pattern: sortPattern.String(),
		About: "the order: field:asc or field:desc, several with commas between them; the fields are " + strings.Join(fields, ", ")}), fallback)
	if !sortPattern.MatchString(text) {
		return nil, Invalid("%s: String should match pattern 'field:asc|desc[,...]'", param)
	}
	var terms []sortTerm
	for _, term := range strings.Split(text, ",") {
		field, direction, _ := strings.Cut(term, ":")
		terms = append(terms, sortTerm{field, direction == "desc"})
	}
	return terms, nil
}

func cannotSort(param, field string) error { return Invalid("%s: cannot sort by %q", param, field) }

// ParseSort turns the parameter _sort into an ORDER BY of the allowed columns, which are given by field.
func ParseSort(r *http.Request, fallback string, allowed map[string]string) (string, error) {
	terms, err := sortTerms(r, "_sort", fallback, slices.Collect(maps.Keys(allowed)))
	if err != nil {
		return "", err
	}
	var columns []string
	for _, term := range terms {
		column, ok := allowed[term.field]
		if !ok {
			return "", cannotSort("_sort", term.field)
		}
		if term.desc {
			column += " desc"
		}
		columns = append(columns, column)
	}
	return strings.Join(columns, ", "), nil
}

// Order says how lists that are not in the database are compared, by field.
type Order[T any] map[string]func(a, b T) int

// By compares items by a key.
func By[T any, K cmp.Ordered](key func(T) K) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(key(a), key(b)) }
}

// ParseOrder reads the order that a parameter asks for; sorted puts items into it, and leaves equal ones as they are.
func ParseOrder[T any](r *http.Request, param, fallback string, order Order[T]) (sorted func(items []T) []T, err error) {
	terms, err := sortTerms(r, param, fallback, slices.Collect(maps.Keys(order)))
	if err != nil {
		return nil, err
	}
	for _, term := range terms {
		if order[term.field] == nil {
			return nil, cannotSort(param, term.field)
		}
	}
	return func(items []T) []T {
		items = slices.Clone(items)
		slices.SortStableFunc(items, func(a, b T) int {
			for _, term := range terms {
				n := order[term.field](a, b)
				if term.desc {
					n = -n
				}
				if n != 0 {
					return n
				}
			}
			return 0
		})
		return items
	}, nil
}
