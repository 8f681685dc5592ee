package mkeapi

import (
	"context"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// operationResponse tells how far a change has come. It is not part of the published contract.
type operationResponse struct {
	ID         string           `json:"id"`
	Kind       string           `json:"kind" enum:"CreateCluster,UpdateCluster,DeleteCluster,CreateNodePool,UpdateNodePool,DeleteNodePool"`
	ClusterID  string           `json:"cluster_id"`
	NodePoolID *uuid.UUID       `json:"node_pool_id,omitempty"`
	State      string           `json:"state" enum:"Running,Succeeded,Failed,Cancelled"`
	Percentage int32            `json:"percentage"`
	Message    string           `json:"message" doc:"What is being waited for"`
	Phases     []phaseResponse  `json:"phases" nullable:"false"`
	Errors     []operationError `json:"errors" nullable:"false"`
	Removed    []cloudObject    `json:"removed,omitempty" nullable:"false" doc:"What the deletion of a cluster removes in the cloud; all of it is gone when the operation has succeeded"`
	Kept       []cloudObject    `json:"kept,omitempty" nullable:"false" doc:"What the deletion of a cluster leaves in the cloud, where it costs money until it is deleted"`
	CreatedAt  time.Time        `json:"created_at"`
	FinishedAt *time.Time       `json:"finished_at,omitempty"`
}

type phaseResponse struct {
	Name       string     `json:"name"`
	State      string     `json:"state" enum:"Pending,Running,Succeeded,Failed"`
	Message    string     `json:"message"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

type operationError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// cloudObject is an object that a cluster made in the cloud for what runs in it.
type cloudObject struct {
	Kind    string `json:"kind" enum:"LoadBalancer,PublicIP,Volume,Snapshot"`
	ID      string `json:"id" doc:"In the product that the kind belongs to"`
	Name    string `json:"name" doc:"The address, for public IPs"`
	SizeGiB int32  `json:"size_gib,omitempty" doc:"Of volumes and snapshots"`
	Service string `json:"service,omitempty" doc:"The Service that it was made for, as namespace/name"`
	Reason  string `json:"reason,omitempty" doc:"Why it is kept although it was to go"`
}

func toOperation(op *db.Operation) operationResponse {
	r := operationResponse{
		ID: op.ID.String(), Kind: op.Kind, ClusterID: op.ClusterID.String(), NodePoolID: op.NodePoolID, State: op.State,
		Percentage: op.Percentage, Message: op.Message, CreatedAt: op.CreatedAt.UTC(), FinishedAt: op.FinishedAt,
		Phases: make([]phaseResponse, len(op.Phases)), Errors: make([]operationError, len(op.Errors)),
	}
	for i, p := range op.Phases {
		r.Phases[i] = phaseResponse(p)
	}
	for i, e := range op.Errors {
		r.Errors[i] = operationError(e)
	}
	for _, o := range op.Removed {
		r.Removed = append(r.Removed, cloudObject(o))
	}
	for _, o := range op.Kept {
		r.Kept = append(r.Kept, cloudObject(o))
	}
	return r
}

func (s *Server) listOperations(ctx context.Context, in *struct {
	ClusterPath
	Page
}) (*answer[results[operationResponse]], error) {
	id, err := parseID(in.ClusterID, problem.ClusterNotFound)
	if err != nil {
		return nil, err
	}
	limit, offset, err := in.parse()
	if err != nil {
		return nil, err
	}
	rows, err := s.store.ListOperations(ctx, tenantOf(ctx), id, limit, offset)
	if err != nil {
		return nil, err
	}
	list := make([]operationResponse, len(rows))
	for i := range rows {
		list[i] = toOperation(&rows[i])
	}
	return &answer[results[operationResponse]]{results[operationResponse]{list}}, nil
}

func (s *Server) getOperation(ctx context.Context, in *struct {
	OperationID string `path:"operation_id" doc:"UUID of the operation"`
}) (*answer[operationResponse], error) {
	id, err := parseID(in.OperationID, problem.OperationNotFound)
	if err != nil {
		return nil, err
	}
	op, err := s.store.GetOperation(ctx, tenantOf(ctx), id)
	if err != nil {
		return nil, err
	}
	return &answer[operationResponse]{toOperation(op)}, nil
}
