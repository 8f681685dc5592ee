package image

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"magalu.cloud/mke/internal/image/store"
)

// fake is a recipe that counts its runs and writes one file.
type fake struct {
	Text string

	needs   []*Step
	files   []string
	lane    string
	started chan struct{}
	hang    bool
	fail    error

	mu   sync.Mutex
	runs int
}

func (f *fake) inputs() []*Step   { return f.needs }
func (f *fake) sources() []string { return f.files }
func (f *fake) resource() string  { return f.lane }

func (f *fake) make(ctx context.Context, w *work) error {
	f.mu.Lock()
	f.runs++
	f.mu.Unlock()
	for _, input := range f.needs {
		if _, err := os.Stat(filepath.Join(w.path(input), "file")); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(w.out, "file"), []byte(f.Text), 0o644); err != nil {
		return err
	}
	if f.hang {
		close(f.started)
		<-ctx.Done()
		return ctx.Err()
	}
	return f.fail
}

func step(name string, r *fake) *Step { return &Step{Kind: "bin", Name: name, Version: "1", recipe: r} }

func newBuilder(t *testing.T, steps ...*Step) *Builder {
	t.Helper()
	return &Builder{Steps: steps, Source: t.TempDir(), DataDir: t.TempDir(), Out: &bytes.Buffer{}}
}

func build(t *testing.T, b *Builder, names ...string) {
	t.Helper()
	if err := b.Build(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
}

func TestKeyChanges(t *testing.T) {
	source := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(source, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("dir/go.mod", "module x")
	input := &fake{Text: "a"}
	user := &fake{Text: "b", files: []string{"dir"}}
	inputStep := step("input", input)
	userStep := step("user", user)
	user.needs = []*Step{inputStep}
	key := func() string {
		t.Helper()
		k, err := keys([]*Step{inputStep, userStep}, source)
		if err != nil {
			t.Fatal(err)
		}
		return k[userStep]
	}
	last := key()
	for _, tc := range []struct {
		name    string
		change  func()
		changes bool
	}{
		{"nothing", func() {}, false},
		{"recipe", func() { user.Text = "c" }, true},
		{"version", func() { userStep.Version = "2" }, true},
		{"source edited", func() { write("dir/go.mod", "module y") }, true},
		{"source added", func() { write("dir/sub/main.go", "package main") }, true},
		{"source executable", func() { _ = os.Chmod(filepath.Join(source, "dir/go.mod"), 0o755) }, true},
		{"test added", func() { write("dir/main_test.go", "package main") }, false},
		{"file elsewhere", func() { write("other/main.go", "package main") }, false},
		{"input's recipe", func() { input.Text = "d" }, true},
	} {
		tc.change()
		if now := key(); (now != last) != tc.changes {
			t.Errorf("%s: key changed = %v, want %v", tc.name, now != last, tc.changes)
		} else {
			last = now
		}
	}
}

func TestKeysWantInputsFirst(t *testing.T) {
	a := step("a", &fake{})
	b := step("b", &fake{needs: []*Step{a}})
	if _, err := keys([]*Step{b, a}, t.TempDir()); err == nil {
		t.Fatal("an input listed after its user was accepted")
	}
}

func TestBuildRunsEachStepOnce(t *testing.T) {
	a, b, c := &fake{Text: "a"}, &fake{Text: "b"}, &fake{Text: "c"}
	sa := step("a", a)
	b.needs = []*Step{sa}
	sb := step("b", b)
	builder := newBuilder(t, sa, sb, step("c", c))
	build(t, builder, "b")
	if a.runs != 1 || b.runs != 1 || c.runs != 0 {
		t.Fatalf("runs %d %d %d, want 1 1 0", a.runs, b.runs, c.runs)
	}
	build(t, builder)
	if a.runs != 1 || b.runs != 1 || c.runs != 1 {
		t.Fatalf("runs %d %d %d, want 1 1 1", a.runs, b.runs, c.runs)
	}
	// A finished artefact does not need its inputs any more.
	if err := os.RemoveAll(filepath.Join(builder.DataDir, "cache", "bin", "a")); err != nil {
		t.Fatal(err)
	}
	build(t, builder, "bin/b")
	if a.runs != 1 {
		t.Fatalf("the input of a cached step was built again")
	}
	if err := builder.Build(t.Context(), "nothing"); err == nil {
		t.Fatal("an unknown name was accepted")
	}
}

func TestBuildPrunesWhatNobodyHolds(t *testing.T) {
	a := &fake{Text: "1"}
	builder := newBuilder(t, step("a", a))
	dir := filepath.Join(builder.DataDir, "cache", "bin", "a")
	artefacts := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "*[0-9a-f]"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	build(t, builder)
	first := artefacts()[0]
	user := filepath.Join(t.TempDir(), "vm")
	if err := errors.Join(os.Mkdir(user, 0o755), store.Hold(first, user)); err != nil {
		t.Fatal(err)
	}
	a.Text = "2"
	build(t, builder)
	if got := artefacts(); len(got) != 2 {
		t.Fatalf("artefacts %v, want the held one and the new one", got)
	}
	if err := os.Remove(user); err != nil {
		t.Fatal(err)
	}
	a.Text = "3"
	build(t, builder)
	if got := artefacts(); len(got) != 1 || got[0] == first {
		t.Fatalf("artefacts %v, want only the new one", got)
	}
}

func TestFailedStepLeavesNothing(t *testing.T) {
	broken := errors.New("broken")
	a := &fake{Text: "a", fail: broken}
	sa := step("a", a)
	b := &fake{Text: "b", needs: []*Step{sa}}
	builder := newBuilder(t, sa, step("b", b))
	if err := builder.Build(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("error %v, want %v", err, broken)
	}
	if b.runs != 0 {
		t.Fatal("a step ran without its input")
	}
	noArtefacts(t, builder.DataDir)
	a.fail = nil
	build(t, builder)
}

func TestInterruptedStepLeavesNothing(t *testing.T) {
	a := &fake{Text: "a", hang: true, started: make(chan struct{})}
	builder := newBuilder(t, step("a", a))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-a.started
		cancel()
	}()
	if err := builder.Build(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want canceled", err)
	}
	noArtefacts(t, builder.DataDir)
}

// A killed build cannot clean up; the next one does.
func TestNextBuildRemovesLeftovers(t *testing.T) {
	builder := newBuilder(t, step("a", &fake{Text: "a"}))
	leftover := filepath.Join(builder.DataDir, "cache", "debian", "node", temporary+"0123")
	if err := os.MkdirAll(filepath.Join(leftover, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	build(t, builder)
	if _, err := os.Stat(leftover); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("leftover is still there: %v", err)
	}
}

func TestBuildsWaitForEachOther(t *testing.T) {
	builder := newBuilder(t, step("a", &fake{Text: "a"}))
	unlock, err := cacheOf(builder.DataDir).lock(t.Context(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	done, waits := make(chan error, 1), make(chan struct{})
	builder.Out = writer(func(text string) {
		if strings.Contains(text, "waiting for another build") {
			close(waits)
		}
	})
	go func() { done <- builder.Build(t.Context()) }()
	select {
	case err := <-done:
		t.Fatalf("a build ran beside another one: %v", err)
	case <-waits:
	}
	unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// writer is told of every line.
type writer func(text string)

func (w writer) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}

func TestOneStepPerResource(t *testing.T) {
	a := &fake{Text: "a", lane: "go"}
	b := &fake{Text: "b", lane: "go"}
	c := &fake{Text: "c", lane: "debian"}
	builder := newBuilder(t, step("a", a), step("b", b), step("c", c))
	k, err := keys(builder.Steps, builder.Source)
	if err != nil {
		t.Fatal(err)
	}
	r := newRound(builder, cacheOf(builder.DataDir), k, builder.Steps)
	if first, second := r.next(), r.next(); first.Name != "a" || second.Name != "c" {
		t.Fatalf("at once ran %s and %s, want a and c", first, second)
	}
	r.finish(builder.Steps[0], nil)
	if third := r.next(); third.Name != "b" {
		t.Fatalf("then ran %s, want b", third)
	}
}

func noArtefacts(t *testing.T, dataDir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dataDir, "cache", "bin", "*", "*"))
	if err != nil || len(names) != 0 {
		t.Fatalf("left in the cache: %v, %v", names, err)
	}
	hidden, err := filepath.Glob(filepath.Join(dataDir, "cache", "bin", "*", ".*"))
	if err != nil || len(hidden) != 0 {
		t.Fatalf("left in the cache: %v, %v", hidden, err)
	}
}
