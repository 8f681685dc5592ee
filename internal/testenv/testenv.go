// Package testenv starts a real kube-apiserver and etcd, built by this repository, for controller tests.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		if env != nil {
			_ = env.Stop() // a server may run that did not become ready
		}
		return 1
	}
	code := m.Run()
	for _, stop := range append(atExit, env.Stop) {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "testenv: stop:", err)
			code = 1
		}
	}
	return code
}

var atExit []func() error

// AtExit has stop called before the API server ends; its error fails the package's tests. Managers that outlive a test must be
// stopped there: their watches would hold the API server up.
func AtExit(stop func() error) { atExit = append(atExit, stop) }

// Start runs an API server that knows Kubernetes' own kinds only, for one test. flags are the server's further ones, by name.
func Start(t testing.TB, flags ...map[string]string) *envtest.Environment {
	t.Helper()
	_, env, err := bare()
	if err == nil {
		for _, set := range flags {
			for name, value := range set {
				env.ControlPlane.GetAPIServer().Configure().Set(name, value)
			}
		}
		_, err = env.Start()
	}
	if err != nil {
		t.Fatal("testenv: ", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error("testenv: stop: ", err)
		}
	})
	return env
}

func bare() (root string, env *envtest.Environment, err error) {
	if root, err = repository(); err != nil {
		return "", nil, err
	}
	bin := filepath.Join(root, "bin")
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return "", nil, fmt.Errorf("bin/%s is missing: run `make tools`, which puts it there", name)
		}
	}
	return root, &envtest.Environment{BinaryAssetsDirectory: bin, ControlPlaneStartTimeout: time.Minute}, nil // 20 s are too few on a busy machine
}

func environment() (*envtest.Environment, error) {
	root, env, err := bare()
	if err != nil {
		return nil, err
	}
	capi, err := moduleDir(root, "sigs.k8s.io/cluster-api")
	if err != nil {
		return nil, err
	}
	env.ErrorIfCRDPathMissing = true
	env.CRDInstallOptions.MaxTime = time.Minute // 10 s are too few beside other packages' tests on two cores
	env.CRDDirectoryPaths = []string{
		filepath.Join(root, "deploy/chart/crd-bases"),
		filepath.Join(capi, "config/crd/bases"),
		filepath.Join(capi, "bootstrap/kubeadm/config/crd/bases"),
		filepath.Join(capi, "controlplane/kubeadm/config/crd/bases"),
	}
	return env, nil
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
