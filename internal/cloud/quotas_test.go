package cloud

import (
	"strings"
	"testing"
)

func TestCheckQuotas(t *testing.T) {
	for _, c := range []struct {
		quotas map[string]int64
		want   string
	}{
		{nil, ""},
		{map[string]int64{"instances": 7, "volumes": 0, "volume_gib": 100, "public_ips": 5, "load_balancers": 2}, ""},
		{map[string]int64{"disks": 1}, `no quota "disks"; there are: instances, volumes, volume_gib, public_ips, load_balancers`},
		{map[string]int64{"volumes": -1}, "volumes must be 0 or more"},
	} {
		if err := CheckQuotas(c.quotas); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.quotas, err)
		}
	}
}
