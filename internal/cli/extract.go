package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/PaesslerAG/gval"
	"github.com/PaesslerAG/jsonpath"
)

const (
	jsonpathOutput     = "jsonpath="
	jsonpathFileOutput = "jsonpath-file="
)

// parseOutput checks --output before anything is sent.
func (a *app) parseOutput() error {
	output := a.opts.output
	switch output {
	case "", "json", "yaml", "table":
		return nil
	}
	expression, isPath := strings.CutPrefix(output, jsonpathOutput)
	if file, ok := strings.CutPrefix(output, jsonpathFileOutput); ok {
		text, err := os.ReadFile(file)
		if err != nil {
			return usagef("--output %s: %v", output, err)
		}
		expression, isPath = strings.TrimSpace(string(text)), true
	}
	if !isPath {
		return usagef("--output %q is not known; use json, yaml, table, jsonpath=EXPRESSION or jsonpath-file=FILE", output)
	}
	extract, err := gval.Full(jsonpath.Language()).NewEvaluable(expression)
	if err != nil {
		return usagef("--output: the expression %s cannot be read: %v; example: -o 'jsonpath=$.results[*].id'", quote(expression), err)
	}
	a.extract = extract
	return nil
}

// printExtract writes what the expression finds, for scripts: each entry of a list on a line, text as it is, all else as JSON.
func (a *app) printExtract(body []byte) error {
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		return fmt.Errorf("the server's answer is not JSON: %w", err)
	}
	found, err := a.extract(context.Background(), document)
	if err != nil {
		return fmt.Errorf("the answer lacks what --output asks for: %w", err)
	}
	entries, isList := found.([]any)
	if !isList {
		entries = []any{found}
	}
	for _, entry := range entries {
		line, isText := entry.(string)
		if !isText {
			data, err := json.Marshal(entry)
			if err != nil {
				return err
			}
			line = string(data)
		}
		if _, err := fmt.Fprintln(a.Out, line); err != nil {
			return err
		}
	}
	return nil
}
