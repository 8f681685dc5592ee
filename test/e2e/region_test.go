//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

// region is the region under test.
type region struct {
	bin, data string
	wasUp     bool // before the test

	status status
	key    string      // the customer's
	other  string      // another customer's
	cloud  *mgc.Client // as the customer
}

// status is what `mke status -o json` promises.
type status struct {
	Region               string `json:"region"`
	Endpoint             string `json:"endpoint"`
	CAFile               string `json:"ca_file"`
	APIKeyFile           string `json:"api_key_file"`
	ManagementKubeconfig string `json:"management_kubeconfig"`
	Components           []struct {
		Name    string `json:"name"`
		Healthy bool   `json:"healthy"`
		Message string `json:"message"`
	} `json:"components"`
	Versions map[string]string `json:"versions"`
}

// upFlags of the region: autoscalers remove nodes, and try again what the cloud refused, after seconds, not after minutes.
var upFlags = []string{"--no-demo", "--autoscaler-arg=--scale-down-unneeded-time=15s", "--autoscaler-arg=--scale-down-delay-after-add=10s",
	"--autoscaler-arg=--initial-node-group-backoff-duration=10s"}

// up brings the region up.
func (r *region) up() result { return r.mke("up", upFlags...) }

func newRegion(t *testing.T) *region {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mke", "mgc", "kubectl"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			t.Fatalf("bin/%s is missing: run the tests with `make test-e2e`", name)
		}
	}
	r := &region{bin: bin, data: os.Getenv("MKE_DATA_DIR")}
	if r.data == "" {
		r.data = "/var/lib/mke"
	}
	s, err := r.readStatus()
	if err != nil || s.Endpoint == "" {
		return r
	}
	r.wasUp = true
	if sick := s.healthy(); sick != "" {
		t.Logf("the region that is up is not healthy (%s): `mke up` has to mend it", sick)
		if res := r.up(); res.code != 0 {
			t.Fatalf("it cannot, run `make down`: %s", res)
		}
	}
	return r
}

// connect reads where the region is and makes the customer's client of the cloud.
func (r *region) connect(t *testing.T) {
	t.Helper()
	var err error
	if r.status, err = r.readStatus(); err != nil {
		t.Fatalf("mke status: %v", err)
	}
	r.key = r.readKey(t, "default")
	r.other = r.readKey(t, "other")
	r.cloud, err = mgc.New(mgc.Config{Endpoint: "https://198.18.0.1:8443/" + r.status.Region, APIKey: r.key, CAFile: r.status.CAFile})
	if err != nil {
		t.Fatal(err)
	}
}

// readKey returns the API key of one of the tenants that the region begins with.
func (r *region) readKey(t *testing.T, tenant string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.data, "pki", "bootstrap.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Tenants []struct {
			Name   string `json:"name"`
			APIKey string `json:"api_key"`
		} `json:"tenants"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	for _, known := range b.Tenants {
		if known.Name == tenant {
			return known.APIKey
		}
	}
	t.Fatalf("the region has no tenant %q", tenant)
	return ""
}

func (r *region) readStatus() (status, error) {
	var s status
	res := r.mke("status", "-o", "json")
	if err := json.Unmarshal([]byte(res.stdout), &s); err != nil {
		return s, errors.New(res.String())
	}
	return s, nil
}

// healthy names what is not, or nothing.
func (s status) healthy() string {
	var sick []string
	for _, c := range s.Components {
		if !c.Healthy {
			sick = append(sick, c.Name+": "+c.Message)
		}
	}
	return strings.Join(sick, "; ")
}

// result is what a command left.
type result struct {
	command        string
	stdout, stderr string
	code           int
	took           time.Duration
}

func (res result) String() string {
	return res.command + " (exit " + strconv.Itoa(res.code) + ", " + res.took.Round(time.Millisecond).String() + ")\n" + res.stdout + res.stderr
}

const commandTimeout = 15 * time.Minute

func run(env []string, stdin, program string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, strings.NewReader(stdin), &out, &errs
	start := time.Now()
	err := cmd.Run()
	res := result{filepath.Base(program) + " " + strings.Join(args, " "), out.String(), errs.String(), 0, time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		res.code = exit.ExitCode()
	case err != nil:
		res.code, res.stderr = -1, res.stderr+err.Error()
	}
	return res
}

func (r *region) mke(verb string, args ...string) result {
	return run(os.Environ(), "", filepath.Join(r.bin, "mke"), append([]string{verb, "--data-dir", r.data}, args...)...)
}

// mgcEnv is the environment of a customer: only the configuration that `mke up` wrote.
func (r *region) mgcEnv(extra ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "MGC_") })
	return append(append(env, "MGC_CONFIG_DIR="+filepath.Join(r.data, "mgc")), extra...)
}

func (r *region) mgc(args ...string) result { return r.mgcAs("", args...) }

// mgcAs runs mgc with another API key.
func (r *region) mgcAs(key string, args ...string) result {
	env := r.mgcEnv()
	if key != "" {
		env = append(env, "MGC_API_KEY="+key)
	}
	return run(env, "", filepath.Join(r.bin, "mgc"), append([]string{"kubernetes"}, args...)...)
}

// mustMgc runs mgc, which has to succeed, and returns its standard output.
func (r *region) mustMgc(t *testing.T, args ...string) string {
	t.Helper()
	res := r.mgc(args...)
	if res.code != 0 {
		t.Fatalf("%s", res)
	}
	return res.stdout
}

func (r *region) kubectl(kubeconfig, stdin string, args ...string) result {
	return run(os.Environ(), stdin, filepath.Join(r.bin, "kubectl"), append([]string{"--kubeconfig", kubeconfig, "--request-timeout=20s"}, args...)...)
}

// daemonPID is the process of `mke cloud`.
func (r *region) daemonPID(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.data, "cloud", "run", "cloud.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
