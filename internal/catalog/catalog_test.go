package catalog

import (
	"testing"

	"github.com/google/uuid"
)

func TestCanUpgrade(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		want     bool
	}{
		{"v1.30.1", "v1.30.2", true},
		{"v1.30.1", "v1.30.1", true},
		{"v1.30.1", "v1.31.0", true},
		{"v1.30.9", "v1.31.0", true},
		{"v1.30.1", "v1.30.0", false},
		{"v1.30.1", "v1.32.0", false},
		{"v1.31.0", "v1.30.9", false},
		{"v1.34.2", "v2.0.0", false},
		{"v1.34.2", "latest", false},
	} {
		if got := CanUpgrade(tc.from, tc.to); got != tc.want {
			t.Errorf("CanUpgrade(%s, %s) = %v", tc.from, tc.to, got)
		}
	}
}

func TestFlavors(t *testing.T) {
	c := Default()
	f, ok := c.Flavor("BV4-8-40")
	if !ok || f.VCPU != 4 || f.RAM != 8192 || f.Disk != 40 {
		t.Fatalf("BV4-8-40 = %+v, %v", f, ok)
	}
	if again, _ := Default().Flavor("BV4-8-40"); again.ID != f.ID || uuid.MustParse(f.ID).Version() != 5 {
		t.Errorf("the id %s is not a stable UUIDv5", f.ID)
	}
	if _, ok := c.Flavor("BV1-1-40"); ok {
		t.Error("BV1-1-40 is below the minimum and must not be sold")
	}
}

func TestLatestVersion(t *testing.T) {
	c := New(Version{Version: "v1.33.6"}, Version{Version: "v1.34.2"}, Version{Version: "v1.35.4", Deprecated: true})
	if got := c.LatestVersion(); got != "v1.34.2" {
		t.Errorf("latest = %s", got)
	}
}

func TestHollowFlavors(t *testing.T) {
	if _, ok := Default().Flavor("HL2-4-40"); ok {
		t.Error("hollow flavors are offered although the region does not say that it has them")
	}
	c := Default().WithHollow()
	hollow, ok := c.Flavor("HL2-4-40")
	regular, _ := c.Flavor("BV2-4-40")
	if !ok || !hollow.Hollow() || regular.Hollow() || hollow.VCPU != regular.VCPU || hollow.RAM != regular.RAM || hollow.Disk != regular.Disk || hollow.ID == regular.ID {
		t.Errorf("HL2-4-40 = %+v, %v", hollow, ok)
	}
	for _, f := range c.ControlPlaneFlavors() {
		if f.Hollow() {
			t.Errorf("a control plane cannot run on %s", f.Name)
		}
	}
}
