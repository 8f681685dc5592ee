package dataplane

import (
	"fmt"
	"strings"
)

// script writes indented nftables text.
type script struct {
	strings.Builder
	depth int
}

func (s *script) line(format string, args ...any) {
	s.WriteString(strings.Repeat("\t", s.depth))
	fmt.Fprintf(s, format, args...)
	s.WriteByte('\n')
}

func (s *script) block(head string, body func()) {
	s.line("%s {", head)
	s.depth++
	body()
	s.depth--
	s.line("}")
}

// set writes a set, or a map where kind has a colon.
func (s *script) set(name, kind string, elements []string) {
	word := "set"
	if strings.Contains(kind, " : ") {
		word = "map"
	}
	s.block(word+" "+name, func() {
		s.line("%s;", kind)
		if len(elements) > 0 {
			s.line("elements = { %s }", strings.Join(elements, ", "))
		}
	})
}
