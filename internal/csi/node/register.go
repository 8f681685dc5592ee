package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"magalu.cloud/mke/internal/csi/driver"
)

const (
	// registrationCheck is how often the socket is looked for: a kubelet that starts anew removes what it finds.
	registrationCheck = 2 * time.Second
	registrationRetry = 250 * time.Millisecond
)

// registrar tells the kubelet's plugin watcher about the driver.
type registrar struct {
	registration.UnimplementedRegistrationServer
	kubeletSocket string
	path          string // of the registrar's own socket
}

// GetInfo says where the driver's socket is.
func (r registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{Type: registration.CSIPlugin, Name: driver.Name, Endpoint: r.kubeletSocket, SupportedVersions: []string{"1.0.0"}}, nil
}

// NotifyRegistrationStatus is the kubelet's answer. It refuses while the API server cannot be reached, and does not ask the same socket again:
// this one goes, and register makes another.
func (r registrar) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if s.GetPluginRegistered() {
		slog.Info("registered with the kubelet")
	} else {
		slog.Warn("the kubelet refused the driver; asking again", "error", s.GetError())
		if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return &registration.RegistrationStatusResponse{}, nil
}

// register keeps a socket in the kubelet's folder of plugins: whenever it is gone, a new one makes the kubelet look again.
func register(ctx context.Context, dir, kubeletSocket string) {
	path := filepath.Join(dir, driver.Name+"-reg.sock")
	for ctx.Err() == nil {
		pause := time.Duration(0)
		if err := serveRegistration(ctx, path, kubeletSocket); err != nil {
			slog.Warn("cannot register with the kubelet; trying again", "error", err)
			pause = registrationRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	_ = os.Remove(path)
}

// serveRegistration serves until the socket has been removed or ctx ends.
func serveRegistration(ctx context.Context, path, kubeletSocket string) error {
	listener, err := driver.Listen(path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, registrar{kubeletSocket: kubeletSocket, path: path})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		waitForRemoval(ctx, path)
		server.Stop()
	}()
	return server.Serve(listener)
}

func waitForRemoval(ctx context.Context, path string) {
	mine, err := os.Stat(path)
	ticker := time.NewTicker(registrationCheck)
	defer ticker.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var now os.FileInfo
		if now, err = os.Stat(path); err == nil && !os.SameFile(mine, now) {
			return
		}
	}
}
