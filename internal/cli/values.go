package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Examples shown when a flag's value cannot be read.
const (
	nodePoolsExample = `[{"name": "nodepool01", "flavor": "BV4-8-40", "replicas": 1}]`
	listExample      = `["10.0.0.0/8", "203.0.113.7/32"]`
	idsExample       = `["627c1f78-f9a6-4419-b582-a982144ff6bc"]`
	labelsExample    = `{"team": "billing"}`
	taintsExample    = `[{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]`
)

// parseObjects reads a JSON list of objects; what is in them is for the server to judge.
func parseObjects(flag, value, example string) ([]map[string]json.RawMessage, error) {
	var list []map[string]json.RawMessage
	if err := parseJSON(flag, value, example, &list); err != nil {
		return nil, err
	}
	for i, item := range list {
		if item == nil {
			return nil, badValue(flag, example, "entry %d is null, not an object", i+1)
		}
	}
	if list == nil {
		return nil, badValue(flag, example, "it is null, not a list")
	}
	return list, nil
}

// parseStrings reads a JSON list of strings, or words separated by commas.
func parseStrings(flag, value, example string) ([]string, error) {
	if trimmed := strings.TrimSpace(value); trimmed != "" && !strings.ContainsAny(trimmed[:1], `[{"`) {
		words := strings.Split(trimmed, ",")
		for i := range words {
			words[i] = strings.TrimSpace(words[i])
		}
		return words, nil
	}
	list := []string{}
	err := parseJSON(flag, value, example, &list)
	return list, err
}

// parseMap reads a JSON object of strings, or key=value words separated by commas.
func parseMap(flag, value, example string) (map[string]string, error) {
	out := map[string]string{}
	trimmed := strings.TrimSpace(value)
	if trimmed == "" || strings.ContainsAny(trimmed[:1], `[{"`) {
		err := parseJSON(flag, value, example, &out)
		return out, err
	}
	for i, word := range strings.Split(trimmed, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(word), "=")
		if !ok || k == "" {
			return nil, badValue(flag, example, "entry %d, %q, is not key=value", i+1, word)
		}
		out[k] = v
	}
	return out, nil
}

func parseJSON(flag, value, example string, into any) error {
	dec := json.NewDecoder(strings.NewReader(value))
	err := dec.Decode(into)
	if err == nil {
		if rest := strings.TrimSpace(value[dec.InputOffset():]); rest != "" {
			return pointAt(flag, value, example, int(dec.InputOffset())+1, "there is more after the end of the value")
		}
		return nil
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return pointAt(flag, value, example, int(syntax.Offset), "it is not valid JSON: "+syntax.Error())
	case errors.As(err, &kind):
		return pointAt(flag, value, example, int(kind.Offset), fmt.Sprintf("found %s where %s is needed", kind.Value, wanted(kind)))
	}
	return pointAt(flag, value, example, len(value)+1, "the JSON ends too early")
}

func wanted(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "slice":
		return "a list"
	case "map":
		return "an object"
	}
	return "a " + e.Type.Kind().String()
}

// pointAt reports a problem with the place it is at (1 is the first byte) marked below an excerpt.
func pointAt(flag, value, example string, position int, problem string) error {
	const around = 30
	position = min(max(position, 1), len(value)+1)
	from, to := max(position-1-around, 0), min(position-1+around, len(value))
	excerpt := bytes.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, []byte(strings.ToValidUTF8(value[from:to], "?")))
	mark := strings.Repeat(" ", position-1-from) + "^"
	return usagef("--%s: %s, at position %d:\n  %s\n  %s\nExample: --%s '%s'", flag, problem, position, excerpt, mark, flag, example)
}

func badValue(flag, example, problem string, args ...any) error {
	return usagef("--%s: %s\nExample: --%s '%s'", flag, fmt.Sprintf(problem, args...), flag, example)
}
