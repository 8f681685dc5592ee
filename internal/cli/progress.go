package cli

import (
	"fmt"
	"io"
	"time"

	"magalu.cloud/mke/internal/progress"
)

// progressView shows a wait on standard error: a line for each finished phase and, on a terminal, a live line
// for the current one. Without a terminal there are plain lines only, in quiet mode nothing.
type progressView struct {
	w       io.Writer // nil when quiet
	width   int       // of the terminal; 0 without one
	now     func() time.Time
	target  target
	started time.Time
	shown   map[string]bool // finished phases already written
	last    string          // last plain line about the current phase
}

func (a *app) newProgress(t target) *progressView {
	p := &progressView{now: a.now, target: t, started: a.now(), shown: map[string]bool{}, width: terminalWidth(a.Err)}
	if !a.quiet() {
		p.w = a.Err
	}
	return p
}

func (p *progressView) update(s snapshot) {
	if p.w == nil {
		return
	}
	p.clear()
	var current *phase
	for i, ph := range s.phases {
		switch ph.State {
		case stateSucceeded, stateFailed:
			p.phaseDone(ph)
		case stateRunning:
			current = &s.phases[i] // the last one that runs: the newest
		}
	}
	if s.done || s.failure != "" {
		return
	}
	line := s.message
	since := p.started
	if current != nil {
		line = current.Name
		if detail := firstOf(current.Message, s.message); detail != "" && detail != current.Name {
			line += ": " + detail
		}
		if current.StartedAt != nil {
			since = *current.StartedAt
		}
	}
	p.currentLine(firstOf(line, "waiting"), since)
}

func (p *progressView) phaseDone(ph phase) {
	if p.shown[ph.Name] {
		return
	}
	p.shown[ph.Name] = true
	mark := "ok "
	if ph.State == stateFailed {
		mark = "ERR"
	}
	took := ""
	if ph.StartedAt != nil && ph.FinishedAt != nil {
		took = " (" + progress.Seconds(ph.FinishedAt.Sub(*ph.StartedAt)) + ")"
	}
	if ph.State == stateFailed && ph.Message != "" {
		took += ": " + ph.Message
	}
	fmt.Fprintf(p.w, "  %s %s%s\n", mark, ph.Name, took)
}

func (p *progressView) currentLine(text string, since time.Time) {
	if p.width == 0 {
		if text != p.last {
			p.last = text
			fmt.Fprintf(p.w, "  ... %s\n", text)
		}
		return
	}
	// The clocks of server and terminal may differ: never show a negative time.
	line := []rune(fmt.Sprintf("  ... %s  %s", progress.Seconds(max(p.now().Sub(since), 0)), text))
	if len(line) >= p.width {
		line = append(line[:p.width-2], '…')
	}
	fmt.Fprintf(p.w, "%s", string(line))
}

// finished says that all is done.
func (p *progressView) finished() {
	if p.w == nil {
		return
	}
	p.clear()
	past := map[string]string{"create": "created", "update": "updated", "delete": "deleted"}[p.target.verb]
	fmt.Fprintf(p.w, "%s %s in %s\n", p.target.what, firstOf(past, p.target.verb+": done"), progress.Seconds(p.now().Sub(p.started)))
}

// close takes the live line away, so that what follows begins on an empty one.
func (p *progressView) close() {
	if p.w != nil {
		p.clear()
	}
}

func (p *progressView) clear() {
	if p.width > 0 {
		fmt.Fprint(p.w, "\r\x1b[2K")
	}
}
