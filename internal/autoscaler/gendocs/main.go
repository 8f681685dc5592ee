// Command gendocs writes the table of the autoscaler's flags into a Markdown file, between two marks.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"magalu.cloud/mke/internal/autoscaler"
)

const (
	begin = "<!-- flags: generated from internal/autoscaler by make generate -->\n"
	end   = "<!-- end of flags -->"
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
	b.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	autoscaler.NewCommand().Flags().VisitAll(func(f *pflag.Flag) {
		value := f.DefValue
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | %s | %s |\n", f.Name, value, strings.ReplaceAll(f.Usage, "|", `\|`))
	})
	return b.Bytes()
}
