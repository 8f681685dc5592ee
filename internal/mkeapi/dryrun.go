package mkeapi

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// DryRun is the parameter of every change of a cluster or node pool. It is not part of the published contract.
type DryRun struct {
	DryRun string `query:"dry_run" doc:"true answers 200 with what would happen and changes nothing. Our extension"`
}

// parseSwitch reads a parameter that is true or false, false if absent.
func parseSwitch(field, value string) (bool, error) {
	if value == "" {
		return false, nil
	}
	yes, err := strconv.ParseBool(value)
	if err != nil {
		var l problem.List
		l.Add(field, problem.WrongType, "boolean")
		return false, l.Err()
	}
	return yes, nil
}

// attempt is the way in which a change is carried out: for real, or as a dry run.
type attempt struct {
	*Server
	store *record.Store
	dry   bool
	stock *Stock       // as far as it is needed
	after record.Usage // of a change that was admitted
}

// takeStock is for changes that make something in the cloud that has a quota, and for what dry runs tell.
func (a *attempt) takeStock(ctx context.Context) (err error) {
	a.stock, err = a.Server.stock(ctx)
	return err
}

func (s *Server) attempt(in DryRun) (*attempt, error) {
	dry, err := parseSwitch("dry_run", in.DryRun)
	a := &attempt{Server: s, store: s.store, dry: dry}
	if dry {
		a.store = s.store.DryRun()
	}
	return a, err
}

func (a *attempt) admit(before, after record.Usage) error {
	a.after = after
	return a.Server.admit(before, after, a.stock)
}

// outcome is the answer to a change: what was made or changed, or the plan of a dry run.
type outcome struct {
	Status int
	Body   any
}

func (a *attempt) outcome(ctx context.Context, status int, body any, plan func() *planResponse) (*outcome, error) {
	if !a.dry {
		return &outcome{status, body}, nil
	}
	if a.stock == nil {
		if err := a.takeStock(ctx); err != nil {
			return nil, err
		}
	}
	return &outcome{http.StatusOK, plan()}, nil
}

// planResponse tells what a change would do. It is not part of the published contract.
type planResponse struct {
	DryRun     bool            `json:"dry_run" doc:"Always true: nothing was changed"`
	Operation  string          `json:"operation" enum:"CreateCluster,UpdateCluster,DeleteCluster,CreateNodePool,UpdateNodePool,DeleteNodePool"`
	Changes    []planChange    `json:"changes" nullable:"false"`
	Quotas     []quotaResponse `json:"quotas" nullable:"false" doc:"As they are afterwards"`
	Cost       *price.Estimate `json:"estimated_cost" doc:"Of the cluster or node pool afterwards; of what is kept after a deletion"`
	CostChange costChange      `json:"cost_change"`
}

type costChange struct {
	Hourly  float64 `json:"hourly"`
	Monthly float64 `json:"monthly"`
}

// planChange is one thing that would happen.
type planChange struct {
	Action string `json:"action" enum:"create,update,replace,delete,keep" doc:"replace: nodes are replaced one after the other"`
	Kind   string `json:"kind" enum:"Cluster,ControlPlane,NodePool,Node,LoadBalancer,PublicIP,Volume,Snapshot"`
	Name   string `json:"name" doc:"Of the object; of nodes, their node pool"`
	ID     string `json:"id,omitempty" doc:"Of what exists in the cloud"`
	Count  int32  `json:"count" doc:"Number of objects"`
	Detail string `json:"detail,omitempty"`
}

// Actions of planChange.
const (
	planCreate  = "create"
	planUpdate  = "update"
	planReplace = "replace"
	planDelete  = "delete"
	planKeep    = "keep"
)

func (s *Server) plan(operation string, changes []planChange, usage record.Usage, stock *Stock, before, after []price.Item) *planResponse {
	if changes == nil {
		changes = []planChange{}
	}
	was, will := s.prices.Estimate(before), s.prices.Estimate(after)
	return &planResponse{DryRun: true, Operation: operation, Changes: changes, Quotas: s.toQuotas(usage, stock), Cost: will,
		CostChange: costChange{price.Round(will.Hourly-was.Hourly, 4), price.Round(will.Monthly-was.Monthly, 2)}}
}

// objects asks the cloud what a cluster made there.
func (s *Server) objects(ctx context.Context, c *record.Cluster) ([]CloudObject, error) {
	objects, err := s.cloud.Objects(ctx, c.TenantID, c.ID.String())
	if err != nil {
		s.log.Warn("ask the cloud what a cluster made", "cluster_id", c.ID, "error", err)
		return nil, problem.New(problem.CloudUnavailable)
	}
	return objects, nil
}

// documentOutcome says what a change answers, and what its dry run does. T is nothing for answers without a body.
func documentOutcome[T any](s *Server, op *huma.Operation) {
	schema := func(t reflect.Type) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: s.registry.Schema(t, true, "")}}
	}
	plan, done := schema(reflect.TypeFor[planResponse]()), op.Responses[strconv.Itoa(op.DefaultStatus)]
	switch op.DefaultStatus {
	case http.StatusNoContent:
		done.Content = nil
	case http.StatusCreated:
		done.Content = schema(reflect.TypeFor[T]())
	default: // both are 200
		both := []*huma.Schema{s.registry.Schema(reflect.TypeFor[T](), true, ""), plan["application/json"].Schema}
		done.Content = map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{AnyOf: both}}}
		return
	}
	op.Responses["200"] = &huma.Response{Description: "What would happen; with dry_run=true", Content: plan}
}
