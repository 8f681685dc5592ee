package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkStart prints the size of the binary and the time of one run of `mgc version`.
func BenchmarkStart(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "mgc")
	if out, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", bin, "magalu.cloud/mke/cmd/mgc").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		b.Fatal(err)
	}
	runs := 0
	start := time.Now()
	for b.Loop() {
		runs++
		if err := exec.Command(bin, "version").Run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
	b.Logf("RESULT cli size_mb=%.1f start_ms=%.1f", float64(info.Size())/1e6, time.Since(start).Seconds()*1000/float64(runs))
}
