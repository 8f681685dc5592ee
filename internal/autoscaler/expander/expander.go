// Package expander chooses among node pools that would all help: the strategies of upstream's cluster autoscaler under their names.
package expander

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// The names of the strategies.
const (
	LeastWaste = "least-waste"
	Random     = "random"
	Priority   = "priority"
	Price      = "price"
)

// Option is one way to make room.
type Option struct {
	Groups    []string // that grow together
	Nodes     int
	Price     float64   // BRL an hour of all new nodes, 0 unknown
	Pods      int       // that find a place
	Capacity  Resources // of the new nodes, for pods
	Requested Resources // by what would be on them
}

// Resources are what waste is counted in.
type Resources struct{ MilliCPU, Memory int64 }

// Chain narrows options one strategy after the other.
type Chain struct {
	strategies []func([]Option) []Option
	priorities map[int][]*regexp.Regexp
}

// New makes a chain; no name is least-waste.
func New(names []string) (*Chain, error) {
	c := &Chain{}
	known := map[string]func([]Option) []Option{LeastWaste: leastWaste, Random: random, Priority: c.byPriority, Price: cheapest}
	if len(names) == 0 {
		names = []string{LeastWaste}
	}
	for _, name := range names {
		strategy, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("expander %q is unknown: use %s, %s, %s or %s", name, LeastWaste, Random, Priority, Price)
		}
		c.strategies = append(c.strategies, strategy)
	}
	return c, nil
}

// SetPriorities replaces what the strategy priority goes by.
func (c *Chain) SetPriorities(p map[int][]*regexp.Regexp) { c.priorities = p }

// Best returns the index of the option to take. When several are left, that is the one for most pods, then the first by name: equal clusters
// get equal plans.
func (c *Chain) Best(options []Option) int {
	left := slices.Clone(options)
	for _, strategy := range c.strategies {
		if left = strategy(left); len(left) == 1 {
			break
		}
	}
	name := func(o Option) string { return strings.Join(o.Groups, ",") }
	first := slices.MinFunc(left, func(a, b Option) int {
		return cmp.Or(cmp.Compare(b.Pods, a.Pods), strings.Compare(name(a), name(b)))
	})
	return slices.IndexFunc(options, func(o Option) bool { return name(o) == name(first) })
}

func random(options []Option) []Option {
	i := rand.IntN(len(options))
	return options[i : i+1]
}

// leastWaste keeps the options that leave the smallest share of the new nodes unused.
func leastWaste(options []Option) []Option {
	return lowest(options, func(o Option) float64 {
		return unused(o.Requested.MilliCPU, o.Capacity.MilliCPU) + unused(o.Requested.Memory, o.Capacity.Memory)
	})
}

func unused(requested, capacity int64) float64 {
	if capacity <= 0 {
		return 1
	}
	return float64(capacity-requested) / float64(capacity)
}

// unknownPrice is more than anything costs, so that a group of unknown price is taken last.
const unknownPrice = 1e12

// cheapest keeps the options with the lowest price for what they make room for. A core counts as much as 4 GiB, as in the usual flavors.
func cheapest(options []Option) []Option {
	return lowest(options, func(o Option) float64 {
		served := float64(o.Requested.MilliCPU)/1000 + float64(o.Requested.Memory)/(4<<30)
		if o.Price == 0 {
			return unknownPrice
		}
		return o.Price / max(served, 0.001*float64(o.Pods))
	})
}

// byPriority keeps the options with the highest priority; a group that no pattern names has less than all.
func (c *Chain) byPriority(options []Option) []Option {
	return lowest(options, func(o Option) float64 {
		best := -1e12
		for priority, patterns := range c.priorities {
			if float64(priority) > best && slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return slices.ContainsFunc(o.Groups, p.MatchString) }) {
				best = float64(priority)
			}
		}
		return -best
	})
}

func lowest(options []Option, score func(Option) float64) []Option {
	var best []Option
	var bestScore float64
	for _, o := range options {
		switch s := score(o); {
		case len(best) == 0 || s < bestScore:
			best, bestScore = []Option{o}, s
		case s == bestScore:
			best = append(best, o)
		}
	}
	return best
}
