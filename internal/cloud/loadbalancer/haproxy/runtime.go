package haproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// runtimeTimeout for a command on the socket; answers take milliseconds.
const runtimeTimeout = 10 * time.Second

// command sends one command to the process' socket and returns the answer.
func (p Process) command(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", p.path(socketFile))
	if err != nil {
		return "", fmt.Errorf("talk to haproxy: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, text+"\n"); err != nil {
		return "", fmt.Errorf("talk to haproxy: %w", err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("talk to haproxy: %w", err)
	}
	return strings.TrimSpace(string(answer)), nil
}

// expect is command for commands that answer one of the given texts when they succeed.
func (p Process) expect(ctx context.Context, text string, good ...string) error {
	answer, err := p.command(ctx, text)
	if err != nil {
		return err
	}
	if !slices.Contains(good, answer) {
		return fmt.Errorf("haproxy answered %q to %q", answer, text)
	}
	return nil
}

// server is one row of `show servers state`.
type server struct {
	name        string
	maintenance bool
}

func (p Process) servers(ctx context.Context, backend string) ([]server, error) {
	answer, err := p.command(ctx, "show servers state "+backend)
	if err != nil {
		return nil, err
	}
	return parseServers(answer)
}

// parseServers reads version 1 of the format: see "show servers state" in HAProxy's management guide.
func parseServers(answer string) ([]server, error) {
	version, rest, _ := strings.Cut(answer, "\n")
	if strings.TrimSpace(version) != "1" {
		return nil, fmt.Errorf("haproxy answered %q to show servers state", firstLine(answer))
	}
	var all []server
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) < 7 {
			return nil, fmt.Errorf("haproxy answered the row %q to show servers state", line)
		}
		all = append(all, server{name: fields[3], maintenance: fields[6] != "0"})
	}
	return all, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// syncServers adds, enables and removes servers of the running process. A
// removed server that still has connections keeps them, and gets no new ones.
func (p Process) syncServers(ctx context.Context, backend Backend) error {
	have, err := p.servers(ctx, backend.ID)
	if err != nil {
		return err
	}
	for _, target := range backend.Targets {
		i := slices.IndexFunc(have, func(s server) bool { return s.name == target.ID })
		if i >= 0 && !have[i].maintenance {
			continue
		}
		name := backend.ID + "/" + target.ID
		if i < 0 {
			add := fmt.Sprintf("add server %s %s%s", name, target.Address, serverOptions(backend))
			if err := p.expect(ctx, add, "New server registered."); err != nil {
				return err
			}
		}
		if backend.Check != nil {
			if err := p.expect(ctx, "enable health "+name, ""); err != nil {
				return err
			}
		}
		if err := p.expect(ctx, "enable server "+name, ""); err != nil {
			return err
		}
	}
	for _, s := range have {
		if slices.ContainsFunc(backend.Targets, func(t Target) bool { return t.ID == s.name }) {
			continue
		}
		name := backend.ID + "/" + s.name
		if err := p.expect(ctx, "set server "+name+" state maint", ""); err != nil {
			return err
		}
		if _, err := p.command(ctx, "del server "+name); err != nil { // refused while it has connections
			return err
		}
	}
	return nil
}

// syncMap replaces the table of ACLs in one step.
func (p Process) syncMap(ctx context.Context, content string) error {
	path := p.path(mapFile)
	answer, err := p.command(ctx, "prepare map "+path)
	if err != nil {
		return err
	}
	version, ok := strings.CutPrefix(answer, "New version created: ")
	if !ok {
		return fmt.Errorf("haproxy answered %q to prepare map", answer)
	}
	// A line that is too long for one command is refused, so the table goes in pieces.
	lines := slices.Collect(strings.Lines(content))
	for chunk := range slices.Chunk(lines, 100) {
		if err := p.expect(ctx, fmt.Sprintf("add map @%s %s <<\n%s", version, path, strings.Join(chunk, "")), ""); err != nil {
			return err
		}
	}
	return p.expect(ctx, fmt.Sprintf("commit map @%s %s", version, path), "")
}
