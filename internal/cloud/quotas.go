package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// Names of quotas, as mke-api has them.
const (
	instancesQuota     = "instances"
	volumesQuota       = "volumes"
	volumeGiBQuota     = "volume_gib"
	publicIPsQuota     = "public_ips"
	loadBalancersQuota = "load_balancers"
)

// CheckQuotas refuses what no product limits.
func CheckQuotas(quotas map[string]int64) error {
	known := []string{instancesQuota, volumesQuota, volumeGiBQuota, publicIPsQuota, loadBalancersQuota}
	for name, limit := range quotas {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--quotas: there is no quota %q; there are: %s", name, strings.Join(known, ", "))
		}
		if limit < 0 {
			return fmt.Errorf("--quotas: %s must be 0 or more, not %d", name, limit)
		}
	}
	return nil
}
