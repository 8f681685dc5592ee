// Package cloud is the local Magalu Cloud: one daemon with the published
// contracts of compute, block storage, network, load balancer, IAM and profile in
// front, and real machines, disks, networks and load balancers of this host behind.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/compute/hollow"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/iam"
	"magalu.cloud/mke/internal/cloud/loadbalancer"
	"magalu.cloud/mke/internal/cloud/metadata"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/profile"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/volume"
	"magalu.cloud/mke/internal/cloud/volume/loop"
)

// Options of the daemon; NewCommand has their flags and defaults.
type Options struct {
	DataDir         string
	Region          string
	Prefix          string // of everything the daemon makes in the kernel
	Listen          string
	TLSCert, TLSKey string
	Bootstrap       iam.Bootstrap
	Quotas          map[string]int64 // of each tenant, by name; 0: any number
	PublicPool      netip.Prefix
	EdgeAddress     netip.Addr
	Egress          bool
	VolumeCapacity  int64 // GiB; 0: several times the disk
	FaultInjection  bool
	Logger          *slog.Logger
}

func (o Options) dir(elem ...string) string {
	return filepath.Join(append([]string{o.DataDir, "cloud"}, elem...)...)
}

func (o Options) zones() []string {
	return []string{o.Region + "-a", o.Region + "-b", o.Region + "-c"}
}

// issuer is the URL under which IAM issues access tokens.
func (o Options) issuer() string { return "https://" + o.Listen + "/" + o.Region + "/iam" }

// Run serves until ctx is done. VMs, networks and load balancers stay.
func Run(ctx context.Context, o Options) error {
	// The modes of files in VMs' root file systems must not depend on who starts us.
	unix.Umask(0o022)
	lock, err := lockDataDir(ctx, o)
	if err != nil {
		return err
	}
	defer lock.Close()
	db, err := store.Open(ctx, o.dir("cloud.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := newServices(ctx, db, o)
	if err != nil {
		return err
	}
	if err := s.network.EnsureEdge(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, run := range map[string]func(context.Context) error{
		"network": s.network.Run, "compute": s.compute.Run, "hollow": s.hollow.Run, "volume": s.volume.Run, "loadbalancer": s.loadbalancer.Run, "metadata": s.metadata.Run,
		"http": func(ctx context.Context) error { return serve(ctx, o, s) },
	} {
		group.Go(func() error {
			if err := run(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	o.Logger.Info("local cloud is up", "region", o.Region, "listen", o.Listen, "data_dir", o.DataDir)
	return group.Wait()
}

// lockDataDir makes sure that one daemon at a time works with the data folder.
func lockDataDir(ctx context.Context, o Options) (*os.File, error) {
	if err := os.MkdirAll(o.dir("run"), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(o.dir("run", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// The daemon before may still be on its way out. A lock tells nobody that it is free.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return file, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
			continue
		case <-ctx.Done():
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another `mke cloud` works with %s: stop it first", o.DataDir)
		}
		return nil, errors.Join(err, file.Close())
	}
}

type services struct {
	iam          *iam.Service
	profile      *profile.Service
	network      *network.Service
	compute      *compute.Service
	hollow       *hollow.Driver
	volume       *volume.Service
	loadbalancer *loadbalancer.Service
	metadata     *metadata.Service
	faults       *httpapi.Faults
}

func newServices(ctx context.Context, db *store.DB, o Options) (*services, error) {
	s := &services{faults: &httpapi.Faults{}}
	var err error
	if s.iam, err = iam.New(ctx, db, o.issuer()); err != nil {
		return nil, err
	}
	if err := s.iam.ApplyBootstrap(ctx, o.Bootstrap); err != nil {
		return nil, err
	}
	if s.profile, err = profile.New(ctx, db, o.Region, o.zones()); err != nil {
		return nil, err
	}
	if s.network, err = network.New(db, network.Config{
		Region: o.Region, Prefix: o.Prefix, PublicPool: o.PublicPool, EdgeAddress: o.EdgeAddress, Egress: o.Egress, PublicIPQuota: o.Quotas[publicIPsQuota], Logger: o.Logger,
	}); err != nil {
		return nil, err
	}
	driver, err := newDriver(o.DataDir, o.Prefix)
	if err != nil {
		return nil, err
	}
	disks, err := loop.New(o.dir())
	if err != nil {
		return nil, err
	}
	if s.volume, err = volume.New(ctx, db, volume.Config{
		Zones: o.zones(), Driver: disks, Machines: driver, Instances: compute.FindAll, Capacity: o.VolumeCapacity,
		TenantVolumes: o.Quotas[volumesQuota], TenantGiB: o.Quotas[volumeGiBQuota], Logger: o.Logger,
	}); err != nil {
		return nil, err
	}
	s.hollow = hollow.New(hollowDir(o.DataDir), o.Logger)
	if s.compute, err = compute.New(ctx, db, compute.Config{
		Zones: o.zones(), Driver: driver, Hollow: s.hollow, Images: localImages{o.DataDir}, Network: computeNetwork{s.network, db}, Volumes: s.volume,
		SSHKeys: s.profile, Logger: o.Logger, InstanceQuota: int(o.Quotas[instancesQuota]),
	}); err != nil {
		return nil, err
	}
	if s.loadbalancer, err = loadbalancer.New(db, loadbalancer.Config{DataDir: o.dir("lb"), Network: s.network, Quota: o.Quotas[loadBalancersQuota], Logger: o.Logger}); err != nil {
		return nil, err
	}
	s.metadata = metadata.New(metadata.Config{
		InstanceAt: instanceAt(o.Region, s.network, s.compute), Netns: s.network.VPCNetns, Logger: o.Logger,
	})
	s.network.OnVPCReady(s.metadata.VPCReady)
	s.network.OnVPCGone(s.metadata.VPCGone)
	return s, nil
}
