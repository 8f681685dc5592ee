package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestSettingsOfMonitoring(t *testing.T) {
	a, _ := FindAddon(Monitoring)
	for _, tt := range []struct {
		storage string
		want    any
		problem string
		needs   []string
	}{
		{`0`, 0, "", nil},
		{`10`, 10, "", []string{CSI}},
		{`1000`, 1000, "", []string{CSI}},
		{`9`, 0, "must be 0 or a whole number from 10 to 1000", nil},
		{`-10`, 0, "must be 0 or a whole number from 10 to 1000", nil},
		{`10.5`, 0, "must be 0 or a whole number from 10 to 1000", nil},
		{`"10"`, 0, "must be 0 or a whole number from 10 to 1000", nil},
	} {
		config, problems := a.Config(map[string]json.RawMessage{"storageGiB": json.RawMessage(tt.storage)})
		if config["storageGiB"] != tt.want || problems["storageGiB"] != tt.problem || !slices.Equal(a.NeedsWith(config), tt.needs) {
			t.Errorf("%s: %v, %q, needs %v", tt.storage, config["storageGiB"], problems["storageGiB"], a.NeedsWith(config))
		}
	}
	if _, problems := a.Config(map[string]json.RawMessage{"scrapeSeconds": json.RawMessage(`0`)}); problems["scrapeSeconds"] != "must be a whole number from 10 to 120" {
		t.Errorf("scrapeSeconds 0: %v", problems)
	}
}

func TestWhatOnlyGrows(t *testing.T) {
	a, _ := FindAddon(Monitoring)
	for _, tt := range []struct {
		before, after int
		ok            bool
	}{{0, 10, true}, {10, 10, true}, {10, 20, true}, {20, 10, false}, {20, 0, true}} {
		problems := a.Shrunk(map[string]any{"storageGiB": tt.before}, map[string]any{"storageGiB": tt.after})
		if (len(problems) == 0) != tt.ok || len(problems) > 0 && !strings.Contains(problems["storageGiB"], "20") {
			t.Errorf("%d → %d: %v", tt.before, tt.after, problems)
		}
	}
}

func TestAddonsNeedOnlyAddons(t *testing.T) {
	for _, a := range Addons() {
		config := map[string]any{}
		for _, o := range a.Options {
			config[o.Name] = "not the default"
		}
		for _, name := range a.NeedsWith(config) {
			if _, known := FindAddon(name); !known {
				t.Errorf("%s needs %s, which does not exist", a.Name, name)
			}
		}
		if defaults, _ := a.Config(nil); a.Default && len(a.NeedsWith(defaults)) != len(slices.Compact(a.Needs)) {
			t.Errorf("%s needs more with its defaults: %v", a.Name, slices.Collect(maps.Keys(defaults)))
		}
	}
}
