package nodegroup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrChanged says that the group is not any more what the decision was made for.
var ErrChanged = errors.New("the node pool has changed meanwhile")

// marksAtOnce bounds the concurrent patches of Machines.
const marksAtOnce = 16

// Resize sets the target, provided that it still is from: a repeated or late call changes nothing.
func (p *Provider) Resize(ctx context.Context, group string, from, to int) error {
	return p.update(ctx, group, func(md *clusterv1.MachineDeployment) error {
		if int(ptr.Deref(md.Spec.Replicas, 0)) != from || !md.DeletionTimestamp.IsZero() {
			return fmt.Errorf("%s: %w", group, ErrChanged)
		}
		md.Spec.Replicas = ptr.To(int32(to))
		return nil
	})
}

// Remove takes machines out of the group. First each is marked, so that Cluster API deletes it and no other; then one write reduces
// the target and records for whom. Whoever dies in between leaves marks without a record, which Restore takes away; whoever asks
// again for a recorded machine reduces nothing. floor is the size under which the group must not come.
func (p *Provider) Remove(ctx context.Context, group string, floor int, machines []string) error {
	marked, err := p.mark(ctx, machines)
	if err != nil || len(marked) == 0 {
		return err
	}
	return p.update(ctx, group, func(md *clusterv1.MachineDeployment) error {
		record := removing(md)
		var todo []string
		for _, name := range marked {
			if !record[name] {
				todo = append(todo, name)
			}
		}
		if len(todo) == 0 {
			return nil
		}
		to := int(ptr.Deref(md.Spec.Replicas, 0)) - len(todo)
		if to < floor {
			return fmt.Errorf("%s: %w", group, ErrChanged)
		}
		if err := p.forget(ctx, record); err != nil {
			return err
		}
		for _, name := range todo {
			record[name] = true
		}
		setRecord(md, record)
		md.Spec.Replicas = ptr.To(int32(to))
		return nil
	})
}

// mark returns the machines that exist, are not being deleted, and now carry the mark.
func (p *Provider) mark(ctx context.Context, machines []string) ([]string, error) {
	marked := make([]bool, len(machines))
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(marksAtOnce)
	for i, name := range machines {
		workers.Go(func() error {
			m := &clusterv1.Machine{}
			err := p.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, m)
			if apierrors.IsNotFound(err) || (err == nil && !m.DeletionTimestamp.IsZero()) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("machine %s: %w", name, err)
			}
			marked[i] = true
			if m.Annotations[clusterv1.DeleteMachineAnnotation] != "" {
				return nil
			}
			before := m.DeepCopy()
			if m.Annotations == nil {
				m.Annotations = map[string]string{}
			}
			m.Annotations[clusterv1.DeleteMachineAnnotation] = markValue
			if err := p.Client.Patch(ctx, m, client.MergeFrom(before)); err != nil {
				return fmt.Errorf("mark machine %s: %w", name, err)
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	var out []string
	for i, ok := range marked {
		if ok {
			out = append(out, machines[i])
		}
	}
	return out, nil
}

// forget drops machines from the record that exist no more.
func (p *Provider) forget(ctx context.Context, record map[string]bool) error {
	for name := range record {
		err := p.Cache.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, &clusterv1.Machine{})
		if apierrors.IsNotFound(err) {
			delete(record, name)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Restore makes a chosen machine an ordinary one again. With keepRecorded it does so only if the target was not reduced for it;
// without, the record is taken back first: for a machine that stays although the target was reduced, because another went.
func (p *Provider) Restore(ctx context.Context, group, name string, keepRecorded bool) error {
	recorded := false
	err := p.update(ctx, group, func(md *clusterv1.MachineDeployment) error {
		record := removing(md)
		recorded = record[name]
		if !recorded || keepRecorded {
			return nil
		}
		delete(record, name)
		setRecord(md, record)
		return nil
	})
	if err != nil || (recorded && keepRecorded) {
		return err
	}
	m := &clusterv1.Machine{}
	if err := p.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, m); err != nil {
		return client.IgnoreNotFound(err)
	}
	if m.Annotations[clusterv1.DeleteMachineAnnotation] != markValue {
		return nil
	}
	before := m.DeepCopy()
	delete(m.Annotations, clusterv1.DeleteMachineAnnotation)
	return client.IgnoreNotFound(p.Client.Patch(ctx, m, client.MergeFrom(before)))
}

// SetStatus writes StatusAnnotation.
func (p *Provider) SetStatus(ctx context.Context, group, status string) error {
	return p.update(ctx, group, func(md *clusterv1.MachineDeployment) error {
		if md.Annotations == nil {
			md.Annotations = map[string]string{}
		}
		md.Annotations[StatusAnnotation] = status
		return nil
	})
}

// update changes a MachineDeployment as it is on the server at this moment. Nothing is written if change changes nothing.
func (p *Provider) update(ctx context.Context, name string, change func(*clusterv1.MachineDeployment) error) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		md := &clusterv1.MachineDeployment{}
		if err := p.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, md); err != nil {
			return fmt.Errorf("node pool %s: %w", name, err)
		}
		before := md.DeepCopy()
		if err := change(md); err != nil {
			return err
		}
		if ptr.Equal(before.Spec.Replicas, md.Spec.Replicas) && maps.Equal(before.Annotations, md.Annotations) {
			return nil
		}
		if err := p.Client.Patch(ctx, md, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return err
		}
		p.wrote(md)
		return nil
	})
}

func setRecord(md *clusterv1.MachineDeployment, record map[string]bool) {
	if len(record) == 0 {
		delete(md.Annotations, removingAnnotation)
		return
	}
	if md.Annotations == nil {
		md.Annotations = map[string]string{}
	}
	md.Annotations[removingAnnotation] = strings.Join(slices.Sorted(maps.Keys(record)), ",")
}
