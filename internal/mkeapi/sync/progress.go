package sync

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// conditionOf names the condition whose truth ends a phase of a cluster's creation.
var conditionOf = map[string]string{
	record.PhaseCredentials:    mkev1.CredentialsReadyCondition,
	record.PhaseInfrastructure: mkev1.InfrastructureReadyCondition,
	record.PhaseAPIServer:      mkev1.APIServerReadyCondition,
	record.PhaseAddons:         mkev1.AddonsReadyCondition,
	record.PhaseControlPlane:   mkev1.ControlPlaneReadyCondition,
}

// observationLag is how much later than a condition's own time, which has whole seconds, we may see it and still believe our clock.
const observationLag = 3 * time.Second

// writeOperation moves an open operation forward: phases that have ended, the percentage, what is waited for, and its end.
func (s *sight) writeOperation(op *db.Operation, c *record.Cluster, now time.Time) {
	if failed, message, what := failure(op, c); failed {
		fail(op, s.code(op), message, what)
		return
	}
	op.State, op.Errors = record.OperationRunning, []db.OperationError{}
	waitsFor := ""
	done := 0
	for i := range op.Phases {
		at, ended, message := s.phase(op, op.Phases[i].Name, c, now)
		if ended {
			done++
			endPhase(op, i, at)
			continue
		}
		if waitsFor == "" {
			waitsFor = message
		}
		op.Phases[i].Message = message
		if i == 0 || op.Phases[i-1].FinishedAt != nil || op.Phases[i].State == record.OperationFailed {
			startPhase(&op.Phases[i], now)
		}
	}
	op.Percentage = int32(100 * done / len(op.Phases))
	if done == len(op.Phases) {
		op.State, op.Message, op.FinishedAt = record.OperationSucceeded, "done", &now
		return
	}
	if waitsFor != "" {
		op.Message = waitsFor
	}
}

func startPhase(p *db.Phase, now time.Time) {
	p.State = record.OperationRunning
	if p.StartedAt == nil {
		p.StartedAt = &now
	}
}

func endPhase(op *db.Operation, i int, at time.Time) {
	if op.Phases[i].FinishedAt == nil {
		record.FinishPhase(op, i, at)
	}
}

// failure says whether what an operation works on has failed for good.
func failure(op *db.Operation, c *record.Cluster) (failed bool, message string, what db.Resource) {
	if op.NodePoolID == nil {
		return c.State == record.StateFailed, c.Message, db.Resource{Kind: "Cluster", ID: c.ID.String(), Name: c.Name}
	}
	for _, p := range c.Pools {
		if p.ID == *op.NodePoolID {
			return p.State == record.StateFailed, p.Message, db.Resource{Kind: "NodePool", ID: p.ID.String(), Name: p.Name}
		}
	}
	return false, "", what
}

// codes of failures by the reason that the operators give.
var codes = map[string]*problem.Kind{
	mkev1.CloudRefusedReason:      problem.CloudRefused,
	mkev1.CloudUnauthorizedReason: problem.CloudUnauthorized,
	mkev1.CloudUnavailableReason:  problem.CloudSilent,
}

// code classifies the failure of what an operation works on.
func (s *sight) code(op *db.Operation) string {
	var conditions []metav1.Condition
	if op.NodePoolID == nil && s.cluster != nil {
		conditions = s.cluster.Status.Conditions
	} else if op.NodePoolID != nil && s.pools[op.NodePoolID.String()] != nil {
		conditions = s.pools[op.NodePoolID.String()].Status.Conditions
	}
	for _, c := range conditions {
		if kind, known := codes[c.Reason]; known && c.Status != metav1.ConditionTrue {
			return kind.Slug
		}
	}
	return problem.OperationFailed.Slug
}

// fail marks an operation as failed without ending it: what the cloud refused, for example for a used up quota, is tried again, and
// the operation goes on when that succeeds.
func fail(op *db.Operation, code, message string, what db.Resource) {
	for i := range op.Phases {
		if p := &op.Phases[i]; p.State == record.OperationRunning {
			p.State, p.Message = record.OperationFailed, message
		}
	}
	op.State, op.Message = record.OperationFailed, message
	op.Errors = []db.OperationError{{Code: code, Message: message, Resource: &what}}
}

// phase says whether a phase has ended and when, else what is waited for.
func (s *sight) phase(op *db.Operation, name string, c *record.Cluster, now time.Time) (at time.Time, ended bool, waitsFor string) {
	switch name {
	case record.PhaseRequested:
		return now, s.requested(op, c), "waiting for the management cluster"
	case record.PhaseResources:
		return now, s.cluster == nil, c.Message
	case record.PhaseNamespace:
		return now, false, c.Message // the worker ends it when nothing is left
	case record.PhaseNodes:
		return s.poolPhase(op, c, now)
	case record.PhaseNodePools:
		return s.allPools(c, now)
	}
	if s.cluster == nil {
		return now, false, ""
	}
	if op.Kind == record.UpdateCluster {
		return now, s.settled(&c.Cluster), c.Message
	}
	condition := meta.FindStatusCondition(s.cluster.Status.Conditions, conditionOf[name])
	if condition == nil {
		return now, false, c.Message
	}
	if condition.Status != metav1.ConditionTrue {
		return now, false, firstOf(public(condition.Message), c.Message)
	}
	return when(condition, now), true, ""
}

func when(c *metav1.Condition, now time.Time) time.Time {
	if at := c.LastTransitionTime.UTC(); now.Sub(at) > observationLag {
		return at
	}
	return now
}

// requested says whether the wish has reached the management cluster.
func (s *sight) requested(op *db.Operation, c *record.Cluster) bool {
	switch {
	case op.Kind == record.DeleteCluster:
		return s.cluster == nil || !s.cluster.DeletionTimestamp.IsZero()
	case op.NodePoolID == nil:
		return s.cluster != nil && current(s.cluster, s.cluster.Generation, c.Revision)
	}
	pool := s.pools[op.NodePoolID.String()]
	if op.Kind == record.DeleteNodePool {
		return pool == nil || !pool.DeletionTimestamp.IsZero()
	}
	return pool != nil
}

func (s *sight) poolPhase(op *db.Operation, c *record.Cluster, now time.Time) (time.Time, bool, string) {
	if op.Kind == record.DeleteNodePool {
		pool := s.pools[op.NodePoolID.String()]
		if pool == nil {
			return now, false, "" // the worker ends it
		}
		return now, false, firstOf(public(pool.Status.Message), "removing the nodes")
	}
	for _, p := range c.Pools {
		if p.ID == *op.NodePoolID {
			return now, p.State == record.StateRunning, poolMessage(&p)
		}
	}
	return now, false, ""
}

func (s *sight) allPools(c *record.Cluster, now time.Time) (time.Time, bool, string) {
	for i := range c.Pools {
		if p := &c.Pools[i]; p.State != record.StateRunning {
			return now, false, p.Name + ": " + poolMessage(p)
		}
	}
	return now, true, ""
}

func poolMessage(p *db.NodePool) string {
	message := firstOf(p.Message, fmt.Sprintf("%d of %d nodes are ready", p.ReadyReplicas, p.Nodes()))
	if p.Autoscaler != "" {
		message += "; " + p.Autoscaler
	}
	return message
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
