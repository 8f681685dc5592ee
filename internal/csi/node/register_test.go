package node

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"magalu.cloud/mke/internal/csi/driver"
)

func eventually(t *testing.T, condition func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = condition(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// askInfo is what the kubelet's plugin watcher does when it sees a socket.
func askInfo(socket string) (info *registration.PluginInfo, err error) {
	if _, err := os.Stat(socket); err != nil {
		return nil, err
	}
	err = asKubelet(socket, func(ctx context.Context, c registration.RegistrationClient) error {
		info, err = c.GetInfo(ctx, &registration.InfoRequest{})
		return err
	})
	return info, err
}

// refuse is the kubelet's answer while it cannot reach the API server.
func refuse(t *testing.T, socket string) {
	t.Helper()
	if err := asKubelet(socket, func(ctx context.Context, c registration.RegistrationClient) error {
		_, err := c.NotifyRegistrationStatus(ctx, &registration.RegistrationStatus{Error: "connection refused"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func asKubelet(socket string, do func(context.Context, registration.RegistrationClient) error) error {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return do(ctx, registration.NewRegistrationClient(conn))
}

func TestRegistration(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, driver.Name+"-reg.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		register(ctx, dir, "/kubelet/csi.sock")
	}()
	registered := func() error {
		info, err := askInfo(socket)
		if err != nil {
			return err
		}
		if info.GetType() != registration.CSIPlugin || info.GetName() != driver.Name || info.GetEndpoint() != "/kubelet/csi.sock" {
			return fmt.Errorf("info %v", info)
		}
		return nil
	}
	eventually(t, registered)
	// A kubelet whose folder was emptied sees the driver again.
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	eventually(t, registered)
	// After a refusal, too: kubelets ask each socket once.
	before, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, socket)
	eventually(t, func() error {
		now, err := os.Stat(socket)
		if err != nil {
			return err
		}
		if now.ModTime().Equal(before.ModTime()) { // the inode's number may be the same
			return fmt.Errorf("it is the socket that was refused")
		}
		return registered()
	})
	cancel()
	<-done
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestPlace(t *testing.T) {
	answers := []string{"", "{}", `{"uuid": "vm-1", "availability_zone": "br-se1-a"}`}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answers[0] == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(answers[0]))
		answers = answers[1:]
	}))
	defer server.Close()
	p, err := findPlace(t.Context(), server.URL)
	if err != nil || p.InstanceID != "vm-1" || p.Zone != "br-se1-a" {
		t.Errorf("place %+v, %v", p, err)
	}
}
