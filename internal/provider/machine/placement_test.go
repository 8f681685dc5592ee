package machine

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
)

func TestLeastUsed(t *testing.T) {
	subnets := []infrav1.Subnet{{ID: "1", Zone: "a"}, {ID: "2", Zone: "b"}, {ID: "3", Zone: "c"}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	made := func(name, zone string, second int) infrav1.MGKMachine {
		m := infrav1.MGKMachine{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(start.Add(time.Duration(second) * time.Second))}}
		m.Status.FailureDomain = zone
		return m
	}
	for _, tt := range []struct {
		name     string
		siblings []infrav1.MGKMachine
		me       infrav1.MGKMachine
		want     string
	}{
		{"first", nil, made("m", "", 0), "a"},
		{"fills the gap", []infrav1.MGKMachine{made("x", "a", 0), made("y", "c", 0)}, made("m", "", 1), "b"},
		{"first of three at once", []infrav1.MGKMachine{made("m1", "", 0), made("m2", "", 0), made("m3", "", 0)}, made("m1", "", 0), "a"},
		{"second of three at once", []infrav1.MGKMachine{made("m1", "", 0), made("m2", "", 0), made("m3", "", 0)}, made("m2", "", 0), "b"},
		{"third of three at once", []infrav1.MGKMachine{made("m1", "", 0), made("m2", "", 0), made("m3", "", 0)}, made("m3", "", 0), "c"},
		{"third when the first has its zone", []infrav1.MGKMachine{made("m1", "a", 0), made("m2", "", 0), made("m3", "", 0)}, made("m3", "", 0), "c"},
		{"not in the cache yet", []infrav1.MGKMachine{made("m1", "a", 0)}, made("m2", "", 1), "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := leastUsed(subnets, tt.siblings, &tt.me).Zone; got != tt.want {
				t.Errorf("zone %s, want %s", got, tt.want)
			}
		})
	}
}
