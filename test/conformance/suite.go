package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"magalu.cloud/mke/internal/image"
)

// conformanceMark is in the name of every spec that a certified cluster must pass.
const conformanceMark = `\[Conformance\]`

// suite is the official suite as compiled here.
type suite struct {
	programs   string // folder of e2e.test and ginkgo
	images     func(out io.Writer) error
	driver     string // what our CSI driver can do, for the specs of external storage
	kubectl    string
	kubeconfig string
}

type spec struct {
	Name   string `json:"name"`
	Serial bool   `json:"serial"` // wants the cluster for itself
}

func buildSuite(ctx context.Context, o options) (*suite, error) {
	steps, err := image.ConformanceCatalogue(ctx)
	if err != nil {
		return nil, err
	}
	source, err := image.FindSource()
	if err != nil {
		return nil, err
	}
	builder := &image.Builder{Steps: steps, Source: source, DataDir: o.data, Out: os.Stdout}
	if err := builder.Build(ctx); err != nil {
		return nil, err
	}
	programs, err := builder.Path("bin/conformance")
	return &suite{
		programs: programs, images: builder.WriteImages, kubectl: filepath.Join(o.bin, "kubectl"),
		driver: filepath.Join(source, "test", "conformance", "storage-driver.yaml"),
	}, err
}

func (s *suite) arguments() []string {
	return []string{
		"--kubeconfig=" + s.kubeconfig, "--kubectl-path=" + s.kubectl, "--provider=skeleton", "--disable-log-dump",
		"--storage.testdriver=" + s.driver,
	}
}

// list asks the suite for its specs.
func (s *suite) list(ctx context.Context) ([]spec, error) {
	dir, err := os.MkdirTemp("", "mke-conformance-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	args := append(s.arguments(), "--ginkgo.dry-run", "--ginkgo.silence-skips", "--ginkgo.no-color", "--ginkgo.json-report="+filepath.Join(dir, reportFile))
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, "e2e.test"), args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("list the specs: %w\n%s", err, lastLines(out, 10))
	}
	reports, err := readReport(filepath.Join(dir, reportFile))
	if err != nil {
		return nil, err
	}
	var specs []spec
	for _, r := range reports {
		if r.LeafNodeType == leafSpec {
			specs = append(specs, spec{r.name(), r.IsSerial || serialMark.MatchString(r.name())})
		}
	}
	return specs, nil
}

var serialMark = regexp.MustCompile(`\[(Serial|Disruptive)\]`)

// run runs the named specs and returns how many failed. Interrupted, it lets the suite clean up and keeps what is done.
func (s *suite) run(ctx context.Context, r *run, names []string) (failed int, err error) {
	patterns := make([]string, len(names))
	for i, name := range names {
		patterns[i] = regexp.QuoteMeta(name)
	}
	args := []string{
		"--procs=" + strconv.Itoa(r.Procs), "-v", "--no-color", "--silence-skips", "--timeout=6h", "--grace-period=1m",
		"--output-dir=" + r.dir, "--json-report=" + reportFile, "--junit-report=junit.xml",
		"--focus=(?:" + strings.Join(patterns, "|") + ")$", filepath.Join(s.programs, "e2e.test"), "--",
	}
	// The suite only waits and watches: whoever else works on this machine goes first.
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "5", filepath.Join(s.programs, "ginkgo")}, append(args, s.arguments()...)...)...)
	cmd.Dir = r.dir
	// Its own process group: the terminal's Ctrl-C reaches us only, and we pass it on once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Minute

	log, err := os.Create(filepath.Join(r.dir, outputFile))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	progress := newProgress(os.Stdout, r.Phase, len(names))
	cmd.Stdout = io.MultiWriter(log, progress)
	cmd.Stderr = cmd.Stdout
	stop := progress.every(15 * time.Second)
	err = cmd.Run()
	stop()
	if err := r.end(); err != nil {
		return progress.failed, err
	}
	switch {
	case ctx.Err() != nil:
		return progress.failed, errors.New("interrupted; what has passed is kept, run again for the rest")
	case err != nil && progress.failed == 0:
		return 0, fmt.Errorf("the suite did not run: %w, see %s", err, log.Name())
	}
	return progress.failed, nil
}

// leafSpec tells specs from the suite's own preparations.
const leafSpec = "It"

// specReport is what we use of ginkgo's report of a spec.
type specReport struct {
	ContainerHierarchyTexts []string
	LeafNodeText            string
	LeafNodeType            string
	State                   string
	IsSerial                bool
	StartTime               time.Time
	RunTime                 time.Duration
	Failure                 struct{ Message string }
}

func (r specReport) name() string {
	return strings.Join(append(r.ContainerHierarchyTexts[:len(r.ContainerHierarchyTexts):len(r.ContainerHierarchyTexts)], r.LeafNodeText), " ")
}

func readReport(path string) ([]specReport, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var suites []struct{ SpecReports []specReport }
	if err := json.NewDecoder(file).Decode(&suites); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var all []specReport
	for _, suite := range suites {
		all = append(all, suite.SpecReports...)
	}
	return all, nil
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
