package cli

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"magalu.cloud/mke/internal/cli/products"
)

// parseField reads a flag's text, and checks it.
func parseField(f *products.Field, text string) (any, error) {
	value, err := readField(f, text)
	if err != nil {
		return nil, err
	}
	if problem := checkValue(f, value); problem != "" {
		return nil, usagef("--%s: %s", f.Flag, problem)
	}
	return value, nil
}

func readField(f *products.Field, text string) (any, error) {
	switch f.Kind {
	case products.Bool:
		return text == "true", nil
	case products.Number, products.Decimal:
		return json.Number(strings.TrimSpace(text)), nil
	case products.Strings:
		words, err := parseStrings(f.Flag, text, `["one", "two"]`)
		if err != nil {
			return nil, err
		}
		list := make([]any, len(words))
		for i, w := range words {
			list[i] = w
		}
		return list, nil
	case products.List:
		list := []any{}
		err := parseJSON(f.Flag, text, `[{"id": "627c1f78-f9a6-4419-b582-a982144ff6bc"}]`, &list)
		return list, err
	case products.Object:
		object := map[string]any{}
		err := parseJSON(f.Flag, text, `{"name": "value"}`, &object)
		return object, err
	}
	return text, nil
}

// checkValue says what is wrong with a value, however it was given.
func checkValue(f *products.Field, value any) string {
	wrong := func(what string) string { return fmt.Sprintf("found %s where %s is needed", describe(value), what) }
	switch f.Kind {
	case products.Bool:
		if _, ok := value.(bool); !ok {
			return wrong("true or false")
		}
	case products.Number, products.Decimal:
		return checkNumber(f, value)
	case products.Strings, products.List:
		list, ok := value.([]any)
		if !ok {
			return wrong("a list")
		}
		for _, entry := range list {
			if word, isText := entry.(string); f.Kind == products.Strings && (!isText || !allowed(f, word)) {
				return fmt.Sprintf("%s is not one of %s", describe(entry), firstOf(strings.Join(f.OneOf, ", "), "the strings it takes"))
			}
		}
		return checkSize(f, len(list))
	case products.Object:
		if _, ok := value.(map[string]any); !ok {
			return wrong("an object")
		}
	default:
		text, ok := value.(string)
		if !ok {
			return wrong("a string")
		}
		if !allowed(f, text) {
			return fmt.Sprintf("%s is not allowed; it is %s", quote(text), boundsOf(f))
		}
		return checkSize(f, utf8.RuneCountInString(text))
	}
	return ""
}

func checkNumber(f *products.Field, value any) string {
	number, ok := new(big.Rat).SetString(fmt.Sprint(value))
	if !ok || (f.Kind == products.Number && !number.IsInt()) {
		return fmt.Sprintf("%s is no %snumber", describe(value), map[bool]string{true: "whole "}[f.Kind == products.Number])
	}
	if number.Cmp(big.NewRat(int64(f.Min), 1)) < 0 || f.Max > 0 && number.Cmp(big.NewRat(int64(f.Max), 1)) > 0 {
		return fmt.Sprintf("%s is not allowed; it is %s", describe(value), firstOf(boundsOf(f), "at least 0"))
	}
	return ""
}

func checkSize(f *products.Field, size int) string {
	if size < f.Min || f.Max > 0 && size > f.Max {
		return fmt.Sprintf("it has %d, and must have %s", size, boundsOf(f))
	}
	return ""
}

func allowed(f *products.Field, word string) bool {
	return len(f.OneOf) == 0 || slices.Contains(f.OneOf, word)
}

// describe is a value as JSON, cut short.
func describe(value any) string {
	text, err := json.Marshal(value)
	if err != nil { // a number that is none
		text = []byte(strconv.Quote(fmt.Sprint(value)))
	}
	if runes := []rune(string(text)); len(runes) > 40 {
		return string(runes[:39]) + "…"
	}
	return string(text)
}
