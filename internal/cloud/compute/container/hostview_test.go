package container

import (
	"regexp"
	"strconv"
	"testing"
)

// A VM's CPUs are as many as its type says, and their numbers are ones that the host has.
func TestCPUNames(t *testing.T) {
	number := regexp.MustCompile(`^cpu(\d+)$`)
	for _, tt := range []struct{ host, vm int }{{2, 1}, {2, 2}, {2, 4}, {2, 16}, {1, 8}, {12, 40}} {
		seen := map[string]bool{}
		for i := range tt.vm {
			name := cpuName(i, tt.host)
			if seen[name] {
				t.Errorf("host %d, VM %d: %s comes twice", tt.host, tt.vm, name)
			}
			seen[name] = true
			m := number.FindStringSubmatch(name)
			if m == nil {
				t.Fatalf("%q is no CPU's folder", name)
			}
			if n, err := strconv.Atoi(m[1]); err != nil || n >= tt.host {
				t.Errorf("host %d: %s is not there", tt.host, name)
			}
		}
	}
}
