package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// specsFile lists the whole suite, so that a report can say what has not run.
func specsFile(data string) string { return filepath.Join(data, "conformance", "specs.json") }

func saveSpecs(data string, specs []spec) error {
	text, err := json.Marshal(specs)
	if err != nil {
		return err
	}
	return os.WriteFile(specsFile(data), text, 0o644)
}

//go:embed report.md.tmpl
var reportTemplate string

// page is what the template shows.
type page struct {
	Environment          environment
	First, Last          time.Time
	Runs                 []runLine
	Total, Passed        int
	Parallel, Serial     int
	Failed, Again, Other []specLine
	Missing              []string
	Slowest              []specLine
	OtherPassed          int
}

type runLine struct {
	Started               time.Time
	Phase, Build          string
	Procs, Passed, Failed int
	Took                  time.Duration
	Load                  string
}

type specLine struct {
	Name    string
	Why     []string
	Seconds float64
}

// writeReport writes the page about the newest version that was tested.
func writeReport(o options) error {
	runs, err := readRuns(runsDir(o.data))
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return errors.New("nothing has run yet: there is nothing to report")
	}
	text, err := os.ReadFile(specsFile(o.data))
	if err != nil {
		return err
	}
	var specs []spec
	if err := json.Unmarshal(text, &specs); err != nil {
		return err
	}
	p := newPage(summarize(runs, runs[len(runs)-1].Environment), specs)
	markdown, err := p.markdown()
	if err != nil {
		return err
	}
	fmt.Printf("%d of %d conformance specs passed, see %s\n", p.Passed, p.Total, o.docs)
	return os.WriteFile(o.docs, []byte(markdown), 0o644)
}

var conformanceName = regexp.MustCompile(conformanceMark)

func newPage(s summary, specs []spec) page {
	last := s.runs[len(s.runs)-1]
	p := page{Environment: last.Environment, First: s.runs[0].Started, Last: last.Started}
	for _, r := range s.runs {
		p.Runs = append(p.Runs, newRunLine(r))
	}
	for _, spec := range specs {
		if conformanceName.MatchString(spec.Name) {
			p.addConformance(spec, s.specs[spec.Name])
		}
	}
	for _, h := range s.specs {
		switch {
		case conformanceName.MatchString(h.name):
		case h.passed:
			p.OtherPassed++
		default:
			p.Other = append(p.Other, specLine{h.name, h.failed, h.seconds})
		}
	}
	byName := func(a, b specLine) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(p.Failed, byName)
	slices.SortFunc(p.Again, byName)
	slices.SortFunc(p.Other, byName)
	slices.Sort(p.Missing)
	slices.SortFunc(p.Slowest, func(a, b specLine) int { return int(b.Seconds - a.Seconds) })
	p.Slowest = p.Slowest[:min(5, len(p.Slowest))]
	return p
}

func (p *page) addConformance(s spec, h *history) {
	p.Total++
	if h == nil {
		p.Missing = append(p.Missing, s.Name)
		return
	}
	line := specLine{s.Name, h.failed, h.seconds}
	if !h.passed {
		p.Failed = append(p.Failed, line)
		return
	}
	p.Passed++
	if s.Serial {
		p.Serial++
	} else {
		p.Parallel++
	}
	p.Slowest = append(p.Slowest, line)
	if len(h.failed) > 0 {
		p.Again = append(p.Again, line)
	}
}

func newRunLine(r *run) runLine {
	line := runLine{Started: r.Started, Phase: r.Phase, Build: r.Environment.Build, Procs: r.Procs, Load: r.LoadBefore}
	if r.LoadAfter != "" {
		line.Load += " → " + r.LoadAfter
	}
	if !r.Ended.IsZero() {
		line.Took = r.Ended.Sub(r.Started).Round(time.Second)
	}
	for _, result := range r.results {
		if result.Passed {
			line.Passed++
		} else {
			line.Failed++
		}
	}
	return line
}

func (p page) markdown() (string, error) {
	functions := template.FuncMap{
		"minute": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"join":   strings.Join,
		"tally":  tally,
	}
	t, err := template.New("page").Funcs(functions).Parse(reportTemplate)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, p)
	return out.String(), err
}

// tally puts equal things together: "2 × worker, 1 × control plane".
func tally(things []string) string {
	var kinds []string
	count := map[string]int{}
	for _, thing := range things {
		if count[thing] == 0 {
			kinds = append(kinds, thing)
		}
		count[thing]++
	}
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d × %s", count[kind], kind)
	}
	return strings.Join(kinds, "; ")
}

// firstLine shortens a failure to what fits in a list.
func firstLine(text string) string {
	const most = 300
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line == "" {
		return "the run was cut off before it could say why"
	}
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return strings.ReplaceAll(line, "|", "\\|")
}
