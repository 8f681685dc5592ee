package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// names knows what the cluster's volumes and snapshots are called in the cloud: mke-<first 8 of the cluster's id>-<36 characters>.
// The prefix is what proves that something may be deleted.
type names struct{ prefix string }

func newNames(clusterID string) names {
	return names{"mke-" + clusterID[:min(8, len(clusterID))] + "-"}
}

var tail = regexp.MustCompile(`^[a-z0-9-]{36}$`)

// object returns the name in the cloud for a name that Kubernetes gave. Others than the sidecars' own are hashed.
func (n names) object(name string) string {
	if rest, ok := strings.CutPrefix(name, n.prefix); ok && tail.MatchString(rest) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return n.prefix + hex.EncodeToString(sum[:])[:36]
}

// cloneSnapshot is the name of the snapshot through which a volume is cloned, one character longer than all others.
func (n names) cloneSnapshot(volume string) string {
	return n.prefix + "c" + strings.TrimPrefix(volume, n.prefix)
}

// clonedVolume is the inverse of cloneSnapshot; false for the names of other snapshots.
func (n names) clonedVolume(snapshot string) (string, bool) {
	rest, ok := strings.CutPrefix(snapshot, n.prefix+"c")
	return n.prefix + rest, ok && tail.MatchString(rest)
}

// own is true for volumes and snapshots that this driver made for this cluster.
func (n names) own(name string) bool { return strings.HasPrefix(name, n.prefix) }
