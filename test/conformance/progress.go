package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// outcome is how one spec ended, as ginkgo prints it.
type outcome struct {
	name    string
	passed  bool
	seconds float64
}

// outcomeLine is followed by the spec's name; but when specs run one by one, the name of one that passed is where it
// began, below a ruler.
var outcomeLine = regexp.MustCompile(`^• (?:\[(\w+)\] )?\[([0-9.]+) seconds\]$`)

const ruler = "------------------------------"

// outcomes finds the ends of specs in ginkgo's verbose output, of which it gets any pieces.
type outcomes struct {
	rest   []byte
	before string
	begun  string
	ended  *outcome // its name is yet to come
	found  func(outcome)
}

func (o *outcomes) Write(p []byte) (int, error) {
	o.rest = append(o.rest, p...)
	for {
		line, rest, complete := bytes.Cut(o.rest, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		o.line(string(line))
		o.rest = rest
	}
}

func (o *outcomes) line(line string) {
	if o.before == ruler {
		o.begun = line
	}
	o.before = line
	if o.ended != nil {
		if o.ended.name = strings.TrimSpace(line); line == ruler {
			o.ended.name = o.begun
		}
		o.found(*o.ended)
		o.ended = nil
		return
	}
	if m := outcomeLine.FindStringSubmatch(line); m != nil {
		seconds, err := strconv.ParseFloat(m[2], 64)
		if err == nil {
			o.ended = &outcome{passed: m[1] == "", seconds: seconds}
		}
	}
}

// progress tells a person how far a run is.
type progress struct {
	out     io.Writer
	phase   string
	total   int
	started time.Time

	mu           sync.Mutex
	parser       outcomes
	done, failed int
}

func newProgress(out io.Writer, phase string, total int) *progress {
	p := &progress{out: out, phase: phase, total: total, started: time.Now()}
	p.parser.found = p.add
	return p
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.parser.Write(b)
}

func (p *progress) add(o outcome) {
	p.done++
	if !o.passed {
		p.failed++
		fmt.Fprintf(p.out, "FAILED after %.0f s: %s\n", o.seconds, o.name)
	}
}

func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.started)
	line := fmt.Sprintf("%s: %d of %d done, %d failed, %s", p.phase, p.done, p.total, p.failed, took.Round(time.Second))
	if p.done > 0 && p.done < p.total {
		line += fmt.Sprintf(", about %s left", (took / time.Duration(p.done) * time.Duration(p.total-p.done)).Round(time.Minute))
	}
	return line
}

// every prints a line now and then until it is stopped, and a last one.
func (p *progress) every(interval time.Duration) (stop func()) {
	done := make(chan struct{})
	var printer sync.WaitGroup
	printer.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintln(p.out, p)
			}
		}
	})
	return func() {
		close(done)
		printer.Wait()
		fmt.Fprintln(p.out, p)
	}
}
