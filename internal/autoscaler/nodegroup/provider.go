package nodegroup

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
)

// Provider reads and changes the groups of one cluster.
type Provider struct {
	// Client asks the API server itself; Cache may lag behind.
	Client    client.Client
	Cache     client.Reader
	Namespace string
	Cluster   string

	mu sync.Mutex
	// written holds what this process wrote and the cache does not show yet.
	written map[string]*clusterv1.MachineDeployment
}

// List returns the groups in the order of their names. A pool whose annotations make no sense is left out, with the reason in problems.
func (p *Provider) List(ctx context.Context) (groups []Group, problems []error, err error) {
	in := []client.ListOption{client.InNamespace(p.Namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: p.Cluster}, client.UnsafeDisableDeepCopy}
	var deployments clusterv1.MachineDeploymentList
	if err := p.Cache.List(ctx, &deployments, in...); err != nil {
		return nil, nil, fmt.Errorf("list MachineDeployments: %w", err)
	}
	var machines clusterv1.MachineList
	if err := p.Cache.List(ctx, &machines, in...); err != nil {
		return nil, nil, fmt.Errorf("list Machines: %w", err)
	}
	var vms infrav1.MGKMachineList
	if err := p.Cache.List(ctx, &vms, in...); err != nil {
		return nil, nil, fmt.Errorf("list MGKMachines: %w", err)
	}
	var templates infrav1.MGKMachineTemplateList
	if err := p.Cache.List(ctx, &templates, in[0], client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("list MGKMachineTemplates: %w", err)
	}
	offers := map[string]infrav1.MGKMachineTemplateStatus{}
	for _, t := range templates.Items {
		offers[t.Name] = t.Status
	}
	failures := failures(vms.Items)
	byDeployment := map[string][]*clusterv1.Machine{}
	for i := range machines.Items {
		m := &machines.Items[i]
		name := m.Labels[clusterv1.MachineDeploymentNameLabel]
		byDeployment[name] = append(byDeployment[name], m)
	}
	for i := range deployments.Items {
		md := p.newest(&deployments.Items[i])
		if md.Annotations[MaxSizeAnnotation] == "" {
			continue
		}
		g, err := group(md, offers[md.Spec.Template.Spec.InfrastructureRef.Name])
		if err != nil {
			problems = append(problems, fmt.Errorf("node pool %s: %w", md.Name, err))
			continue
		}
		removing := removing(md)
		for _, m := range byDeployment[md.Name] {
			g.Machines = append(g.Machines, machine(m, removing, failures))
		}
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return groups, problems, nil
}

// newest returns what this process wrote while the cache is behind it.
func (p *Provider) newest(cached *clusterv1.MachineDeployment) *clusterv1.MachineDeployment {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.written[cached.Name]
	if own == nil {
		return cached
	}
	if own.UID == cached.UID && resourceVersion(own) > resourceVersion(cached) {
		return own
	}
	delete(p.written, cached.Name)
	return cached
}

func (p *Provider) wrote(md *clusterv1.MachineDeployment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.written == nil {
		p.written = map[string]*clusterv1.MachineDeployment{}
	}
	p.written[md.Name] = md
}

// resourceVersion as a number: since Kubernetes 1.35 those of one kind may be compared, and etcd's always could.
func resourceVersion(o metav1.Object) uint64 {
	n, _ := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	return n
}

func group(md *clusterv1.MachineDeployment, offer infrav1.MGKMachineTemplateStatus) (Group, error) {
	g := Group{Name: md.Name, Target: int(ptr.Deref(md.Spec.Replicas, 0)), Status: md.Annotations[StatusAnnotation], Deleting: !md.DeletionTimestamp.IsZero()}
	var err error
	if g.Max, err = size(md, MaxSizeAnnotation); err != nil {
		return g, err
	}
	if g.Min, err = size(md, MinSizeAnnotation); err != nil {
		return g, err
	}
	if g.Min > g.Max {
		return g, fmt.Errorf("the smallest size %d is above the largest %d", g.Min, g.Max)
	}
	if v := md.Annotations[PriceAnnotation]; v != "" {
		if g.Price, err = strconv.ParseFloat(v, 64); err != nil || g.Price < 0 {
			return g, fmt.Errorf("annotation %s: %q is no price", PriceAnnotation, v)
		}
	}
	g.Zones = list(md.Annotations[ZonesAnnotation])
	if g.Template, err = template(md, offer); err != nil {
		return g, err
	}
	g.CSINode, err = csiNode(md)
	return g, err
}

func size(md *clusterv1.MachineDeployment, annotation string) (int, error) {
	v := md.Annotations[annotation]
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("annotation %s: %q is no number of nodes", annotation, v)
	}
	return n, nil
}

func machine(m *clusterv1.Machine, removing map[string]bool, failures map[string]string) Machine {
	return Machine{
		Name:       m.Name,
		Created:    m.CreationTimestamp.Time,
		Node:       m.Status.NodeRef.Name,
		ProviderID: m.Spec.ProviderID,
		Deleting:   !m.DeletionTimestamp.IsZero(),
		Marked:     m.Annotations[clusterv1.DeleteMachineAnnotation] == markValue,
		Removed:    removing[m.Name],
		Failure:    failures[m.Spec.InfrastructureRef.Name],
	}
}

// failures of VMs that never ran, by MGKMachine. While the cloud cannot be reached or is overloaded nothing is known: no failure.
func failures(vms []infrav1.MGKMachine) map[string]string {
	out := map[string]string{}
	for i := range vms {
		vm := &vms[i]
		c := conditions.Get(vm, infrav1.InstanceReadyCondition)
		if c == nil || c.Status != metav1.ConditionFalse || ptr.Deref(vm.Status.Initialization.Provisioned, false) ||
			conditions.IsFalse(vm, infrav1.CloudReachableCondition) {
			continue
		}
		switch c.Reason {
		case "Failed", "CreationFailed", "Recreating":
			out[vm.Name] = c.Message
		}
	}
	return out
}

// removing is the record of the machines for which the target was reduced. It changes together with the target, in one write.
func removing(md *clusterv1.MachineDeployment) map[string]bool {
	out := map[string]bool{}
	for _, name := range list(md.Annotations[removingAnnotation]) {
		out[name] = true
	}
	return out
}

func list(v string) []string {
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
