// Package catalog knows what the Kubernetes product sells: versions of Kubernetes and flavors (machine types) of nodes.
// It is pure data and rules about data; it talks to nobody.
package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/google/uuid"
)

// PlatformVersion is the version of the product that new clusters belong to.
const PlatformVersion = "v0.1.0"

// flavorNamespace makes the ids of flavors from their names, so that they are the same everywhere and for ever.
var flavorNamespace = uuid.MustParse("6c1a2d1c-6f0e-5c4b-9a54-3c8f2f0f7a11")

// Flavor is a machine type that nodes can run on.
type Flavor struct {
	Name string
	ID   string // UUIDv5 of the name
	VCPU int
	RAM  int // MB
	Disk int // GB
	SKU  string
}

// Version is a version of Kubernetes that clusters can run.
type Version struct {
	Version    string // with leading v
	Deprecated bool   // still works, not to be chosen for new clusters
}

// MinimumRequirements of a node, the same for every version: those of the smallest flavor.
const (
	MinimumVCPU   = 2
	MinimumRAMGB  = 4
	MinimumDiskGB = 40
)

// Catalog is a set of versions and flavors.
type Catalog struct {
	versions []Version // oldest first
	flavors  []Flavor
}

// HollowFamily begins the names of flavors whose nodes are hollow: the control plane sees them and their pods, but nothing runs.
const HollowFamily = "HL"

// HollowLabel is on all hollow nodes.
const HollowLabel = "mke.magalu.cloud/hollow"

// Default returns what the product sells today.
func Default() *Catalog { return New(Version{Version: "v1.34.2"}) }

// WithHollow returns the catalog with a hollow flavor beside each regular one, for regions that have such machines.
func (c *Catalog) WithHollow() *Catalog {
	with := &Catalog{versions: c.versions, flavors: slices.Clone(c.flavors)}
	for _, f := range c.flavors {
		with.flavors = append(with.flavors, flavor(HollowFamily, f.VCPU, f.RAM/1024, f.Disk))
	}
	return with
}

// Hollow says whether nodes of the flavor are hollow.
func (f Flavor) Hollow() bool { return strings.HasPrefix(f.Name, HollowFamily) }

// Regular is the name of the regular flavor of the same size, its own for a regular one.
func (f Flavor) Regular() string {
	if size, hollow := strings.CutPrefix(f.Name, HollowFamily); hollow {
		return regularFamily + size
	}
	return f.Name
}

// New returns a catalog with the given versions, oldest first, and the regular flavors.
func New(versions ...Version) *Catalog {
	c := &Catalog{versions: versions}
	for _, size := range [][2]int{{2, 4}, {2, 8}, {4, 8}, {4, 16}, {8, 16}, {8, 32}} {
		for _, disk := range []int{40, 100, 150} {
			c.flavors = append(c.flavors, flavor(regularFamily, size[0], size[1], disk))
		}
	}
	return c
}

const regularFamily = "BV"

func flavor(family string, vcpu, ramGB, diskGB int) Flavor {
	name := fmt.Sprintf("%s%d-%d-%d", family, vcpu, ramGB, diskGB)
	return Flavor{
		Name: name,
		ID:   uuid.NewSHA1(flavorNamespace, []byte(name)).String(),
		VCPU: vcpu, RAM: ramGB * 1024, Disk: diskGB,
		SKU: strings.ToLower(name),
	}
}

// Versions returns all versions, oldest first.
func (c *Catalog) Versions() []Version { return c.versions }

// VersionNames returns the names of all versions, oldest first.
func (c *Catalog) VersionNames() []string {
	names := make([]string, len(c.versions))
	for i, v := range c.versions {
		names[i] = v.Version
	}
	return names
}

// HasVersion says whether clusters can run the version.
func (c *Catalog) HasVersion(version string) bool {
	for _, v := range c.versions {
		if v.Version == version {
			return true
		}
	}
	return false
}

// LatestVersion is what a cluster gets that asks for none: the newest that is not deprecated.
func (c *Catalog) LatestVersion() string {
	for i := len(c.versions) - 1; i >= 0; i-- {
		if !c.versions[i].Deprecated {
			return c.versions[i].Version
		}
	}
	return ""
}

// NodePoolFlavors returns what nodes can run on, smallest first.
func (c *Catalog) NodePoolFlavors() []Flavor { return c.flavors }

// ControlPlaneFlavors returns what control planes can run on, smallest first: regular ones only.
func (c *Catalog) ControlPlaneFlavors() []Flavor {
	var result []Flavor
	for _, f := range c.flavors {
		if f.Disk == MinimumDiskGB && !f.Hollow() {
			result = append(result, f)
		}
	}
	return result
}

// Flavor returns the flavor of that name.
func (c *Catalog) Flavor(name string) (Flavor, bool) {
	for _, f := range c.flavors {
		if f.Name == name {
			return f, true
		}
	}
	return Flavor{}, false
}

// NodeImage is the name of the machine image that runs a version of Kubernetes.
func NodeImage(version string) string { return "cloud-mke-node-" + version }

// CanUpgrade says whether the published upgrade paths lead from one version to the other: a newer or equal patch of the same minor
// version, or any patch of the next minor version. Versions that do not parse have no path.
func CanUpgrade(from, to string) bool {
	f, errFrom := semver.NewVersion(from)
	t, errTo := semver.NewVersion(to)
	if errFrom != nil || errTo != nil || f.Major() != t.Major() {
		return false
	}
	switch {
	case t.Minor() == f.Minor():
		return !t.LessThan(f)
	default:
		return t.Minor() == f.Minor()+1
	}
}

// NewerThan says whether a is a newer version than b; versions that do not parse are newer than none.
func NewerThan(a, b string) bool {
	va, errA := semver.NewVersion(a)
	vb, errB := semver.NewVersion(b)
	return errA == nil && errB == nil && va.GreaterThan(vb)
}

// ZoneLetter is the short name of an availability zone: a for br-se1-a.
func ZoneLetter(zone string) string {
	return zone[strings.LastIndex(zone, "-")+1:]
}
