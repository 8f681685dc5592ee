package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"time"
)

// A run has a folder of its own with these files. The folders are all the state there is.
const (
	runFile    = "run.json"
	reportFile = "report.json" // ginkgo's, written when a run ends, also by an interrupt
	outputFile = "output.log"  // ginkgo's, there even when a run was killed
)

func runsDir(data string) string { return filepath.Join(data, "conformance", "runs") }

// run is one call of ginkgo.
type run struct {
	Phase       string      `json:"phase"` // parallel or serial
	Procs       int         `json:"procs"`
	Specs       int         `json:"specs"`
	Started     time.Time   `json:"started"`
	Ended       time.Time   `json:"ended,omitzero"`
	LoadBefore  string      `json:"load_before"`
	LoadAfter   string      `json:"load_after,omitempty"`
	Environment environment `json:"environment"`

	dir     string
	results []result
}

// result is how a spec ended in one run.
type result struct {
	Name    string
	Passed  bool
	Seconds float64
	Failure string
}

func startRun(data string, r run) (*run, error) {
	r.LoadBefore = loadAverage()
	r.dir = filepath.Join(runsDir(data), r.Started.UTC().Format("20060102-150405")+"-"+r.Phase)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	return &r, r.save()
}

func (r *run) end() error {
	r.Ended, r.LoadAfter = time.Now(), loadAverage()
	return r.save()
}

func (r *run) save() error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, runFile), append(text, '\n'), 0o644)
}

// readRuns reads all runs, the oldest first.
func readRuns(dir string) ([]*run, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", runFile))
	if err != nil {
		return nil, err
	}
	var runs []*run
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		r := &run{dir: filepath.Dir(path)}
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if r.results, err = readResults(r.dir); err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	sort.Slice(runs, func(i, j int) bool { return runs[i].Started.Before(runs[j].Started) })
	return runs, nil
}

// unfinished are the states of specs that say nothing about the cluster.
var unfinished = []string{"skipped", "pending", "interrupted", "aborted"}

// readResults takes ginkgo's report, or what a killed run has printed.
func readResults(dir string) ([]result, error) {
	reports, err := readReport(filepath.Join(dir, reportFile))
	if errors.Is(err, os.ErrNotExist) {
		return readOutput(filepath.Join(dir, outputFile))
	}
	if err != nil {
		return nil, err
	}
	var results []result
	for _, r := range reports {
		if r.LeafNodeType != leafSpec || slices.Contains(unfinished, r.State) {
			continue
		}
		results = append(results, result{r.name(), r.State == "passed", r.RunTime.Seconds(), r.Failure.Message})
	}
	return results, nil
}

// Printed names end with the labels, and name the node that failed.
var (
	printedLabels = regexp.MustCompile(` \[[^\[\]]*\]$`)
	printedNode   = regexp.MustCompile(`\[It\] `)
)

func readOutput(path string) ([]result, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var results []result
	parser := outcomes{found: func(o outcome) {
		name := printedNode.ReplaceAllString(printedLabels.ReplaceAllString(o.name, ""), "")
		results = append(results, result{Name: name, Passed: o.passed, Seconds: o.seconds})
	}}
	_, err = io.Copy(&parser, file)
	return results, err
}

// summary is what the runs on one version say together: a spec that passed once has passed.
type summary struct {
	runs  []*run
	specs map[string]*history
}

type history struct {
	name    string
	passed  bool
	seconds float64  // of the run that passed, or the last
	failed  []string // why, in the runs in which it did
}

func summarize(runs []*run, env environment) summary {
	s := summary{specs: map[string]*history{}}
	for _, r := range runs {
		if r.Environment.identity() != env.identity() {
			continue
		}
		s.runs = append(s.runs, r)
		for _, result := range r.results {
			h := s.specs[result.Name]
			if h == nil {
				h = &history{name: result.Name}
				s.specs[result.Name] = h
			}
			if h.passed {
				continue
			}
			h.passed, h.seconds = result.Passed, result.Seconds
			if !result.Passed {
				h.failed = append(h.failed, firstLine(result.Failure))
			}
		}
	}
	return s
}

func (s summary) passed() map[string]bool {
	names := map[string]bool{}
	for name, h := range s.specs {
		if h.passed {
			names[name] = true
		}
	}
	return names
}
