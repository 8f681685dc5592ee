package record

import (
	"context"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// Kinds of operations.
const (
	CreateCluster  = "CreateCluster"
	UpdateCluster  = "UpdateCluster"
	DeleteCluster  = "DeleteCluster"
	CreateNodePool = "CreateNodePool"
	UpdateNodePool = "UpdateNodePool"
	DeleteNodePool = "DeleteNodePool"
)

// States of operations and their phases. Cancelled means that a newer operation took over.
const (
	OperationPending   = "Pending"
	OperationRunning   = "Running"
	OperationSucceeded = "Succeeded"
	OperationFailed    = "Failed"
	OperationCancelled = "Cancelled"
)

// Phases of operations, in the order in which they end.
const (
	PhaseRequested      = "Requested"      // the wish has reached the management cluster
	PhaseCredentials    = "Credentials"    // service account and API key of the cluster's components
	PhaseInfrastructure = "Infrastructure" // security groups and API load balancer
	PhaseAPIServer      = "APIServer"      // the customer's API server answers
	PhaseAddons         = "Addons"         // network and DNS are applied
	PhaseControlPlane   = "ControlPlane"   // control plane nodes are Ready
	PhaseNodePools      = "NodePools"      // the nodes of all pools are Ready
	PhaseNodes          = "Nodes"          // the nodes of the pool are as wanted, or gone
	PhaseResources      = "Resources"      // machines, load balancers, security groups and credentials are gone
	PhaseNamespace      = "Records"        // what the platform kept about the cluster is gone
)

func phasesOf(kind string, withPools bool) []string {
	switch kind {
	case CreateCluster:
		names := []string{PhaseRequested, PhaseCredentials, PhaseInfrastructure, PhaseAPIServer, PhaseAddons, PhaseControlPlane}
		if withPools {
			names = append(names, PhaseNodePools)
		}
		return names
	case UpdateCluster:
		return []string{PhaseRequested, PhaseControlPlane}
	case DeleteCluster:
		return []string{PhaseRequested, PhaseResources, PhaseNamespace}
	default:
		return []string{PhaseRequested, PhaseNodes}
	}
}

// startOperation records a new operation and cancels the open ones of the same target.
func startOperation(ctx context.Context, q *db.Queries, kind string, c *db.Cluster, poolID *uuid.UUID, withPools bool) error {
	if poolID != nil || kind == UpdateCluster {
		if err := cancelSame(ctx, q, kind, c.ID, poolID); err != nil {
			return err
		}
	}
	now := Now()
	names := phasesOf(kind, withPools)
	phases := make([]db.Phase, len(names))
	for i, name := range names {
		phases[i] = db.Phase{Name: name, State: OperationPending}
	}
	phases[0].State, phases[0].StartedAt = OperationRunning, &now
	return q.InsertOperation(ctx, db.InsertOperationParams{ID: uuid.New(), TenantID: c.TenantID, ClusterID: c.ID, NodePoolID: poolID,
		Kind: kind, State: OperationRunning, Message: "requested", Phases: phases, CreatedAt: now})
}

func cancelSame(ctx context.Context, q *db.Queries, kind string, clusterID uuid.UUID, poolID *uuid.UUID) error {
	const message = "a newer change took over"
	if poolID != nil {
		return q.CancelOperations(ctx, db.CancelOperationsParams{ClusterID: clusterID, NodePoolID: poolID, Message: message})
	}
	open, err := q.ListOpenOperations(ctx, clusterID)
	if err != nil {
		return err
	}
	now := Now()
	for _, op := range open {
		if op.Kind == kind {
			op.State, op.Message, op.FinishedAt = OperationCancelled, message, &now
			if err := saveOperation(ctx, q, &op); err != nil {
				return err
			}
		}
	}
	return nil
}

func saveOperation(ctx context.Context, q *db.Queries, op *db.Operation) error {
	return q.UpdateOperation(ctx, db.UpdateOperationParams{ID: op.ID, State: op.State, Percentage: op.Percentage, Message: op.Message,
		Phases: op.Phases, Errors: op.Errors, FinishedAt: op.FinishedAt, Removed: op.Removed, Kept: op.Kept})
}

// finishOpenOperations ends the open operations of a cluster, or of one of its node pools, with success.
func finishOpenOperations(ctx context.Context, q *db.Queries, clusterID uuid.UUID, poolID *uuid.UUID) error {
	open, err := q.ListOpenOperations(ctx, clusterID)
	if err != nil {
		return err
	}
	now := Now()
	for i := range open {
		op := &open[i]
		if poolID != nil && (op.NodePoolID == nil || *op.NodePoolID != *poolID) {
			continue
		}
		for j := range op.Phases {
			FinishPhase(op, j, now)
		}
		op.State, op.Percentage, op.Message, op.FinishedAt = OperationSucceeded, 100, "done", &now
		if err := saveOperation(ctx, q, op); err != nil {
			return err
		}
	}
	return nil
}

// FinishPhase ends a phase of an operation with success and starts the next one. An ended phase keeps its times.
func FinishPhase(op *db.Operation, i int, at time.Time) {
	p := &op.Phases[i]
	if p.FinishedAt == nil {
		if p.StartedAt == nil || p.StartedAt.After(at) {
			p.StartedAt = &at
		}
		p.State, p.FinishedAt, p.Message = OperationSucceeded, &at, ""
	}
	if i+1 < len(op.Phases) && op.Phases[i+1].StartedAt == nil {
		op.Phases[i+1].State, op.Phases[i+1].StartedAt = OperationRunning, p.FinishedAt
	}
	op.Percentage = int32(100 * (i + 1) / len(op.Phases))
}

// GetOperation returns a tenant's operation, or operation_not_found.
func (s *Store) GetOperation(ctx context.Context, tenant string, id uuid.UUID) (*db.Operation, error) {
	op, err := s.q.GetOperation(ctx, db.GetOperationParams{ID: id, TenantID: tenant})
	return &op, notFound(err, problem.OperationNotFound)
}

// ListOperations returns a page of the operations of a tenant's cluster, newest first.
func (s *Store) ListOperations(ctx context.Context, tenant string, clusterID uuid.UUID, limit, offset int) ([]db.Operation, error) {
	if _, err := s.q.GetCluster(ctx, db.GetClusterParams{ID: clusterID, TenantID: tenant}); err != nil {
		return nil, notFound(err, problem.ClusterNotFound)
	}
	return s.q.ListOperations(ctx, db.ListOperationsParams{ClusterID: clusterID, Limit: int32(limit), Offset: int32(offset)})
}
