package catalog

import "testing"

func TestControlPlanesGrowWithTheirClusters(t *testing.T) {
	for _, c := range []struct {
		has   string
		nodes int64
		want  string
	}{
		{"BV2-4-40", 0, "BV2-4-40"},
		{"BV2-4-40", 250, "BV2-4-40"},
		{"BV2-4-40", 251, "BV4-16-40"},
		{"BV2-4-40", 1000, "BV4-16-40"},
		{"BV2-4-40", 1001, "BV8-32-40"},
		{"BV8-32-40", 1, "BV8-32-40"},     // none becomes smaller
		{"BV4-16-150", 500, "BV4-16-150"}, // large enough, whatever its disk
		{"BV4-8-40", 500, "BV4-16-40"},    // enough cores, too little memory
		{"DP8-32-40", 2000, "DP8-32-40"},  // of one that is not sold here nothing is known
	} {
		if got := GrownControlPlane(c.has, c.nodes); got != c.want {
			t.Errorf("%s with %d nodes becomes %s, want %s", c.has, c.nodes, got, c.want)
		}
	}
}

func TestControlPlaneFlavorsAreSold(t *testing.T) {
	for _, c := range controlPlanes {
		if _, ok := Default().Flavor(c.flavor); !ok {
			t.Errorf("%s is not in the catalog", c.flavor)
		}
	}
}
