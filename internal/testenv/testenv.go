// Package testenv starts a real kube-apiserver and etcd, built by this repository, for controller tests.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Main runs a package's tests with one API server that knows Cluster API's and our kinds, and returns the exit code:
//
//	var config *rest.Config
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m, &config)) }
func Main(m *testing.M, config **rest.Config) int {
	env, err := environment()
	if err == nil {
		*config, err = env.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return 1
	}
	code := m.Run()
	for _, stop := range atExit {
		stop()
	}
	if err := env.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv: stop:", err)
		return 1
	}
	return code
}

var atExit []func()

// AtExit has stop called before the API server ends. Managers that outlive a test must be stopped there: their watches would hold the
// API server up.
func AtExit(stop func()) { atExit = append(atExit, stop) }

func environment() (*envtest.Environment, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(root, "bin")
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return nil, fmt.Errorf("bin/%s is missing: run `make build`, which compiles it", name)
		}
	}
	capi, err := moduleDir(root, "sigs.k8s.io/cluster-api")
	if err != nil {
		return nil, err
	}
	return &envtest.Environment{
		BinaryAssetsDirectory: bin,
		ErrorIfCRDPathMissing: true,
		CRDDirectoryPaths: []string{
			filepath.Join(root, "deploy/chart/crd-bases"),
			filepath.Join(capi, "config/crd/bases"),
			filepath.Join(capi, "bootstrap/kubeadm/config/crd/bases"),
			filepath.Join(capi, "controlplane/kubeadm/config/crd/bases"),
		},
	}, nil
}

// repository returns the folder with go.mod above the package under test.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no go.mod above the tests")
}

func moduleDir(root, module string) (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}
