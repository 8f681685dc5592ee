package autoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// messagePause bounds how often the words about a pool change while its state stays the same.
const messagePause = 10 * time.Second

// States of a pool, in its MachineDeployment's annotation.
const (
	stateUp      = "ScalingUp"
	stateDown    = "ScalingDown"
	stateBlocked = "Blocked"
	stateIdle    = "Idle"
)

// PoolStatus is what the autoscaler does with a node pool, in plain words: the value of nodegroup.StatusAnnotation.
type PoolStatus struct {
	State   string    `json:"state"`
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

type poolWritten struct {
	value string
	at    time.Time
}

// report shows what the look saw and did.
func (a *autoscaler) report(ctx context.Context, l *look) error {
	a.setMetrics(l)
	errs := []error{a.writeStatus(ctx, l)}
	for i := range l.views {
		errs = append(errs, a.reportPool(ctx, l, &l.views[i]))
	}
	return errors.Join(errs...)
}

func (a *autoscaler) reportPool(ctx context.Context, l *look, v *view) error {
	if v.Deleting {
		return nil
	}
	var before PoolStatus
	_ = json.Unmarshal([]byte(v.Status), &before) // what cannot be read is replaced
	s := a.poolStatus(l, v)
	if s.State == before.State {
		s.Since = before.Since
		if s.Message == before.Message {
			return nil
		}
		if last := a.status.pools[v.Name]; l.now.Sub(last.at) < messagePause {
			l.wakeAt(last.at.Add(messagePause))
			return nil
		}
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if last := a.status.pools[v.Name]; last.value == string(data) {
		return nil // written; the watch has not told of it yet
	}
	if err := a.groups.SetStatus(ctx, v.Name, string(data)); err != nil {
		return fmt.Errorf("status of node pool %s: %w", v.Name, err)
	}
	a.status.pools[v.Name] = poolWritten{string(data), l.now}
	return nil
}

func (a *autoscaler) poolStatus(l *look, v *view) PoolStatus {
	s := PoolStatus{State: stateIdle, Since: l.now.UTC().Truncate(time.Second)}
	blocked := a.backoff.blocked(v.Name, l.now)
	going := 0
	for _, d := range a.down.drains {
		if d.group == v.Name {
			going++
		}
	}
	for _, m := range v.leaving {
		if m.Removed {
			going++
		}
	}
	switch {
	case !l.health.safe:
		s.State, s.Message = stateBlocked, fmt.Sprintf("%d of the cluster's %d nodes are not ready: no node is added or removed meanwhile", l.health.counts.unready, l.health.counts.total)
	case !a.templates.known(v):
		s.State, s.Message = stateBlocked, unknownOffer
	case blocked != "":
		s.State, s.Message = stateBlocked, blocked
	case v.upcoming > 0:
		s.State, s.Message = stateUp, fmt.Sprintf("%d of %d nodes are coming up", v.upcoming, v.Target)
	case going > 0:
		s.State, s.Message = stateDown, fmt.Sprintf("%d nodes are being removed", going)
	case a.up.atMax[v.Name]:
		s.State, s.Message = stateBlocked, fmt.Sprintf("Pods wait for nodes, and the pool is at its largest size of %d", v.Max)
	default:
		s.Message = a.stays(v, l.now)
	}
	return s
}
