//go:build e2e

package e2e

import "testing"

// step is a named part of a test. Later steps build on earlier ones.
type step struct {
	name string
	run  func(t *testing.T)
}

// inOrder runs steps and stops at the first that fails, because the rest builds on it.
func inOrder(t *testing.T, steps ...step) {
	t.Helper()
	for _, s := range steps {
		if !t.Run(s.name, s.run) {
			t.Fatalf("%s failed; what builds on it was not run", s.name)
		}
	}
}

// TestRegion is the life of a region, from the first `mke up` to nothing left on the machine.
func TestRegion(t *testing.T) {
	r := newRegion(t)
	if r.wasUp {
		t.Log("the region is up already: it is used and left as it is")
	} else {
		// Whatever happens, the machine is clean afterwards.
		t.Cleanup(func() { r.mke("down") })
		if !t.Run("Up", func(t *testing.T) { testUp(t, r) }) {
			t.Fatal("there is no region to test")
		}
	}
	r.connect(t)
	groups := []step{
		{"Journey", func(t *testing.T) { testJourney(t, r) }},
		{"Inside", func(t *testing.T) { testInside(t, r) }},
		{"DeleteData", func(t *testing.T) { testDeleteData(t, r) }},
		{"RollingRestart", func(t *testing.T) { testRollingRestart(t, r) }},
		{"BadInput", func(t *testing.T) { testBadInput(t, r) }},
		{"SecondVPC", func(t *testing.T) { testSecondVPC(t, r) }},
		{"Chaos", func(t *testing.T) { testChaos(t, r) }},
	}
	if !r.wasUp {
		groups = append(groups, step{"Down", func(t *testing.T) { testDown(t, r) }})
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					r.dump(t)
				}
			})
			g.run(t)
		})
	}
}
