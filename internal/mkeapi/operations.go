package mkeapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// operationResponse tells how far a change has come. It is not part of the published contract.
type operationResponse struct {
	ID         string           `json:"id"`
	Kind       string           `json:"kind" enum:"CreateCluster,UpdateCluster,DeleteCluster,CreateNodePool,UpdateNodePool,DeleteNodePool"`
	ClusterID  string           `json:"cluster_id"`
	NodePoolID *uuid.UUID       `json:"node_pool_id,omitempty"`
	State      string           `json:"state" enum:"Running,Stalled,Succeeded,Failed,Cancelled"`
	Percentage int32            `json:"percentage"`
	Message    string           `json:"message" doc:"What is being waited for"`
	Phases     []phaseResponse  `json:"phases" nullable:"false"`
	Errors     []operationError `json:"errors" nullable:"false"`
	Removed    []cloudObject    `json:"removed,omitempty" nullable:"false" doc:"What the deletion of a cluster removes in the cloud; all of it is gone when the operation has succeeded"`
	Kept       []cloudObject    `json:"kept,omitempty" nullable:"false" doc:"What the deletion of a cluster leaves in the cloud, where it costs money until it is deleted"`
	CreatedAt  time.Time        `json:"created_at"`
	FinishedAt *time.Time       `json:"finished_at,omitempty"`

	StalledSince *time.Time `json:"stalled_since,omitempty" doc:"Of Stalled ones, when something has moved last"`
	RetryAt      *time.Time `json:"retry_at,omitempty" doc:"When what has failed is tried again"`
}

type phaseResponse struct {
	Name       string     `json:"name"`
	State      string     `json:"state" enum:"Pending,Running,Succeeded,Failed"`
	Message    string     `json:"message"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

type operationError struct {
	Code     string             `json:"code"`
	Message  string             `json:"message"`
	Hint     string             `json:"hint,omitempty"`
	Resource *operationResource `json:"resource,omitempty" doc:"What it is about"`
}

type operationResource struct {
	Kind string `json:"kind" enum:"Cluster,NodePool"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// OperationPath is the path of an operation.
type OperationPath struct {
	OperationID string `path:"operation_id" doc:"UUID of the operation"`
}

// Language is what a client reads.
type Language struct {
	AcceptLanguage string `header:"Accept-Language" doc:"pt-BR gives Portuguese"`
}

func (l Language) lang() problem.Lang { return problem.LangOf(l.AcceptLanguage) }

// cloudObject is an object that a cluster made in the cloud for what runs in it.
type cloudObject struct {
	Kind    string `json:"kind" enum:"LoadBalancer,PublicIP,Volume,Snapshot"`
	ID      string `json:"id" doc:"In the product that the kind belongs to"`
	Name    string `json:"name" doc:"The address, for public IPs"`
	SizeGiB int32  `json:"size_gib,omitempty" doc:"Of volumes and snapshots"`
	Service string `json:"service,omitempty" doc:"The Service that it was made for, as namespace/name"`
	Reason  string `json:"reason,omitempty" doc:"Why it is kept although it was to go"`
}

func toOperation(op *db.Operation, lang problem.Lang, retries record.Retries) operationResponse {
	r := operationResponse{
		ID: op.ID.String(), Kind: op.Kind, ClusterID: op.ClusterID.String(), NodePoolID: op.NodePoolID, State: op.State,
		Percentage: op.Percentage, Message: problem.Progress(lang, op.Message), CreatedAt: op.CreatedAt.UTC(), FinishedAt: op.FinishedAt, RetryAt: retries.Of(op),
		Phases: make([]phaseResponse, len(op.Phases)), Errors: make([]operationError, len(op.Errors)),
	}
	for i, p := range op.Phases {
		r.Phases[i] = phaseResponse(p)
		r.Phases[i].Message = problem.Progress(lang, p.Message)
	}
	for i, e := range op.Errors {
		r.Errors[i] = toOperationError(e, lang)
	}
	for _, o := range op.Removed {
		r.Removed = append(r.Removed, cloudObject(o))
	}
	for _, o := range op.Kept {
		r.Kept = append(r.Kept, cloudObject(o))
	}
	if record.Stalled(op, time.Now()) {
		since := op.MovedAt.UTC()
		r.State, r.StalledSince = record.OperationStalled, &since
		message, hint := problem.OperationStalled.Say(lang, since.Format(time.RFC3339), r.Message)
		r.Errors = append(r.Errors, operationError{Code: problem.OperationStalled.Slug, Message: message, Hint: hint})
	}
	return r
}

func toOperationError(e db.OperationError, lang problem.Lang) operationError {
	r := operationError{Code: e.Code, Message: e.Message}
	if e.Resource != nil {
		r.Resource = &operationResource{e.Resource.Kind, e.Resource.ID, e.Resource.Name}
	}
	if kind := problem.Find(e.Code); kind != nil { // else it is from before there were codes
		r.Message, r.Hint = kind.Say(lang, problem.Progress(lang, e.Message))
	}
	return r
}

// operationsPage is a part of a list of operations, which only ever grows.
type operationsPage struct {
	Results    []operationResponse `json:"results" nullable:"false"`
	NextOffset int                 `json:"next_offset,omitempty" doc:"Give it as _offset to get the operations that follow; absent on the last page"`
}

// pageOfOperations answers with a page, which find gets from the record.
func (s *Server) pageOfOperations(ctx context.Context, p Page, lang problem.Lang, find func(limit, offset int) ([]db.Operation, error)) (*answer[operationsPage], error) {
	limit, offset, err := p.parse()
	if err != nil {
		return nil, err
	}
	limit = min(limit, maxPage)
	rows, err := find(limit+1, offset) // one more tells whether there is a next page
	if err != nil {
		return nil, err
	}
	page := operationsPage{}
	if len(rows) > limit {
		rows, page.NextOffset = rows[:limit], offset+limit
	}
	retries, err := s.store.Retries(ctx, rows)
	if err != nil {
		return nil, err
	}
	page.Results = make([]operationResponse, len(rows))
	for i := range rows {
		page.Results[i] = toOperation(&rows[i], lang, retries)
	}
	return &answer[operationsPage]{page}, nil
}

func (s *Server) listOperations(ctx context.Context, in *struct {
	ClusterPath
	Page
	Language
}) (*answer[operationsPage], error) {
	id, err := parseID(in.ClusterID, problem.ClusterNotFound)
	if err != nil {
		return nil, err
	}
	return s.pageOfOperations(ctx, in.Page, in.lang(), func(limit, offset int) ([]db.Operation, error) {
		return s.store.ListOperations(ctx, tenantOf(ctx), id, limit, offset)
	})
}

// OperationQuery chooses among all operations of the tenant.
type OperationQuery struct {
	State     string `query:"state" doc:"Running, Stalled, Succeeded, Failed or Cancelled"`
	Kind      string `query:"kind" doc:"CreateCluster, UpdateCluster, DeleteCluster, CreateNodePool, UpdateNodePool or DeleteNodePool"`
	ClusterID string `query:"cluster_id" doc:"UUID of a cluster, also of one that is gone"`
}

var (
	operationStates = []string{record.OperationRunning, record.OperationStalled, record.OperationSucceeded, record.OperationFailed, record.OperationCancelled}
	operationKinds  = []string{record.CreateCluster, record.UpdateCluster, record.DeleteCluster, record.CreateNodePool, record.UpdateNodePool, record.DeleteNodePool}
)

func (q OperationQuery) filter() (f record.OperationFilter, err error) {
	var l problem.List
	f.State, f.Kind = chosen(&l, "state", q.State, operationStates), chosen(&l, "kind", q.Kind, operationKinds)
	if q.ClusterID != "" {
		id, err := uuid.Parse(q.ClusterID)
		if err != nil {
			l.Add("cluster_id", problem.WrongType, "uuid")
		}
		f.ClusterID = &id
	}
	return f, l.Err()
}

// chosen is the value of a parameter that takes only some, nil if it is not given.
func chosen(l *problem.List, field, value string, from []string) *string {
	if value == "" {
		return nil
	}
	if !slices.Contains(from, value) {
		l.Add(field, problem.InvalidChoice, value, strings.Join(from, ", "))
	}
	return &value
}

func (s *Server) findOperations(ctx context.Context, in *struct {
	OperationQuery
	Page
	Language
}) (*answer[operationsPage], error) {
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	return s.pageOfOperations(ctx, in.Page, in.lang(), func(limit, offset int) ([]db.Operation, error) {
		return s.store.FindOperations(ctx, tenantOf(ctx), filter, limit, offset)
	})
}

func (s *Server) getOperation(ctx context.Context, in *struct {
	OperationPath
	Language
}) (*answer[operationResponse], error) {
	id, err := parseID(in.OperationID, problem.OperationNotFound)
	if err != nil {
		return nil, err
	}
	op, err := s.store.GetOperation(ctx, tenantOf(ctx), id)
	if err != nil {
		return nil, err
	}
	retries, err := s.store.Retries(ctx, []db.Operation{*op})
	if err != nil {
		return nil, err
	}
	return &answer[operationResponse]{toOperation(op, in.lang(), retries)}, nil
}
