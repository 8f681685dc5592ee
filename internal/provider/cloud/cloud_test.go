package cloud

import (
	"slices"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
)

func TestPoller(t *testing.T) {
	p := NewPoller()
	req := ctrl.Request{}
	var waited time.Duration
	looks := 0
	for waited < 10*time.Second {
		pause := p.Next(req, true)
		if pause > firstPoll+waited/3 {
			t.Errorf("pause %v after %v", pause, waited)
		}
		waited += pause
		looks++
	}
	if looks > 25 {
		t.Errorf("%d looks in 10 s", looks)
	}
	for range 100 {
		if pause := p.Next(req, true); pause > lastPoll {
			t.Fatalf("pause %v", pause)
		}
	}
	if p.Next(req, false) != 0 || p.Next(req, true) != firstPoll {
		t.Error("the next wait does not start quick")
	}
}

func TestAdopt(t *testing.T) {
	id := func(s string) string { return s }
	for _, tt := range []struct {
		name       string
		candidates []string
		recorded   string
		keep       string
		duplicates []string
	}{
		{"none", nil, "a", "", nil},
		{"one", []string{"b"}, "", "b", []string{}},
		{"first by id", []string{"c", "a", "b"}, "", "a", []string{"b", "c"}},
		{"recorded", []string{"c", "a", "b"}, "b", "b", []string{"a", "c"}},
		{"recorded one is gone", []string{"c", "b"}, "a", "b", []string{"c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keep, duplicates := Adopt(tt.candidates, id, tt.recorded)
			if (keep == nil) != (tt.keep == "") || (keep != nil && *keep != tt.keep) || !slices.Equal(duplicates, tt.duplicates) {
				t.Errorf("keep %v, duplicates %v", keep, duplicates)
			}
		})
	}
}

func TestMarked(t *testing.T) {
	for text, want := range map[string]bool{
		"mke-1-api": true, "mke-1-cp": true, "mke-10-api": false, "x mke.cluster-id=1 y": true, "mke.cluster-id=10": false, "": false, "my-mke-1-api": false,
	} {
		if got := Marked("1", text); got != want {
			t.Errorf("%q is marked: %v", text, got)
		}
	}
}
