package main

import (
	"regexp"
	"slices"
	"strings"
)

// finding is a failed test, or a crash, or a package that does not compile, and what was said about it.
type finding struct {
	title string
	said  []string
	first bool // what comes first says most, as in a crash
}

var (
	marker  = regexp.MustCompile(`^=== (?:RUN|PAUSE|CONT|NAME)\s+(\S*)`)
	verdict = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)
	done    = regexp.MustCompile(`^(ok  |FAIL|\?   )\t(\S+)`)
	crash   = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE|# \S+)`)
	logged  = regexp.MustCompile(`^\s+(\S+\.go):\d+: `)
)

// dumps is the file whose lines show a region after a failure, which takes hundreds of them.
const dumps = "dump_test.go"

// raceEnd is around what the race detector finds.
const raceEnd = "=================="

// parser sorts lines by the test that printed them.
type parser struct {
	current  string
	said     map[string][]string
	failed   []string
	crash    *finding
	dump     bool
	findings []finding
}

// parse reads the output of `go test`, with -v or without.
func parse(lines []string) []finding {
	p := parser{said: map[string][]string{}}
	for _, line := range lines {
		p.line(line)
	}
	p.packageDone("")
	return p.findings
}

func (p *parser) line(line string) {
	if m := marker.FindStringSubmatch(line); m != nil {
		p.begin(m[1])
	} else if m := verdict.FindStringSubmatch(line); m != nil {
		p.begin(m[2]) // without -v what a test said follows its verdict
		if m[1] == "FAIL" {
			p.failed = append(p.failed, m[2])
		}
	} else if m := done.FindStringSubmatch(line); m != nil {
		p.packageDone(line)
	} else if crash.MatchString(line) {
		p.crashed()
		p.crash = &finding{title: line, first: true}
	} else if p.crash != nil && line == raceEnd {
		p.crashed()
	} else if p.crash != nil {
		p.crash.said = append(p.crash.said, line)
	} else if m := logged.FindStringSubmatch(line); m != nil {
		p.dump = m[1] == dumps
		p.say(line)
	} else {
		p.say(line)
	}
}

func (p *parser) say(line string) {
	if !p.dump && strings.TrimSpace(line) != "" && !slices.Contains([]string{"PASS", "FAIL", raceEnd}, line) {
		p.said[p.current] = append(p.said[p.current], line)
	}
}

func (p *parser) begin(test string) {
	p.crashed()
	p.current, p.dump = test, false
}

// crashed ends what was said about a crash.
func (p *parser) crashed() {
	if p.crash != nil {
		p.findings = append(p.findings, *p.crash)
		p.crash = nil
	}
}

// packageDone ends with a package's own line, as `FAIL	magalu.cloud/mke/cmd/mke	0.1s`.
func (p *parser) packageDone(line string) {
	p.begin("")
	for _, test := range p.failed {
		if len(p.said[test]) == 0 && slices.ContainsFunc(p.failed, func(other string) bool { return strings.HasPrefix(other, test+"/") }) {
			continue // it failed because of these
		}
		p.findings = append(p.findings, finding{title: "FAIL " + test, said: p.said[test]})
	}
	if strings.HasPrefix(line, "FAIL") {
		p.findings = append(p.findings, finding{title: line, said: p.said[""]})
	}
	p.failed, p.said = nil, map[string][]string{}
}
