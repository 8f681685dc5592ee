package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
)

// Config names what a Plane makes, so that two regions (and tests) do not meet.
type Config struct {
	Prefix string       // of every name on the host: at most 4 characters, such as mke
	Edge   netip.Prefix // the public pool
	HostIP netip.Addr   // the host's own address in Edge
	Egress bool         // whether VPCs reach the world through the host
	Logger *slog.Logger
}

// Plane is the kernel's side of a region. Its methods may be called at any time,
// from several goroutines (but one at a time for one router).
type Plane struct {
	cfg   Config
	mu    sync.Mutex
	rules map[string]string // the ruleset last loaded, by router
	inUse map[string]uses   // what was in use then, by router
}

// New returns a Plane; it does not touch the machine.
func New(cfg Config) *Plane {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Plane{cfg: cfg, rules: map[string]string{}, inUse: map[string]uses{}}
}

// EdgeBridge is the name of the bridge with the public pool.
func (p *Plane) EdgeBridge() string { return p.cfg.Prefix + "-edge" }

// NetnsPath is where the namespace of a router is.
func (p *Plane) NetnsPath(routerID string) string {
	return filepath.Join(netnsDir, p.netnsName(routerID))
}

func (p *Plane) netnsName(routerID string) string { return p.cfg.Prefix + "-vpc-" + routerID }
func (p *Plane) uplink(routerID string) string    { return p.cfg.Prefix + "-r-" + routerID }

func bridgeName(subnetID string) string { return "sn-" + subnetID }
func portName(portID string) string     { return "p-" + portID }

// EnsureEdge makes the edge bridge with the host's address on it.
func (p *Plane) EnsureEdge(ctx context.Context) error {
	host, err := netlink.NewHandle()
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()
	name := p.EdgeBridge()
	if err := ensureBridge(host, name, MACFor(p.cfg.HostIP)); err != nil {
		return err
	}
	disableIPv6(name)
	address := netip.PrefixFrom(p.cfg.HostIP, p.cfg.Edge.Bits())
	if _, err := ensureAddresses(host, name, []netip.Prefix{address}); err != nil {
		return err
	}
	if err := setUp(host, name); err != nil {
		return err
	}
	return p.ensureEgress(ctx, host)
}

// Routers lists the IDs of the routers on this machine.
func (p *Plane) Routers() ([]string, error) {
	names, err := namedNetns(p.netnsName(""))
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		names[i] = strings.TrimPrefix(name, p.netnsName(""))
	}
	return names, nil
}

// Remove removes a router and all that is in it. Removing one that does not exist succeeds.
func (p *Plane) Remove(_ context.Context, routerID string) error {
	p.forget(routerID)
	host, err := netlink.NewHandle()
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()
	return errors.Join(deleteLink(host, p.uplink(routerID)), DeleteNetns(p.netnsName(routerID)))
}

// Teardown removes every namespace, link and table with the region's prefix. It
// needs no record of what was made; processes in the namespaces must be gone.
func (p *Plane) Teardown(ctx context.Context) error {
	names, err := namedNetns(p.cfg.Prefix + "-")
	errs := []error{err, p.removeEgress(ctx)}
	for _, name := range names {
		errs = append(errs, DeleteNetns(name))
	}
	host, err := netlink.NewHandle()
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("open netlink: %w", err))...)
	}
	defer host.Close()
	links, err := host.LinkList()
	errs = append(errs, err)
	for _, link := range links {
		if name := link.Attrs().Name; strings.HasPrefix(name, p.cfg.Prefix+"-") {
			errs = append(errs, deleteLink(host, name))
		}
	}
	releaseNetnsDir()
	return errors.Join(errs...)
}

func (p *Plane) loaded(routerID, ruleset string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules[routerID] == ruleset
}

func (p *Plane) remember(routerID, ruleset string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules[routerID] = ruleset
}

func (p *Plane) forget(routerID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rules, routerID)
	delete(p.inUse, routerID)
}

func writeSysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	return os.WriteFile(path, []byte(value), 0o644)
}
