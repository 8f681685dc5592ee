package mkeapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

const (
	// heartbeat keeps connections alive, and shows what changes by time alone.
	heartbeat = 15 * time.Second
	// streamWriteTimeout bounds how long a client may not take what is sent to it.
	streamWriteTimeout = 10 * time.Second
	eventStream        = "text/event-stream"
	// stateDeleted is the published state of what is gone.
	stateDeleted = "Deleted"
)

// Resume is where a client's last event stream ended.
type Resume struct {
	Language
	LastEventID string `header:"Last-Event-ID" doc:"The last event that was seen; those after it follow"`
}

func (r Resume) after() int64 {
	after, err := strconv.ParseInt(r.LastEventID, 10, 64)
	if err != nil {
		return 0 // what is no id of ours was never seen
	}
	return max(after, 0)
}

// clusterEvent is the state of a cluster in an event stream.
type clusterEvent struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Version string       `json:"version"`
	Status  singleStatus `json:"status"`
}

// event is one message of a stream.
type event struct {
	id   int64
	kind string
	data any
}

// stream tells a client what changes, of a cluster or of one operation.
type stream struct {
	*Server
	lang    problem.Lang
	tenant  string
	cluster uuid.UUID
	after   int64
	stalled map[uuid.UUID]bool // operations of which that was told
	// read returns what has changed since after, and whether nothing more will.
	read func(ctx context.Context) (events []event, ended bool, err error)
}

func (s *Server) clusterEvents(ctx context.Context, in *struct {
	ClusterPath
	Resume
}) (*huma.StreamResponse, error) {
	c, err := s.cluster(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	t := s.stream(ctx, c.ID, in.Resume)
	t.read = t.readCluster
	return t.open()
}

func (s *Server) operationEvents(ctx context.Context, in *struct {
	OperationPath
	Resume
}) (*huma.StreamResponse, error) {
	id, err := parseID(in.OperationID, problem.OperationNotFound)
	if err != nil {
		return nil, err
	}
	op, err := s.store.GetOperation(ctx, tenantOf(ctx), id)
	if err != nil {
		return nil, err
	}
	t := s.stream(ctx, op.ClusterID, in.Resume)
	t.read = func(ctx context.Context) ([]event, bool, error) { return t.readOperation(ctx, id) }
	return t.open()
}

func (s *Server) stream(ctx context.Context, cluster uuid.UUID, in Resume) *stream {
	return &stream{Server: s, lang: in.lang(), tenant: tenantOf(ctx), cluster: cluster, after: in.after(), stalled: map[uuid.UUID]bool{}}
}

func (t *stream) open() (*huma.StreamResponse, error) {
	wake, leave, err := t.hub.join(t.tenant, t.cluster)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer leave()
		r, w := humachi.Unwrap(ctx)
		t.run(r.Context(), w, wake)
	}}, nil
}

// run sends events until nothing more can happen, the client leaves, or the server ends.
func (t *stream) run(ctx context.Context, w http.ResponseWriter, wake <-chan struct{}) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's limits are for requests
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	send := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
		_, err := w.Write([]byte(text))
		return err == nil && control.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for open := send("retry: 1000\n\n"); open; {
		events, ended, err := t.read(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.log.Warn("read what has changed", "cluster_id", t.cluster, "error", err)
			}
			return // the client comes back
		}
		for _, e := range events {
			t.after = max(t.after, e.id)
			e.id = t.after // also of what was told again because time has passed
			open = open && send(e.text())
		}
		if ended {
			send("event: end\ndata: {}\n\n")
			return
		}
		select {
		case <-wake:
		case <-beat.C:
			open = open && send(": heartbeat\n\n")
		case <-t.hub.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (e event) text() string {
	data, err := json.Marshal(e.data)
	if err != nil {
		panic(err) // our own types
	}
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.id, e.kind, data)
}

// readCluster returns what has changed of a cluster, its node pools and their operations, in order. The first time, all that is there
// and every operation under way.
func (t *stream) readCluster(ctx context.Context) (events []event, ended bool, err error) {
	changes, err := t.store.Changes(ctx, t.cluster, t.after)
	if err != nil {
		return nil, false, err
	}
	for i := range changes.Operations {
		events = append(events, t.operation(&changes.Operations[i], changes.Retries))
	}
	for i := range changes.NodePools {
		p := &changes.NodePools[i]
		item := toNodePoolItem(p)
		if p.DeletedAt != nil {
			item.Status = toMultiStatus(stateDeleted, "")
		}
		events = append(events, event{p.Changes, "node_pool", item})
	}
	c := &changes.Cluster
	ended = c.DeletedAt != nil
	if c.Changes > t.after {
		e := clusterEvent{ID: c.ID.String(), Name: c.Name, Version: c.Version, Status: toStatus(c)}
		if ended {
			e.Status = singleStatus{State: stateDeleted}
		}
		events = append(events, event{c.Changes, "cluster", e})
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.id, b.id) })
	return append(events, t.newlyStalled(changes.Open, changes.Retries)...), ended, nil
}

func (t *stream) readOperation(ctx context.Context, id uuid.UUID) (events []event, ended bool, err error) {
	op, err := t.store.GetOperation(ctx, t.tenant, id)
	if err != nil {
		return nil, false, err
	}
	retries, err := t.store.Retries(ctx, []db.Operation{*op})
	if err != nil {
		return nil, false, err
	}
	if op.Changes > t.after {
		events = append(events, t.operation(op, retries))
	}
	return append(events, t.newlyStalled([]db.Operation{*op}, retries)...), op.FinishedAt != nil, nil
}

func (t *stream) operation(op *db.Operation, retries record.Retries) event {
	t.stalled[op.ID] = record.Stalled(op, time.Now())
	return event{op.Changes, "operation", toOperation(op, t.lang, retries)}
}

// newlyStalled returns operations that have stalled without any change that would have told so.
func (t *stream) newlyStalled(open []db.Operation, retries record.Retries) (events []event) {
	for i := range open {
		if op := &open[i]; record.Stalled(op, time.Now()) && !t.stalled[op.ID] {
			events = append(events, t.operation(op, retries))
		}
	}
	return events
}
