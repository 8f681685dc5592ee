package node

import (
	"context"
	"log/slog"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"k8s.io/mount-utils"
	"k8s.io/utils/exec"

	"magalu.cloud/mke/internal/csi/driver"
)

// Options of the node plugin.
type Options struct {
	Endpoint        string
	KubeletSocket   string
	RegistrationDir string
	MetadataURL     string
	MaxVolumes      int64
}

// Run serves the kubelet until ctx ends.
func Run(ctx context.Context, o Options) error {
	place, err := findPlace(ctx, o.MetadataURL)
	if err != nil {
		return err
	}
	slog.Info("this node", "instance", place.InstanceID, "zone", place.Zone)
	n := New(place, o.MaxVolumes, mount.New(""), exec.New(), Devices{Dir: "/dev"})
	go register(ctx, o.RegistrationDir, o.KubeletSocket)
	return driver.Serve(ctx, o.Endpoint, func(s *grpc.Server) {
		csi.RegisterIdentityServer(s, driver.Identity{Ready: func() bool { return true }})
		csi.RegisterNodeServer(s, n)
	})
}
