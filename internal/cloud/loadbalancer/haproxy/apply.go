package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Apply makes the running process do what spec says: it is started when there is
// none, changed in place where only targets or ACLs differ, else replaced
// without closing a connection. Equal specs change nothing.
func (p Process) Apply(ctx context.Context, spec Spec) error {
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return fmt.Errorf("load balancer: %w", err)
	}
	frame, acls := skeleton(spec, p.Dir), aclMap(spec)
	config := fill(frame, spec)
	pid := p.PID()
	oldMap, _ := os.ReadFile(p.path(mapFile))
	oldConfig, _ := os.ReadFile(p.path(configFile))
	loaded := pid > 0 && p.loaded() == loadedMark(pid, frame)

	if err := p.writeCertificates(spec); err != nil {
		return err
	}
	if err := p.write(ctx, config, acls, string(oldConfig), string(oldMap)); err != nil {
		return err
	}
	p.dropCertificates(spec) // the configuration does not name the others any more
	if loaded {
		err := p.change(ctx, spec, acls, string(oldMap) != acls)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		} // what cannot be changed in place, a new process knows from its files
	}
	return p.replace(ctx, pid, spec, frame)
}

func loadedMark(pid int, frame string) string { return fmt.Sprintf("%d %s", pid, fingerprint(frame)) }

func (p Process) loaded() string {
	text, _ := os.ReadFile(p.path(loadedFile))
	return string(text)
}

// write puts the files where a start would read them. The table of ACLs is first
// written under its name only once the configuration is known to be good.
func (p Process) write(ctx context.Context, config, acls, oldConfig, oldMap string) error {
	if acls != oldMap {
		// Not in force before `change`: should we die in between, the next Apply must see the difference.
		_ = os.Remove(p.path(loadedFile))
		if err := replaceFile(p.path(mapFile), acls); err != nil {
			return err
		}
	}
	if config == oldConfig {
		return nil
	}
	draft := p.path(configFile) + ".new"
	if err := os.WriteFile(draft, []byte(config), 0o600); err != nil {
		return fmt.Errorf("load balancer: %w", err)
	}
	if err := check(ctx, draft); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return os.Rename(draft, p.path(configFile))
}

// writeCertificates puts the certificates where the configuration names them. A file with such a name has its content.
func (p Process) writeCertificates(spec Spec) error {
	for _, l := range spec.Listeners {
		if l.Certificate == "" {
			continue
		}
		path := p.path(certificateFile(l.Certificate))
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := replaceFile(path, l.Certificate); err != nil {
			return err
		}
	}
	return nil
}

func (p Process) dropCertificates(spec Spec) {
	entries, _ := os.ReadDir(p.Dir) // the next Apply tries again
	for _, entry := range entries {
		needed := func(l Listener) bool { return l.Certificate != "" && certificateFile(l.Certificate) == entry.Name() }
		if strings.HasPrefix(entry.Name(), certificatePrefix) && !slices.ContainsFunc(spec.Listeners, needed) {
			_ = os.Remove(p.path(entry.Name()))
		}
	}
}

func replaceFile(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		return fmt.Errorf("load balancer: %w", err)
	}
	return os.Rename(path+".new", path)
}

// change changes the running process in place.
func (p Process) change(ctx context.Context, spec Spec, acls string, mapChanged bool) error {
	for _, backend := range spec.Backends {
		if err := p.syncServers(ctx, backend); err != nil {
			return err
		}
	}
	if !mapChanged {
		return nil
	}
	if err := p.syncMap(ctx, acls); err != nil {
		return err
	}
	return replaceFile(p.path(loadedFile), loadedMark(p.PID(), skeleton(spec, p.Dir)))
}

// replace starts a new process; the one with the id old, if any, hands its sockets over.
func (p Process) replace(ctx context.Context, old int, spec Spec, frame string) error {
	_ = os.Remove(p.path(loadedFile))
	if old == 0 {
		// Nobody else may hold the addresses: not one whose file with the id was
		// lost, nor one in a namespace that is gone.
		if err := stop(ctx, find(p.owns)); err != nil {
			return err
		}
		_ = os.Remove(p.path(pidFile))
	}
	p.keepState(ctx, old, spec)
	if err := p.start(ctx, old); err != nil {
		return err
	}
	pid := p.PID()
	if pid == 0 || pid == old {
		return fmt.Errorf("haproxy ended right after its start: %s", strings.TrimSpace(p.startLog()))
	}
	return replaceFile(p.path(loadedFile), loadedMark(pid, frame))
}

// checkPort is the column of the port at which a target is checked, in version 1 of `show servers state`.
const checkPort = 21

// keepState lets the next process begin with what this one knows of its targets' health. Without, it would try the sick ones first.
// Targets that are not checked any more must not stay sick, and the port of a row wins over the configuration's: a row of a check
// at another port would go on asking there.
func (p Process) keepState(ctx context.Context, old int, spec Spec) {
	state := "1\n" // the format's version
	if answer, err := p.command(ctx, "show servers state"); old > 0 && err == nil {
		for line := range strings.Lines(answer + "\n") {
			if fields := strings.Fields(line); len(fields) > 1 && (fields[0] == "#" || len(fields) > checkPort && spec.checksAt(fields[1], fields[checkPort])) {
				state += line
			}
		}
	}
	_ = replaceFile(p.path(stateFile), state)
}

func (p Process) startLog() string {
	text, _ := os.ReadFile(p.path(stderrFile))
	return lastLines(text, 3)
}
