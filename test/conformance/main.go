// Command conformance runs Kubernetes' official end-to-end suite on a cluster that the product made, and writes what it
// found to docs/conformance.md. See `make conformance`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// options are what the caller chose.
type options struct {
	bin, data, docs string
	cluster         string
	focus, skip     string
	procs           int
	keep, again     bool
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin-dir", "bin", "where mke, mgc and kubectl are")
	flag.StringVar(&o.data, "data-dir", "/var/lib/mke", "the region's data folder")
	flag.StringVar(&o.docs, "docs", "docs/conformance.md", "the report to write")
	flag.StringVar(&o.cluster, "cluster", "conformance", "name of the cluster; it is made when there is none")
	flag.StringVar(&o.focus, "focus", conformanceMark, "regular expression of the specs to run")
	flag.StringVar(&o.skip, "skip", "", "regular expression of the specs to leave out")
	flag.IntVar(&o.procs, "procs", 4, "specs at a time, where they may run beside each other")
	flag.BoolVar(&o.keep, "keep", false, "keep the cluster")
	flag.BoolVar(&o.again, "again", false, "also run what passed before on the same version")
	reportOnly := flag.Bool("report-only", false, "run nothing, write the report of the runs that there are")
	flag.Parse()
	if err := o.absolute(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if *reportOnly {
		err = writeReport(o)
	} else {
		err = conformance(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// absolute makes paths hold in whatever folder the suite runs.
func (o *options) absolute() (err error) {
	for _, path := range []*string{&o.bin, &o.data, &o.docs} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}

// conformance makes what is missing (programs, images, cluster), runs the specs, and leaves nothing but the results.
func conformance(ctx context.Context, o options) (err error) {
	wanted, err := selection(o.focus, o.skip)
	if err != nil {
		return err
	}
	s, err := buildSuite(ctx, o)
	if err != nil {
		return err
	}
	c, err := openCluster(ctx, o)
	if err != nil {
		return err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, c.delete(context.WithoutCancel(ctx))) }()
	}
	if err := c.load(ctx, s); err != nil {
		return err
	}
	s.kubeconfig = c.kubeconfig
	all, err := s.list(ctx)
	if err != nil {
		return err
	}
	if err := saveSpecs(o.data, all); err != nil {
		return err
	}
	specs := slices.DeleteFunc(all, func(s spec) bool { return !wanted(s.Name) })
	if len(specs) == 0 {
		return errors.New("no spec matches FOCUS and SKIP")
	}
	env, err := c.environment(ctx)
	if err != nil {
		return err
	}
	runErr := runAll(ctx, o, s, env, specs)
	return errors.Join(runErr, writeReport(o))
}

func selection(focus, skip string) (func(name string) bool, error) {
	in, err := regexp.Compile(focus)
	if err != nil {
		return nil, fmt.Errorf("FOCUS is no regular expression: %w", err)
	}
	out, err := regexp.Compile(skip)
	if err != nil {
		return nil, fmt.Errorf("SKIP is no regular expression: %w", err)
	}
	return func(name string) bool {
		return in.MatchString(name) && (skip == "" || !out.MatchString(name))
	}, nil
}

// runAll runs those specs that have not passed yet: many at a time, then those that want the cluster for themselves.
func runAll(ctx context.Context, o options, s *suite, env environment, specs []spec) error {
	before, err := readRuns(runsDir(o.data))
	if err != nil {
		return err
	}
	passed := map[string]bool{}
	if !o.again {
		passed = summarize(before, env).passed()
	}
	var parallel, serial []string
	for _, spec := range specs {
		switch {
		case passed[spec.Name]:
		case spec.Serial:
			serial = append(serial, spec.Name)
		default:
			parallel = append(parallel, spec.Name)
		}
	}
	fmt.Printf("%d specs: %d at %d a time, %d one by one, %d passed in an earlier run\n",
		len(specs), len(parallel), o.procs, len(serial), len(specs)-len(parallel)-len(serial))
	failed := 0
	for _, phase := range []struct {
		name  string
		specs []string
		procs int
	}{{"parallel", parallel, o.procs}, {"serial", serial, 1}} {
		if len(phase.specs) == 0 {
			continue
		}
		r, err := startRun(o.data, run{Phase: phase.name, Procs: phase.procs, Specs: len(phase.specs), Started: time.Now(), Environment: env})
		if err != nil {
			return err
		}
		n, err := s.run(ctx, r, phase.specs)
		failed += n
		if err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d specs failed: run again to try only those, and see %s", failed, runsDir(o.data))
	}
	return nil
}
