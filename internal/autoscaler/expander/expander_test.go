package expander

import (
	"regexp"
	"strings"
	"testing"
)

func TestBest(t *testing.T) {
	wasteful := Option{Groups: []string{"big"}, Nodes: 1, Pods: 4, Price: 1, Capacity: Resources{8000, 32 << 30}, Requested: Resources{2000, 8 << 30}}
	tight := Option{Groups: []string{"small"}, Nodes: 2, Pods: 4, Price: 2, Capacity: Resources{4000, 16 << 30}, Requested: Resources{2000, 8 << 30}}
	unpriced := Option{Groups: []string{"own"}, Nodes: 1, Pods: 9, Capacity: Resources{8000, 32 << 30}, Requested: Resources{4000, 16 << 30}}
	pattern := func(s string) []*regexp.Regexp { return []*regexp.Regexp{regexp.MustCompile(s)} }
	tests := []struct {
		name       string
		chain      string
		priorities map[int][]*regexp.Regexp
		options    []Option
		want       string
	}{
		{name: "none is least-waste", options: []Option{wasteful, tight}, want: "small"},
		{name: "least-waste leaves the smallest share unused", chain: LeastWaste, options: []Option{wasteful, tight}, want: "small"},
		{name: "price takes what serves most for the money", chain: Price, options: []Option{tight, wasteful}, want: "big"},
		{name: "an unknown price comes last", chain: Price, options: []Option{unpriced, tight}, want: "small"},
		{name: "all prices unknown: most pods", chain: Price, options: []Option{{Groups: []string{"a"}, Pods: 1}, unpriced}, want: "own"},
		{
			name: "the highest priority wins", chain: Priority, options: []Option{wasteful, tight},
			priorities: map[int][]*regexp.Regexp{10: pattern(".*"), 50: pattern("^big$")}, want: "big",
		},
		{
			name: "a group that no priority names comes last", chain: Priority, options: []Option{tight, wasteful},
			priorities: map[int][]*regexp.Regexp{1: pattern("^big$")}, want: "big",
		},
		{name: "without priorities the next strategy decides", chain: "priority,price", options: []Option{tight, wasteful}, want: "big"},
		{name: "of equal ones that for most pods, then the first by name", chain: Priority, options: []Option{tight, unpriced, wasteful}, want: "own"},
		{name: "of all equal ones the first by name", chain: Priority, options: []Option{tight, wasteful}, want: "big"},
		{name: "random takes one", chain: Random, options: []Option{tight}, want: "small"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			if tt.chain != "" {
				names = strings.Split(tt.chain, ",")
			}
			chain, err := New(names)
			if err != nil {
				t.Fatal(err)
			}
			chain.SetPriorities(tt.priorities)
			if got := tt.options[chain.Best(tt.options)].Groups[0]; got != tt.want {
				t.Errorf("took %s, want %s", got, tt.want)
			}
		})
	}
}

func TestUnknownStrategyIsRefused(t *testing.T) {
	if _, err := New([]string{"cheapest"}); err == nil || !strings.Contains(err.Error(), "least-waste, random, priority or price") {
		t.Errorf("the error is %v, want one that names what is allowed", err)
	}
}
