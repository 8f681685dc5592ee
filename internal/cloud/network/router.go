package network

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/store"
)

// applyTimeout is far above what a change takes; it bounds waiting for a broken kernel.
const applyTimeout = time.Minute

// router is what is known about one VPC's namespace in this process.
type router struct {
	requested atomic.Uint64 // number of the last call of apply

	mu     sync.Mutex // held while the namespace is changed
	served uint64     // all calls up to this one have been served
	err    error      // how that ended
	vpcID  string     // set while the namespace was announced as ready
	inode  uint64     // of that namespace
}

func (s *Service) router(id string) *router {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.routers[id] == nil {
		s.routers[id] = &router{}
	}
	return s.routers[id]
}

// apply makes the kernel agree with the rows of one VPC as they are now. Calls
// that wait at the same time are served by one pass.
func (s *Service) apply(ctx context.Context, id string) error {
	r := s.router(id)
	mine := r.requested.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.applyLocked(ctx, r, id, mine)
}

func (s *Service) applyLocked(ctx context.Context, r *router, id string, mine uint64) error {
	if r.served >= mine {
		return r.err
	}
	serves := r.requested.Load()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout) // others wait for it too
	defer cancel()
	r.err = s.pass(ctx, r, id)
	r.served = serves
	return r.err
}

func (s *Service) pass(ctx context.Context, r *router, id string) error {
	vpc, want, err := s.desired(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		s.forget(r)
		return s.plane.Remove(ctx, id)
	}
	if err != nil {
		return err
	}
	if err := s.plane.Apply(ctx, want); err != nil {
		return err
	}
	s.remember(r, vpc.ID)
	s.resolver.serve(vpc.ID, s.plane.NetnsPath(id), want.Subnets)
	if vpc.Status == StatusCreated {
		return nil
	}
	_, err = s.db.Exec(ctx, `UPDATE network_vpcs SET status = ?, error = '', updated_at = ? WHERE id = ?`,
		StatusCreated, store.Now(), vpc.ID)
	return err
}

// remember announces a namespace that is new to this process.
func (s *Service) remember(r *router, vpcID string) {
	inode := inodeOf(s.plane.NetnsPath(short(vpcID)))
	if r.vpcID == vpcID && r.inode == inode {
		return
	}
	s.forget(r)
	r.vpcID, r.inode = vpcID, inode
	s.call(&s.onReady, vpcID)
}

func (s *Service) forget(r *router) {
	if r.vpcID == "" {
		return
	}
	s.call(&s.onGone, r.vpcID)
	s.resolver.drop(r.vpcID)
	r.vpcID, r.inode = "", 0
}

func inodeOf(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

// desired reads the whole VPC with the short id, in one transaction so that it fits together.
func (s *Service) desired(ctx context.Context, id string) (VPC, dataplane.Router, error) {
	var vpc VPC
	var want dataplane.Router
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		var err error
		if vpc, err = vpcWhere(ctx, tx, `substr(id, 1, 8) = ?`, id); err != nil {
			return err
		}
		want, err = routerOf(ctx, tx, vpc)
		return err
	})
	return vpc, want, err
}

func routerOf(ctx context.Context, q store.Queryer, vpc VPC) (dataplane.Router, error) {
	want := dataplane.Router{ID: short(vpc.ID), EdgeIP: vpc.EdgeAddress}
	subnets, err := listSubnets(ctx, q, vpc.ID)
	if err != nil {
		return want, err
	}
	for _, subnet := range subnets {
		want.Subnets = append(want.Subnets, dataplane.Subnet{ID: short(subnet.ID), Prefix: subnet.CIDR, Gateway: subnet.Gateway()})
	}
	ports, err := portsWhere(ctx, q, `p.vpc_id = ?`, vpc.ID)
	if err != nil {
		return want, err
	}
	addresses, used := map[string]netip.Addr{}, map[string]bool{}
	for _, port := range ports {
		addresses[port.ID] = port.IP
		if !port.Wired {
			continue
		}
		groups := make([]string, len(port.SecurityGroupIDs))
		for i, id := range port.SecurityGroupIDs {
			groups[i], used[id] = short(id), true
		}
		want.Ports = append(want.Ports, dataplane.Port{ID: short(port.ID), SubnetID: short(port.SubnetID),
			MAC: dataplane.MACFor(port.IP), IP: port.IP, SpoofGuard: port.SpoofGuard, Groups: groups})
	}
	if want.Groups, err = planeGroups(ctx, q, used); err != nil {
		return want, err
	}
	if want.PublicIPs, err = planePublicIPs(ctx, q, vpc.ID, addresses); err != nil {
		return want, err
	}
	if want.VIPs, err = planeVIPs(ctx, q, vpc.ID); err != nil {
		return want, err
	}
	want.Routes, err = planeRoutes(ctx, q, vpc.ID, addresses)
	return want, err
}
