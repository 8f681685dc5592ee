package simulation

import (
	"math"
	"reflect"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
)

// spread keeps what the plugin PodTopologySpread gathered true over many placements. The plugin updates its counts by domain with each pod,
// but remembers only two domains with few pods: enough for preemption on one node, not for placing pod after pod, so the real minimum is put
// back after each.
type spread struct {
	constraints []spreadConstraint
}

type spreadConstraint struct {
	counts map[string]int // the plugin's own: matching pods by domain
	paths  reflect.Value  // the plugin's two domains, the one with fewer pods first
	lowest []string       // domains with the minimum, some of them outdated
	least  int

	// For cycles that are kept, in which counts fall, too:
	key   string
	nodes map[string]int // that the plugin counts pods on, by domain
	tally map[int]int    // domains by their count
}

// openSpread finds what the plugin gathered, nil when the pod has no constraints. The fields are exported for comparison in tests; false tells
// that they are not as they were in the version that this was written for.
func openSpread(state fwk.CycleState) (*spread, bool) {
	data, err := state.Read("PreFilter" + podtopologyspread.Name)
	if err != nil {
		return nil, true
	}
	v := reflect.Indirect(reflect.ValueOf(data))
	if v.Kind() != reflect.Struct {
		return nil, false
	}
	counts, paths := v.FieldByName("TpValueToMatchNum"), v.FieldByName("CriticalPaths")
	if !counts.IsValid() || !paths.IsValid() || paths.Kind() != reflect.Slice {
		return nil, false
	}
	maps, ok := counts.Interface().([]map[string]int)
	if !ok || len(maps) != paths.Len() {
		return nil, false
	}
	s := &spread{}
	for i := range maps {
		pair := reflect.Indirect(paths.Index(i))
		if !isPair(pair) {
			return nil, false
		}
		s.constraints = append(s.constraints, spreadConstraint{counts: maps[i], paths: pair})
	}
	return s, true
}

func isPair(v reflect.Value) bool {
	if v.Kind() != reflect.Array || v.Len() != 2 || v.Index(0).Kind() != reflect.Struct {
		return false
	}
	domain, count := v.Index(0).FieldByName("TopologyValue"), v.Index(0).FieldByName("MatchNum")
	return domain.IsValid() && domain.Kind() == reflect.String && count.IsValid() && count.Kind() == reflect.Int && count.CanSet()
}

// correct puts the real minimum back after counts rose.
func (s *spread) correct() {
	for i := range s.constraints {
		s.constraints[i].correct()
	}
}

func (c *spreadConstraint) correct() {
	for len(c.lowest) > 0 && c.counts[c.lowest[len(c.lowest)-1]] != c.least {
		c.lowest = c.lowest[:len(c.lowest)-1]
	}
	if len(c.lowest) == 0 {
		c.search()
	}
	if len(c.lowest) == 0 {
		return // no domain at all
	}
	first, second := c.paths.Index(0), c.paths.Index(1)
	first.FieldByName("TopologyValue").SetString(c.lowest[len(c.lowest)-1])
	first.FieldByName("MatchNum").SetInt(int64(c.least))
	second.FieldByName("TopologyValue").SetString("")
	second.FieldByName("MatchNum").SetInt(math.MaxInt32)
}

func (c *spreadConstraint) search() {
	c.least, c.lowest = math.MaxInt, c.lowest[:0]
	for domain, count := range c.counts {
		if count < c.least {
			c.least, c.lowest = count, c.lowest[:0]
		}
		if count == c.least {
			c.lowest = append(c.lowest, domain)
		}
	}
}

// domainsAdded forgets the minimum, because there may be domains without pods now.
func (s *spread) domainsAdded() {
	for i := range s.constraints {
		s.constraints[i].lowest = s.constraints[i].lowest[:0]
	}
}
