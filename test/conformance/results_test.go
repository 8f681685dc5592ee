package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// printed is the verbose output of specs that run beside each other.
const printed = `Running in parallel across 3 processes
SSS
------------------------------
• [1.251 seconds]
[sig-node] ConfigMap should update [NodeConformance] [Conformance] [sig-node, NodeConformance, Conformance]
k8s.io/kubernetes/test/e2e/common/node/configmap.go:142

  Timeline >>
  • [9.0 minutes] is text of a pod
------------------------------
• [FAILED] [150.702 seconds]
[sig-network] Services [It] should switch [Conformance] [sig-network, Conformance]
k8s.io/kubernetes/test/e2e/network/service.go:1
`

func TestOutcomesInPieces(t *testing.T) {
	const text = printed + oneByOne
	want := []outcome{
		{"[sig-node] ConfigMap should update [NodeConformance] [Conformance] [sig-node, NodeConformance, Conformance]", true, 1.251},
		{"[sig-network] Services [It] should switch [Conformance] [sig-network, Conformance]", false, 150.702},
		{"[sig-node] Pods should end [Serial] [Conformance] [sig-node, Serial, Conformance]", true, 3.5},
	}
	for _, size := range []int{1, 7, len(text)} {
		var got []outcome
		parser := outcomes{found: func(o outcome) { got = append(got, o) }}
		for piece := range slices.Chunk([]byte(text), size) {
			if _, err := parser.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: %+v", size, got)
		}
	}
}

// oneByOne is what is printed when specs do not run beside each other.
const oneByOne = `Running Suite: Kubernetes e2e suite
------------------------------
[sig-node] Pods should end [Serial] [Conformance] [sig-node, Serial, Conformance]
k8s.io/kubernetes/test/e2e/node/pods.go:1
  STEP: Creating a namespace
• [3.5 seconds]
------------------------------
`

const reported = `[{"SpecReports": [
 {"LeafNodeType": "SynchronizedBeforeSuite", "State": "passed"},
 {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-network] Services"], "LeafNodeText": "should switch [Conformance]", "State": "passed", "RunTime": 2000000000},
 {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-x] A"], "LeafNodeText": "b [Serial] [Conformance]", "State": "timedout", "RunTime": 9000000000, "Failure": {"Message": "too | slow\nstack"}},
 {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-x] A"], "LeafNodeText": "c [Conformance]", "State": "interrupted"},
 {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-x] A"], "LeafNodeText": "d", "State": "skipped"}
]}]`

// write makes a run's folder as a run leaves it.
func write(t *testing.T, data, file, text string, r run) {
	t.Helper()
	started, err := startRun(data, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(started.dir, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if file == reportFile {
		if err := started.end(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReportOverSeveralRuns(t *testing.T) {
	data := t.TempDir()
	env := environment{Kubernetes: "v1.34.2", NodeImage: "kubelet, containerd", Nodes: []string{"worker, 4 CPUs", "worker, 4 CPUs"}}
	other := env
	other.NodeImage = "an older one"
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	write(t, data, reportFile, reported, run{Phase: "parallel", Started: at.Add(-time.Hour), Environment: other})
	write(t, data, outputFile, printed, run{Phase: "parallel", Procs: 4, Started: at, Environment: env}) // killed: no report
	write(t, data, reportFile, reported, run{Phase: "serial", Procs: 1, Started: at.Add(time.Hour), Environment: env})
	specs := []spec{
		{"[sig-node] ConfigMap should update [NodeConformance] [Conformance]", false},
		{"[sig-network] Services should switch [Conformance]", false},
		{"[sig-x] A b [Serial] [Conformance]", true}, {"[sig-x] A c [Conformance]", false}, {"[sig-x] A d", false},
	}
	if err := saveSpecs(data, specs); err != nil {
		t.Fatal(err)
	}
	docs := filepath.Join(t.TempDir(), "conformance.md")
	if err := writeReport(options{data: data, docs: docs}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"**2 of 4 conformance specs passed** (2 beside each other, 0 one by one);\n1 failed, 1 did not run, 1 passed at a second try.",
		"| Nodes | 2 × worker, 4 CPUs |",
		"| 2026-01-02 03:04 | parallel | 4 | 1 | 1 | cut off |",
		"## Failed\n\n* [sig-x] A b [Serial] [Conformance] (9 s)\n  * too \\| slow\n",
		"## Passed at a second try\n\n* [sig-network] Services should switch [Conformance]. Before:\n",
		"## Did not run\n\n* [sig-x] A c [Conformance]\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if strings.Contains(string(text), "02:04") {
		t.Error("a run on another node image is counted")
	}
	if t.Failed() {
		t.Log(string(text))
	}
	runs, err := readRuns(runsDir(data))
	if err != nil {
		t.Fatal(err)
	}
	if passed := summarize(runs, env).passed(); len(passed) != 2 || passed["[sig-x] A b [Serial] [Conformance]"] {
		t.Errorf("passed: %v", passed)
	}
}

func TestSelection(t *testing.T) {
	for _, test := range []struct {
		focus, skip, name string
		want              bool
	}{
		{conformanceMark, "", "a [Conformance]", true},
		{conformanceMark, "", "a", false},
		{conformanceMark, "Services", "Services a [Conformance]", false},
		{"External.Storage", "", "External Storage [Driver: block.csi.magalu.cloud] a", true},
	} {
		wanted, err := selection(test.focus, test.skip)
		if err != nil || wanted(test.name) != test.want {
			t.Errorf("focus %q skip %q: %q is %v, %v", test.focus, test.skip, test.name, !test.want, err)
		}
	}
	if _, err := selection("(", ""); err == nil {
		t.Error("a broken FOCUS is accepted")
	}
}

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out, "parallel", 4)
	p.started = time.Now().Add(-2 * time.Minute)
	if _, err := p.Write([]byte(printed)); err != nil {
		t.Fatal(err)
	}
	p.every(time.Hour)()
	if text := out.String(); !strings.Contains(text, "FAILED after 151 s: [sig-network]") || !strings.Contains(text, "2 of 4 done, 1 failed, 2m0s, about 2m0s left") {
		t.Error(text)
	}
}
