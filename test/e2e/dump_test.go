//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

// dump writes what one wants to see after a failure.
func (r *region) dump(t *testing.T) {
	if r.cloud == nil {
		return
	}
	show := func(res result) { t.Logf("----- %s", lastLines(res.String(), 80)) }
	show(r.mgc("cluster", "list", "-o", "table"))
	for _, id := range r.clusterIDs() {
		show(r.mgc("operation", "list", id, "-o", "yaml"))
	}
	m := r.status.ManagementKubeconfig
	show(r.kubectl(m, "", "get", "pods", "-A", "-o", "wide"))
	show(r.kubectl(m, "", "get", "mgcclusters,mgcnodepools,clusters,mgkclusters,kubeadmcontrolplanes,machinedeployments,machines,mgkmachines", "-A"))
	for _, name := range []string{"mke-operator", "mke-provider", "mke-api"} {
		show(r.kubectl(m, "", "-n", "mke-system", "logs", "deployment/"+name, "--tail=30"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own is over by now
	defer cancel()
	instances, err := r.cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{})
	if err != nil {
		t.Logf("----- instances: %v", err)
	}
	for _, i := range instances {
		lines, err := r.cloud.Compute.InitLogs(ctx, i.ID, 25)
		t.Logf("----- console of %s (%s, %s) %v\n%s", i.Name, i.State, i.Status, err, strings.Join(lines, "\n"))
	}
	if log, err := os.ReadFile(filepath.Join(r.data, "logs", "cloud.log")); err == nil {
		t.Logf("----- cloud.log\n%s", lastLines(string(log), 40))
	}
}

func (r *region) clusterIDs() []string {
	var list struct{ Results []struct{ ID string } }
	if json.Unmarshal([]byte(r.mgc("cluster", "list", "-o", "json", "--raw").stdout), &list) != nil {
		return nil
	}
	var ids []string
	for _, c := range list.Results {
		ids = append(ids, c.ID)
	}
	return ids
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{"…"}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}
