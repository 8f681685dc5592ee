package catalog

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestSeriesAreNamedOnce(t *testing.T) {
	names, rules := map[string]bool{}, map[string]bool{}
	for _, s := range AllSeries() {
		if names[s.Name] || rules[s.Rule] {
			t.Errorf("%s or its rule %s is there twice", s.Name, s.Rule)
		}
		names[s.Name], rules[s.Rule] = true, true
		if found, known := FindSeries(s.Name); !known || found != s {
			t.Errorf("%s is not found", s.Name)
		}
	}
	if _, known := FindSeries("up"); known {
		t.Error("up is found")
	}
}

// The guide's table is what the catalogue has, line by line.
func TestGuideListsTheSeries(t *testing.T) {
	guide, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(guide), "| recording rule |\n|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, s := range AllSeries() {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s | `%s` |", s.Name, s.Scope, s.Unit, s.Description, s.Rule))
	}
	if all := strings.Join(want, "\n"); table != all {
		t.Errorf("the table of docs/monitoring.md should be\n%s", all)
	}
}
