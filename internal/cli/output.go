package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// view turns an answer's body into a table.
type view func(a *app, body []byte) (*grid, error)

// print writes an answer to standard output, as asked by --output, else as format.
func (a *app) print(body []byte, format string, v view) error {
	if a.extract != nil {
		return a.printExtract(body)
	}
	switch firstOf(a.opts.output, format) {
	case "json":
		return a.printJSON(body)
	case "table":
		g, err := v(a, body)
		if err != nil {
			return err
		}
		return g.render(a.Out, terminalWidth(a.Out))
	}
	return a.printYAML(body)
}

// printJSON keeps the server's bytes (order of keys, numbers) and only changes the white space.
func (a *app) printJSON(body []byte) error {
	var out bytes.Buffer
	var err error
	if a.opts.raw {
		err = json.Compact(&out, body)
	} else {
		err = json.Indent(&out, body, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("the server's answer is not JSON: %w", err)
	}
	out.WriteByte('\n')
	_, err = a.Out.Write(out.Bytes())
	return err
}

// printYAML reads the JSON as the YAML it also is, so that the order of keys stays.
func (a *app) printYAML(body []byte) error {
	if !json.Valid(body) {
		return fmt.Errorf("the server's answer is not JSON")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("the server's answer cannot be shown as YAML: %w", err)
	}
	blockStyle(&doc)
	return encodeYAML(a.Out, &doc)
}

func encodeYAML(w io.Writer, v any) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return enc.Close()
}

func blockStyle(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0 // empty maps and lists stay {} and []
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}
