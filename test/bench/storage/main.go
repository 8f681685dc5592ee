// Command storage times a volume from the claim to the Pod that has it mounted, beside losetup, mkfs and mount by hand on the same disk,
// and fio on the volume beside fio on the file system below it, all in the same run. It prints and never fails on a number. See
// `make bench-storage`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

func main() { benchsite.Main(bench) }

func bench(ctx context.Context) (err error) {
	dataDir := flag.String("data-dir", "/var/lib/mke", "the region's data folder")
	binDir := flag.String("bin-dir", "bin", "where mgc is")
	cluster := flag.String("cluster", "", "name of a running cluster (default: the first one)")
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	load := flag.Duration("load", 3*time.Second, "how long each job of fio lasts")
	flag.Parse()

	dir := filepath.Join(*dataDir, "bench-storage")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := benchsite.Open(ctx, *binDir, *dataDir, *cluster, "bench-storage")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	var r report
	for i := 1; i <= *rounds; i++ {
		m, err := round(ctx, s, dir, fmt.Sprintf("round-%d", i), *load)
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		fmt.Printf("round %d of %d: by hand %.2f s, Pod Running %.2f s\n", i, *rounds, m.byHand.Seconds(), m.marks[running].Seconds())
		r = append(r, m)
	}
	r.print(os.Stdout)
	return nil
}

// measured is one round.
type measured struct {
	byHand time.Duration
	marks  map[string]time.Duration // since the claim was made
	floor  map[string]float64       // fio's operations per second on the file system below, by job
	volume map[string]float64       // on the volume, outside of the VM's limits
	inside map[string]float64       // on the volume, as the Pod is limited
}

func round(ctx context.Context, s *benchsite.Site, dir, name string, load time.Duration) (m measured, err error) {
	if m.byHand, err = byHand(ctx, dir); err != nil {
		return m, fmt.Errorf("by hand: %w", err)
	}
	v, err := newVolume(ctx, s, name)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, v.remove(context.WithoutCancel(ctx))) }()
	m.marks = v.marks
	m.floor, m.volume, m.inside = map[string]float64{}, map[string]float64{}, map[string]float64{}
	for _, j := range jobs {
		if m.floor[j.name], err = fio(ctx, j, dir, "", load); err != nil {
			return m, err
		}
		if m.volume[j.name], err = fio(ctx, j, v.folder(), "", load); err != nil {
			return m, err
		}
		if m.inside[j.name], err = fio(ctx, j, v.folder(), v.pid, load); err != nil {
			return m, err
		}
	}
	return m, nil
}
