// Package csitest runs the CSI project's own conformance tests against the whole driver, the local cloud's real block storage below it:
// real files, loop devices, file systems and mounts.
package csitest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	spec "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"google.golang.org/grpc"
	"k8s.io/mount-utils"
	"k8s.io/utils/exec"

	"magalu.cloud/mke/internal/cloud/volume/volumetest"
	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/controller"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/csi/node"
	"magalu.cloud/mke/internal/mgc"
)

const clusterID = "5d3c1f0e-0000-4000-8000-00000000000b"

// ids are what the cloud would give to things that do not exist.
type ids struct{}

func (ids) GenerateUniqueValidVolumeID() string { return uuid.NewString() }
func (ids) GenerateInvalidVolumeID() string     { return "not-a-volume" }
func (ids) GenerateUniqueValidNodeID() string   { return uuid.NewString() }
func (ids) GenerateInvalidNodeID() string       { return "not-a-node" }

// start serves controller and node of one VM on one socket.
func start(t *testing.T) (socket string) {
	region := volumetest.Start(t)
	instance := uuid.NewString()
	dev := region.AddInstance(t, instance, volumetest.Zone)
	client, err := mgc.New(mgc.Config{Endpoint: region.URL + "/" + volumetest.Region, APIKey: volumetest.APIKey})
	if err != nil {
		t.Fatal(err)
	}
	storage := cloud.Idempotent{Storage: cloud.NewClient(func() (cloud.API, error) { return client.Volume, nil })}
	socket = filepath.Join(t.TempDir(), "csi.sock")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- driver.Serve(ctx, socket, func(s *grpc.Server) {
			spec.RegisterIdentityServer(s, driver.Identity{Ready: func() bool { return true }})
			spec.RegisterControllerServer(s, controller.New(storage, clusterID))
			spec.RegisterNodeServer(s, node.New(node.Place{InstanceID: instance, Zone: volumetest.Zone}, driver.MaxVolumes,
				mount.New(""), exec.New(), node.Devices{Dir: dev}))
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// withZone does what the provisioner always does and these tests do not: it says where the volume shall be.
func withZone(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if create, ok := req.(*spec.CreateVolumeRequest); ok && create.GetAccessibilityRequirements() == nil {
		create.AccessibilityRequirements = &spec.TopologyRequirement{Requisite: []*spec.Topology{driver.Topology(volumetest.Zone)}}
	}
	return invoke(ctx, method, req, reply, conn, options...)
}

// dial takes its time: the tests' own client asks for the connection's state and then waits a minute for another one, which never comes if
// it was ready before the first look.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	select {
	case <-time.After(250 * time.Millisecond):
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestSanity(t *testing.T) {
	config := sanity.NewTestConfig()
	config.Address = "passthrough:///" + start(t) // of another kind of address they would replace the dialer
	dir := t.TempDir()
	config.TargetPath, config.StagingPath = filepath.Join(dir, "target"), filepath.Join(dir, "staging")
	config.TestVolumeSize, config.TestVolumeExpandSize = 10*driver.GiB, 11*driver.GiB
	config.IdempotentCount = 3
	config.IDGen = ids{}
	config.ControllerDialOptions = append(config.ControllerDialOptions, grpc.WithUnaryInterceptor(withZone))
	config.DialOptions = append(config.DialOptions, grpc.WithUnaryInterceptor(withZone), grpc.WithContextDialer(dial))
	sanity.Test(t, config)
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Errorf("something is still mounted in %s", dir)
	}
}
