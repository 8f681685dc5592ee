// Command gendocs writes the table of all errors into a Markdown file, between two marks.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"magalu.cloud/mke/internal/problem"
)

const (
	begin = "<!-- errors: generated from internal/problem by make generate -->\n"
	end   = "<!-- end of errors -->"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(old, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("%s lacks the marks %q and %q", file, begin, end)
	}
	return os.WriteFile(file, bytes.Join([][]byte{before, []byte(begin), table(), []byte(end), after}, nil), 0o644)
}

func table() []byte {
	var b bytes.Buffer
	b.WriteString("| slug | status | message | mensagem |\n|---|---|---|---|\n")
	for _, k := range problem.All() {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", k.Slug, k.Status, cell(k.Message.EN, k.Hint.EN), cell(k.Message.PT, k.Hint.PT))
	}
	return b.Bytes()
}

// cell shows arguments as dots and a hint in italics.
func cell(message, hint string) string {
	for _, verb := range []string{"%q", "%s", "%d"} {
		message = strings.ReplaceAll(message, verb, "…")
	}
	if hint != "" {
		message += ". *" + hint + "*"
	}
	return strings.ReplaceAll(strings.ReplaceAll(message, "|", `\|`), "<", "&lt;")
}
