package main

import "fmt"

// few lines is what each finding gets however many there are; those of the region's life are many.
const few = 6

// excerpt gives each finding the same share of the lines. Of a test the last lines say most, because it ends with what it died of.
func excerpt(findings []finding, lines int) []string {
	var out []string
	left := lines
	for i, f := range findings {
		if left <= 0 {
			return append(out, fmt.Sprintf("… and %d more", len(findings)-i))
		}
		share := max(left/(len(findings)-i)-1, few)
		part := append([]string{f.title}, cut(f, share)...)
		out, left = append(out, part...), left-len(part)
	}
	return out
}

func cut(f finding, n int) []string {
	if len(f.said) <= n {
		return f.said
	}
	note := fmt.Sprintf("    … (%d lines are left out)", len(f.said)-n+1)
	if f.first {
		return append(f.said[:n-1:n-1], note)
	}
	return append([]string{note}, f.said[len(f.said)-n+1:]...)
}
