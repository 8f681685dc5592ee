package machine

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Host runs the machines whose folders are below Dir.
type Host struct {
	Dir    string
	Logger *slog.Logger

	rules atomic.Pointer[Rules]

	mu       sync.Mutex
	machines map[string]*machine
	ctx      context.Context //nolint:containedctx // of Open: machines live until it is done
}

// Open returns the host with all machines running that shall.
func Open(ctx context.Context, dir string, logger *slog.Logger) (*Host, error) {
	h := &Host{Dir: dir, Logger: logger, machines: map[string]*machine{}, ctx: ctx}
	if err := h.LoadRules(); err != nil {
		return nil, err
	}
	ids, err := List(dir)
	if err != nil {
		return nil, err
	}
	spread := time.Duration(len(ids)) * 2 * time.Millisecond // they do not all fall upon their API server at once
	for _, id := range ids {
		if err := h.sync(id, false, spread); err != nil {
			logger.Error("hollow: a machine could not be taken up", "instance", id, "error", err)
		}
	}
	return h, nil
}

// Close ends all machines, as losing power does; their folders keep what they shall do.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, m := range h.machines {
		m.cancel()
		defer m.wait.Wait()
		delete(h.machines, id)
	}
}

// Sync makes a machine do what its folder says. cold is a start of the VM.
func (h *Host) Sync(id string, cold bool) error {
	if !fullID.MatchString(id) {
		return fmt.Errorf("%q is not the id of an instance", id)
	}
	return h.sync(id, cold, 0)
}

func (h *Host) sync(id string, cold bool, spread time.Duration) error {
	folder := Folder(filepath.Join(h.Dir, id))
	phase, err := folder.Phase()
	if err != nil {
		return err
	}
	h.mu.Lock()
	m := h.machines[id]
	if phase == Running {
		defer h.mu.Unlock()
		if m != nil {
			return nil
		}
		return h.start(id, folder, cold, spread)
	}
	delete(h.machines, id)
	h.mu.Unlock()
	if m != nil {
		m.stop()
	}
	return nil
}

func (h *Host) start(id string, folder Folder, cold bool, spread time.Duration) error {
	spec, err := folder.spec()
	if err != nil {
		return err
	}
	m := &machine{host: h, folder: folder, spec: spec, console: console(folder.Console()), changed: make(chan struct{}, 1)}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(h.ctx)
	h.machines[id] = m
	m.wait.Go(func() {
		sleep(ctx, rand.N(spread+1))
		m.run(ctx, cold)
	})
	return nil
}

// LoadRules takes the recorded behaviors up, at once for all machines.
func (h *Host) LoadRules() error {
	rules, err := LoadRules(h.Dir)
	if err != nil {
		return err
	}
	h.rules.Store(&rules)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.machines {
		select {
		case m.changed <- struct{}{}:
		default:
		}
	}
	return nil
}

// Count is how many machines run.
func (h *Host) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.machines)
}
