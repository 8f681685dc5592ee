package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// With Egress the host routes for the edge: forwarding is switched on for the
// edge bridge and the uplink only, not for the host as a whole, and a table of
// ours translates addresses and keeps everybody else from being forwarded. The
// table also remembers on which links we switched forwarding on; Teardown
// switches it off again, without any other record.

const switchedSet = "switched"

// ensureEgress opens the way to the world where there is one, or closes it.
func (p *Plane) ensureEgress(ctx context.Context, host *netlink.Handle) error {
	if !p.cfg.Egress {
		return p.removeEgress(ctx)
	}
	uplink, err := defaultLink(host)
	if err != nil || uplink == "" { // no way now; asked again by the next EnsureEdge
		return err
	}
	switched, _, err := p.switched(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(switched, uplink) && !forwards(uplink) {
		switched = append(switched, uplink)
	}
	if err := nft(ctx, p.egressRules(switched)); err != nil {
		return fmt.Errorf("open the way to the world: %w", err)
	}
	for _, link := range append(switched, p.EdgeBridge()) {
		if err := setForwarding(link, "1"); err != nil {
			return err
		}
	}
	return nil
}

// removeEgress closes the way to the world. Where it is closed, nothing happens.
func (p *Plane) removeEgress(ctx context.Context) error {
	switched, there, err := p.switched(ctx)
	if err != nil || !there {
		return err
	}
	for _, link := range switched {
		if err := setForwarding(link, "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := setForwarding(p.EdgeBridge(), "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nft(ctx, "delete table ip "+p.cfg.Prefix)
}

func (p *Plane) egressRules(switched []string) string {
	s, edge := &script{}, p.EdgeBridge()
	s.line("add table ip %s", p.cfg.Prefix)
	s.line("delete table ip %s", p.cfg.Prefix)
	s.block("table ip "+p.cfg.Prefix, func() {
		var names []string
		for _, link := range switched {
			names = append(names, fmt.Sprintf("%q", link))
		}
		s.set(switchedSet, "type ifname", names)
		s.block("chain forward", func() {
			s.line("type filter hook forward priority filter; policy accept;")
			s.line("iifname %q accept", edge)
			s.line("oifname %q ct state established,related accept", edge)
			s.line("oifname %q drop", edge)
			s.line("iifname @%s drop", switchedSet)
		})
		s.block("chain postrouting", func() {
			s.line("type nat hook postrouting priority srcnat; policy accept;")
			s.line("oifname != %q ip saddr %s masquerade", edge, p.cfg.Edge)
		})
	})
	return s.String()
}

// switched returns the links on which we switched forwarding on, and whether our table is there.
func (p *Plane) switched(ctx context.Context) (links []string, there bool, err error) {
	tables, err := exec.CommandContext(ctx, "nft", "list", "tables", "ip").Output()
	if err != nil {
		return nil, false, fmt.Errorf("list the tables of nftables: %w", err)
	}
	if !slices.Contains(strings.Split(string(tables), "\n"), "table ip "+p.cfg.Prefix) {
		return nil, false, nil
	}
	text, err := exec.CommandContext(ctx, "nft", "-j", "list", "set", "ip", p.cfg.Prefix, switchedSet).Output()
	if err != nil {
		return nil, true, fmt.Errorf("read the table %s of nftables: %w", p.cfg.Prefix, err)
	}
	var answer struct {
		NFTables []struct {
			Set struct {
				Elem []string `json:"elem"`
			} `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, true, fmt.Errorf("read the table %s of nftables: %w", p.cfg.Prefix, err)
	}
	for _, item := range answer.NFTables {
		links = append(links, item.Set.Elem...)
	}
	return links, true, nil
}

// defaultLink returns the link of the host's default route, "" without one.
func defaultLink(host *netlink.Handle) (string, error) {
	routes, err := host.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return "", fmt.Errorf("list the host's routes: %w", err)
	}
	for _, route := range routes {
		if toPrefix(route.Dst).Bits() > 0 || route.Gw == nil {
			continue
		}
		link, err := host.LinkByIndex(route.LinkIndex)
		if err != nil {
			return "", fmt.Errorf("look up the uplink: %w", err)
		}
		return link.Attrs().Name, nil
	}
	return "", nil
}

func forwardingPath(link string) string {
	return filepath.Join("/proc/sys/net/ipv4/conf", link, "forwarding") // a link's name may have dots
}

func forwards(link string) bool {
	text, err := os.ReadFile(forwardingPath(link))
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

func setForwarding(link, value string) error {
	if err := os.WriteFile(forwardingPath(link), []byte(value), 0o644); err != nil {
		return fmt.Errorf("switch forwarding of %s: %w", link, err)
	}
	return nil
}
