package price

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"magalu.cloud/mke/internal/catalog"
)

func TestExampleIsComplete(t *testing.T) {
	table, err := Load("", catalog.Default().NodePoolFlavors())
	if err != nil {
		t.Fatal(err)
	}
	if !table.Example || table.Currency != "BRL" {
		t.Errorf("the embedded table does not say that it is an example: %+v", table)
	}
}

func TestLoad(t *testing.T) {
	sold := []catalog.Flavor{{Name: "BV2-4-40"}}
	for name, tc := range map[string]struct{ content, problem string }{
		"good":             {"currency: BRL\nflavors: {BV2-4-40: 0.1}", ""},
		"flavor missing":   {"currency: BRL\nflavors: {}", "BV2-4-40 is missing"},
		"negative":         {"currency: BRL\nflavors: {BV2-4-40: -1}", "flavors.BV2-4-40"},
		"negative volume":  {"currency: BRL\nflavors: {BV2-4-40: 1}\nvolume_types: {x: -1}", "volume_types.x"},
		"negative address": {"currency: BRL\nflavors: {BV2-4-40: 1}\npublic_ip: -1", "public_ip"},
		"currency":         {"currency: real\nflavors: {BV2-4-40: 1}", "currency"},
		"misspelt":         {"currency: BRL\nflavor: {BV2-4-40: 1}", "flavor"},
		"no number":        {"currency: BRL\nflavors: {BV2-4-40: cheap}", "flavors"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "prices.yaml")
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file, sold)
			if (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("%v, want %q", err, tc.problem)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none"), sold); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestEstimate(t *testing.T) {
	table := &Table{Currency: "BRL", Flavors: map[string]float64{"f": 0.33333}, VolumeTypes: map[string]float64{"v": 0.001}, LoadBalancer: 0.07, PublicIP: 0.025}
	got := table.Estimate([]Item{
		{Kind: Node, Name: "p", Type: "f", Quantity: 3}, {Kind: Volume, Name: "d", Type: "v", Quantity: 10},
		{Kind: LoadBalancer, Name: "lb", Quantity: 1}, {Kind: PublicIP, Name: "ip", Quantity: 1}, {Kind: Node, Name: "q", Type: "old", Quantity: 1},
	})
	want := &Estimate{Currency: "BRL", Hourly: 1.105, Monthly: 806.64, Unpriced: []string{"old"}, Items: []Item{
		{Node, "p", "f", 3, 0.33333, 1}, {Volume, "d", "v", 10, 0.001, 0.01}, {LoadBalancer, "lb", "", 1, 0.07, 0.07}, {PublicIP, "ip", "", 1, 0.025, 0.025},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
