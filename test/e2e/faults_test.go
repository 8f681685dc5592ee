//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// kill ends the processes in the region's machines whose command line is like pattern.
func kill(t *testing.T, pattern string) {
	t.Helper()
	like, killed := regexp.MustCompile(pattern), 0
	for pid, cmdline := range processes() {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil || !bytes.Contains(cgroup, []byte("mke")) || !like.MatchString(cmdline) {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			killed++
		}
	}
	t.Logf("%s: killed %d", pattern, killed)
	if killed == 0 {
		t.Errorf("no process is like %s", pattern)
	}
}

// vmInits returns the first process of each of the machines that runs, and the machine's id.
func (r *region) vmInits(ids []string) map[int]string {
	out := map[int]string{}
	for pid, cmdline := range processes() {
		if !strings.HasPrefix(cmdline, "/sbin/init") {
			continue
		}
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		for _, id := range ids {
			if bytes.Contains(cgroup, []byte("mke/"+id)) {
				out[pid] = id
			}
		}
	}
	return out
}

// kubeletOf finds the kubelet's process of a VM.
func (r *region) kubeletOf(t *testing.T, instance string) int {
	t.Helper()
	for pid, cmdline := range processes() {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && strings.HasPrefix(cmdline, "/usr/bin/kubelet ") && bytes.Contains(cgroup, []byte("mke/"+instance)) {
			return pid
		}
	}
	t.Fatalf("machine %s has no kubelet", instance)
	return 0
}

// injectFault disturbs the cloud's API, see docs/cloud.md.
func (r *region) injectFault(t *testing.T, fault map[string]any) {
	t.Helper()
	r.putInCloud(t, "faults", fault)
}

// limitInstances is how many VMs each tenant may have from now on, nil for any number.
func (r *region) limitInstances(t *testing.T, n *int) {
	t.Helper()
	r.putInCloud(t, "quotas", map[string]any{"instances": n})
}

// putInCloud tells the cloud's daemon on its socket.
func (r *region) putInCloud(t *testing.T, what string, value any) {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(r.data, "cloud", "run", "cloud.sock")
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequest(http.MethodPut, "http://cloud/internal/v1/"+what, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Fatalf("the cloud did not take %s %s: %s", what, body, res.Status)
	}
}
