// Package progress tells a person what a long command is doing: one line per finished phase with its duration,
// and on a terminal a live line for the current one.
package progress

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Printer writes phases to one stream. Its methods are safe for concurrent use.
type Printer struct {
	out   io.Writer
	live  bool
	width int

	mu      sync.Mutex
	current *Phase
}

// New returns a Printer for out; the live line is shown only when out is a terminal.
func New(out io.Writer) *Printer {
	p := &Printer{out: out, width: 80}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.live = true
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			p.width = w
		}
	}
	return p
}

// Phase is one step of the work.
type Phase struct {
	printer *Printer
	name    string
	started time.Time
	detail  string
}

// Run runs one phase, shows it while it runs, and reports how it ended.
func (p *Printer) Run(ctx context.Context, name string, work func(context.Context, *Phase) error) error {
	ph := &Phase{printer: p, name: name, started: time.Now()}
	p.begin(ph)
	stop := p.tick()
	err := work(ctx, ph)
	stop()
	p.end(ph, err)
	return err
}

// Detail says what the phase is waiting for or doing; the same text again prints nothing.
func (ph *Phase) Detail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p := ph.printer
	p.mu.Lock()
	defer p.mu.Unlock()
	if text == ph.detail {
		return
	}
	ph.detail = text
	if p.live {
		p.draw()
		return
	}
	fmt.Fprintf(p.out, "      %s\n", text)
}

// Line prints a line that stays, for example the result of one part of the phase.
func (ph *Phase) Line(format string, args ...any) {
	p := ph.printer
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, "      %s\n", fmt.Sprintf(format, args...))
	p.draw()
}

func (p *Printer) begin(ph *Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = ph
	if p.live {
		p.draw()
		return
	}
	fmt.Fprintf(p.out, "  ... %s\n", ph.name)
}

func (p *Printer) end(ph *Phase, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.current = nil
	mark := "ok "
	if err != nil {
		mark = "ERR"
	}
	fmt.Fprintf(p.out, "  %s %s (%s)\n", mark, ph.name, Seconds(time.Since(ph.started)))
}

// tick redraws the live line each half second until the returned function is called.
func (p *Printer) tick() (stop func()) {
	if !p.live {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				p.mu.Lock()
				p.draw()
				p.mu.Unlock()
			}
		}
	}()
	return func() { close(done) }
}

// draw and clear expect the lock.
func (p *Printer) draw() {
	if !p.live || p.current == nil {
		return
	}
	line := fmt.Sprintf("  ... %s %s", p.current.name, Seconds(time.Since(p.current.started)))
	if p.current.detail != "" {
		line += " · " + p.current.detail
	}
	if r := []rune(line); len(r) > p.width-1 {
		line = string(r[:p.width-1])
	}
	fmt.Fprintf(p.out, "\r\x1b[2K%s", line)
}

func (p *Printer) clear() {
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[2K")
	}
}

// Seconds formats a duration for people: tenths below a minute, whole seconds above.
func Seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
