//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

// traces are the ids of what a cluster has in the cloud; they are looked for after it is gone.
type traces struct {
	cluster   string
	instances []string
	balancers []string
	volumes   []string
}

// record notes what a cluster has.
func (c *cluster) record(t *testing.T) traces {
	t.Helper()
	found, err := c.r.inCloud(t.Context(), c.id)
	if err != nil {
		t.Fatal(err)
	}
	tr := traces{cluster: c.id}
	for _, o := range found {
		switch o.kind {
		case "instance":
			tr.instances = append(tr.instances, o.id)
		case "load balancer":
			tr.balancers = append(tr.balancers, o.id)
		case "volume":
			tr.volumes = append(tr.volumes, o.id)
		}
	}
	return tr
}

type cloudObject struct{ kind, id, name string }

// inCloud lists what the customer's tenant has of a cluster.
func (r *region) inCloud(ctx context.Context, clusterID string) ([]cloudObject, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var out []cloudObject
	instances, err := r.cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{})
	if err != nil {
		return nil, err
	}
	for _, i := range instances {
		if i.HasLabel("mke.cluster-id=" + clusterID) {
			out = append(out, cloudObject{"instance", i.ID, i.Name})
		}
	}
	balancers, err := r.cloud.LoadBalancer.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, lb := range balancers {
		if strings.Contains(lb.Name+lb.Description, clusterID) {
			out = append(out, cloudObject{"load balancer", lb.ID, lb.Name})
		}
	}
	groups, err := r.cloud.Network.ListSecurityGroups(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if strings.Contains(g.Name+g.Description, clusterID) {
			out = append(out, cloudObject{"security group", g.ID, g.Name})
		}
	}
	ips, err := r.cloud.Network.ListPublicIPs(ctx)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		if strings.Contains(ip.Description, clusterID) {
			out = append(out, cloudObject{"public IP", ip.ID, ip.PublicIP})
		}
	}
	storage, err := r.storageOf(ctx, clusterID)
	if err != nil {
		return nil, err
	}
	out = append(out, storage...)
	accounts, err := r.cloud.IAM.ListServiceAccounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if strings.Contains(a.Name, clusterID) {
			out = append(out, cloudObject{"service account", a.UUID, a.Name})
		}
	}
	return out, nil
}

// storageOf lists the volumes and snapshots whose name begins as those of the cluster do.
func (r *region) storageOf(ctx context.Context, clusterID string) ([]cloudObject, error) {
	var out []cloudObject
	prefix := "mke-" + clusterID[:8] + "-"
	volumes, err := r.cloud.Volume.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, v := range volumes {
		if strings.HasPrefix(v.Name, prefix) {
			out = append(out, cloudObject{"volume", v.ID, v.Name})
		}
	}
	snapshots, err := r.cloud.Volume.ListSnapshots(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, s := range snapshots {
		if strings.HasPrefix(s.Name, prefix) {
			out = append(out, cloudObject{"snapshot", s.ID, s.Name})
		}
	}
	return out, nil
}

// ports counts the ports of every VPC of the customer.
func (r *region) ports(t *testing.T) int {
	t.Helper()
	vpcs, err := r.cloud.Network.ListVPCs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range vpcs {
		ports, err := r.cloud.Network.ListPorts(t.Context(), v.ID)
		if err != nil {
			t.Fatal(err)
		}
		n += len(ports)
	}
	return n
}

// expectNothing fails if anything of a deleted cluster is left in the cloud, in the management cluster or on the machine.
func (r *region) expectNothing(t *testing.T, tr traces) {
	t.Helper()
	eventually(t, 30*time.Second, "nothing is left of "+tr.cluster, func() error {
		left, err := r.inCloud(t.Context(), tr.cluster)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("in the cloud: %v", left)
		}
		if res := r.kubectl(r.status.ManagementKubeconfig, "", "get", "namespace", "cluster-"+tr.cluster); res.code == 0 || !strings.Contains(res.stderr, "NotFound") {
			return fmt.Errorf("in the management cluster: %s", res)
		}
		for _, id := range slices.Concat([]string{tr.cluster}, tr.instances, tr.balancers, tr.volumes) {
			if found := onMachine(r.data, id); len(found) > 0 {
				return fmt.Errorf("on the machine: %s", strings.Join(found, "; "))
			}
		}
		return nil
	})
}

// onMachine lists processes, mounts, loop devices, network namespaces, cgroups and files that carry an id. Names are cut to 8 characters of it.
func onMachine(data, id string) []string {
	var out []string
	for pid, cmdline := range processes() {
		if strings.Contains(cmdline, id) {
			out = append(out, fmt.Sprintf("process %d: %s", pid, cmdline))
		}
	}
	out = append(append(out, mounts(id)...), loops(id)...)
	for _, glob := range []string{"/run/netns/*" + id[:8] + "*", "/sys/fs/cgroup/mke*/*" + id + "*", "/sys/fs/cgroup/*/mke*/*" + id + "*", filepath.Join(data, "cloud", "*", id)} {
		found, _ := filepath.Glob(glob) // only a bad pattern is an error
		out = append(out, found...)
	}
	return out
}

// processes returns the command lines of all processes but this one's own family.
func processes() map[int]string {
	out := map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "%d", &pid); err != nil || pid == os.Getpid() || pid == os.Getppid() {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && len(cmdline) > 0 {
			out[pid] = strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return out
}

func mounts(contains string) []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, line := range strings.Split(string(data), "\n") {
		if strings.Contains(line, contains) {
			out = append(out, "mount "+line)
		}
	}
	return out
}

// loops lists loop devices by their backing files.
func loops(contains string) []string {
	var out []string
	paths, _ := filepath.Glob("/sys/block/loop*/loop/backing_file") // only a bad pattern is an error
	for _, path := range paths {
		if file, err := os.ReadFile(path); err == nil && strings.Contains(string(file), contains) {
			out = append(out, fmt.Sprintf("%s: %s", path, strings.TrimSpace(string(file))))
		}
	}
	return out
}
