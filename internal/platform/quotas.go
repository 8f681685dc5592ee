package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// rememberQuotas keeps quotas for the runs that name none, and returns those of an earlier run if this one does not.
func rememberQuotas(p Paths, quotas map[string]int64) (map[string]int64, error) {
	if quotas != nil {
		data, err := json.Marshal(quotas)
		if err != nil {
			return nil, err
		}
		return quotas, writeFile(p.Quotas(), data, 0o644)
	}
	data, err := os.ReadFile(p.Quotas())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &quotas); err != nil {
		return nil, fmt.Errorf("%s is damaged; give --quotas again: %w", p.Quotas(), err)
	}
	return quotas, nil
}

// formatQuotas is the value of the cloud's flag, always the same for the same quotas.
func formatQuotas(quotas map[string]int64) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(quotas)) {
		pairs = append(pairs, fmt.Sprintf("%s=%d", name, quotas[name]))
	}
	return strings.Join(pairs, ",")
}
