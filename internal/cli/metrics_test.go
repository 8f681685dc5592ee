package cli

import (
	"strings"
	"testing"
)

func TestAmounts(t *testing.T) {
	for _, tt := range []struct {
		value      float64
		unit, want string
	}{
		{0.1234, "ratio", "12.3%"},
		{0, "bytes", "0 B"},
		{1023, "bytes", "1023 B"},
		{1536, "bytes", "1.5 KiB"},
		{5 << 40, "bytes", "5.0 TiB"},
		{5 << 50, "bytes", "5120.0 TiB"},
		{2 << 20, "bytes_per_second", "2.0 MiB/s"},
		{0.0123456, "seconds", "12.35ms"},
		{12.345, "per_second", "12.35/s"},
		{0.25, "cores", "0.250"},
		{3, "count", "3"},
		{2.666, "count", "2.67"},
	} {
		if got := amount(tt.value, tt.unit); got != tt.want {
			t.Errorf("%v %s: %q, want %q", tt.value, tt.unit, got, tt.want)
		}
	}
}

func TestMetricsOfTwoTimes(t *testing.T) {
	for _, args := range [][]string{
		{"--last", "1h", "--start", "5"}, {"--last", "1h", "--end", "5"}, {"--last", "10ms"}, {"--last", "-1h"}, {"--last", "soon"},
	} {
		f := newFakeAPI(t, standard())
		got := f.run(t, append([]string{"kubernetes", "metrics", "get", "meu-cluster", "node_cpu_usage_ratio"}, args...)...)
		if got.code != ExitUsage || !strings.Contains(got.stderr, "--last") && !strings.Contains(got.stderr, `"--last"`) || len(f.lines()) > 0 {
			t.Errorf("%v: exit %d, sent %v, stderr %q", args, got.code, f.lines(), got.stderr)
		}
	}
}
