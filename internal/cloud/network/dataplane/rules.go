package dataplane

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// nftTimeout is far above what loading takes (milliseconds); it only guards against a hanging kernel lock.
const nftTimeout = 30 * time.Second

// loadRules loads the ruleset of r in one transaction, unless it is the one in force.
func (p *Plane) loadRules(ctx context.Context, r Router) error {
	ruleset := Ruleset(r, p.cfg.Edge)
	if p.loaded(r.ID, ruleset) {
		return nil
	}
	if err := Inside(p.NetnsPath(r.ID), func() error { return nft(ctx, ruleset) }); err != nil {
		p.remember(r.ID, "")
		return fmt.Errorf("load the rules of router %s: %w", r.ID, err)
	}
	p.remember(r.ID, ruleset)
	return nil
}

// nft runs a script in the network namespace of the calling thread.
func nft(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nftTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, firstLines(stderr.String(), 3))
	}
	return nil
}

func firstLines(text string, n int) string {
	lines := strings.SplitN(strings.TrimSpace(text), "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "; ")
}
