package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/autoscaler"
	"magalu.cloud/mke/internal/autoscaler/nodegroup"
)

const (
	idleNamespace, idleCluster = "cluster-bench", "bench"
	settling                   = 30 * time.Second // first plans, and what is written once
	idleFor                    = time.Minute
	kubeletReports             = 5 * time.Minute
)

// idle is what an autoscaler costs that has nothing to do.
type idle struct {
	nodes, pods          int
	cpu                  time.Duration // in a minute
	rssMiB, peakMiB      int
	customer, management int // calls in a minute
}

func (r idle) String() string {
	return fmt.Sprintf("RESULT autoscale-idle nodes=%d pods=%d cpu_ms_per_min=%.0f rss_mib=%d peak_mib=%d customer_calls_per_min=%d management_calls_per_min=%d",
		r.nodes, r.pods, ms(r.cpu), r.rssMiB, r.peakMiB, r.customer, r.management)
}

// measureIdle runs an autoscaler in a process of its own, with its flags as they are, beside API servers of a cluster of full nodes.
func measureIdle(ctx context.Context, nodes int) (idle, error) {
	customer, management := idleWorld(nodes)
	dir, err := os.MkdirTemp("", "mke-bench-autoscale")
	if err != nil {
		return idle{}, err
	}
	defer os.RemoveAll(dir)
	for name, a := range map[string]*api{"customer": customer, "management": management} {
		web := httptest.NewServer(a)
		defer web.Close()
		defer web.CloseClientConnections()
		if err := writeKubeconfig(filepath.Join(dir, name), web.URL); err != nil {
			return idle{}, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return idle{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-idle", dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return idle{}, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	r := idle{nodes: nodes, pods: nodes * onNode}
	time.Sleep(settling)
	if _, watches := management.counted(); watches == 0 {
		return r, errors.New("the autoscaler does not watch its machines")
	}
	c, _ := customer.counted()
	m, _ := management.counted()
	used, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	time.Sleep(idleFor)
	now, err := cpuOf(cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	r.cpu = now - used
	r.customer, _ = customer.counted()
	r.management, _ = management.counted()
	r.customer, r.management = r.customer-c, r.management-m
	if r.rssMiB, err = memoryOf(cmd.Process.Pid, "VmRSS"); err != nil {
		return r, err
	}
	r.peakMiB, err = memoryOf(cmd.Process.Pid, "VmHWM")
	return r, err
}

// beIdle is the autoscaler of measureIdle.
func beIdle(ctx context.Context, dir string) error {
	cmd := autoscaler.NewCommand()
	cmd.SetArgs([]string{"--kubeconfig", filepath.Join(dir, "customer"), "--cloud-config", filepath.Join(dir, "management"), "--address", "127.0.0.1:0", "--log-level", "warn",
		"--node-group-auto-discovery", "clusterapi:namespace=" + idleNamespace + ",clusterName=" + idleCluster})
	return cmd.ExecuteContext(ctx)
}

// idleWorld is full nodes of one pool with their Pods, and their machines.
func idleWorld(nodes int) (customer, management *api) {
	customer = &api{lists: map[string][]any{}, objects: map[string]map[string]any{}}
	if nodes > 0 {
		customer.beats = kubeletReports / time.Duration(nodes)
	}
	state, _ := load(0, nodes)
	for _, n := range state.Nodes {
		customer.lists["nodes"] = append(customer.lists["nodes"], dressed(n))
	}
	for _, p := range state.Pods {
		p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		customer.lists["pods"] = append(customer.lists["pods"], p)
	}
	kind := func(name, kind string) metav1.APIResource {
		return metav1.APIResource{Name: name, Kind: kind, Namespaced: true, Verbs: metav1.Verbs{"get", "list", "watch", "patch"}}
	}
	management = &api{lists: idleMachines(nodes), groups: map[string][]metav1.APIResource{
		clusterv1.GroupVersion.String(): {kind("machinedeployments", "MachineDeployment"), kind("machines", "Machine")},
		infrav1.GroupVersion.String():   {kind("mgkmachines", "MGKMachine"), kind("mgkmachinetemplates", "MGKMachineTemplate")},
	}, objects: map[string]map[string]any{}}
	md := management.lists["machinedeployments"][0]
	management.objects["/apis/"+clusterv1.GroupVersion.String()+"/namespaces/"+idleNamespace+"/machinedeployments/pool"] = asMap(md)
	return customer, management
}

// dressed is the node with what a kubelet reports.
func dressed(n *corev1.Node) *corev1.Node {
	n.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}
	n.ResourceVersion, n.UID = "1", "uid-"+n.UID
	n.Spec.ProviderID = "magalu://a/" + n.Name
	for _, c := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeReady} {
		status := corev1.ConditionFalse
		if c == corev1.NodeReady {
			status = corev1.ConditionTrue
		}
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: c, Status: status, Reason: "Kubelet", Message: "as the kubelet says"})
	}
	for i := range 12 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{fmt.Sprintf("registry.example/image-%d:v1", i)}, SizeBytes: 1 << 24})
	}
	return n
}

// beating is the node after its kubelet has reported again that nothing has changed.
func beating(node any, resourceVersion string) *corev1.Node {
	n := node.(*corev1.Node).DeepCopy()
	n.ResourceVersion = resourceVersion
	for i := range n.Status.Conditions {
		n.Status.Conditions[i].LastHeartbeatTime = metav1.Now()
	}
	return n
}

func idleMachines(nodes int) map[string][]any {
	meta := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: idleNamespace, Name: name, Labels: labels, ResourceVersion: "1", CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Hour))}
	}
	md := &clusterv1.MachineDeployment{
		TypeMeta: metav1.TypeMeta{APIVersion: clusterv1.GroupVersion.String(), Kind: "MachineDeployment"}, ObjectMeta: meta("pool", map[string]string{clusterv1.ClusterNameLabel: idleCluster}),
		Spec: clusterv1.MachineDeploymentSpec{ClusterName: idleCluster, Replicas: ptr.To(int32(nodes))},
	}
	md.Annotations = map[string]string{nodegroup.MinSizeAnnotation: "0", nodegroup.MaxSizeAnnotation: "5000", nodegroup.CPUAnnotation: "8", nodegroup.MemoryAnnotation: "32Gi"}
	lists := map[string][]any{"machinedeployments": {md}}
	labels := map[string]string{clusterv1.ClusterNameLabel: idleCluster, clusterv1.MachineDeploymentNameLabel: "pool"}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		m := &clusterv1.Machine{TypeMeta: metav1.TypeMeta{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine"}, ObjectMeta: meta(name, labels)}
		m.Spec = clusterv1.MachineSpec{ClusterName: idleCluster, ProviderID: "magalu://a/" + name, InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: infrav1.GroupVersion.Group, Kind: "MGKMachine", Name: name}}
		m.Status.NodeRef.Name = name
		vm := &infrav1.MGKMachine{TypeMeta: metav1.TypeMeta{APIVersion: infrav1.GroupVersion.String(), Kind: "MGKMachine"}, ObjectMeta: meta(name, labels)}
		vm.Status.Initialization.Provisioned = ptr.To(true)
		lists["machines"], lists["mgkmachines"] = append(lists["machines"], m), append(lists["mgkmachines"], vm)
	}
	return lists
}

func asMap(o any) map[string]any {
	data, _ := json.Marshal(o)
	var out map[string]any
	_ = json.Unmarshal(data, &out)
	return out
}

func writeKubeconfig(file, server string) error {
	c := clientcmdapi.NewConfig()
	c.Clusters["c"], c.AuthInfos["c"] = &clientcmdapi.Cluster{Server: server}, &clientcmdapi.AuthInfo{}
	c.Contexts["c"], c.CurrentContext = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}, "c"
	return clientcmd.WriteToFile(*c, file)
}

// cpuOf is the CPU time of a process so far, in ticks of 10 ms.
func cpuOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
