package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// replayWindow is how much older than its answer an operation may be: the time that all attempts of one command take.
const replayWindow = 15 * time.Second

type waitFlags struct {
	wait    bool
	timeout time.Duration
}

func (w *waitFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&w.wait, "wait", "w", false, "wait until it is done, and show the phases as they happen")
	cmd.Flags().DurationVar(&w.timeout, "wait-timeout", 30*time.Minute, "longest `time` to wait; the work goes on after it")
}

// target is what a change was made to.
type target struct {
	what        string // for people: cluster meu-cluster
	verb        string // create, update or delete
	clusterID   string
	clusterName string // as the user gave it
	poolID      string // empty for clusters
	operationID string // empty when the server has none

	// Of what is no cluster or node pool: how to see how far it is, and the command that shows it.
	look func(ctx context.Context, c *client) (snapshot, error)
	see  string
}

func (t target) path() string {
	if t.poolID != "" {
		return nodePoolPath(t.clusterID, t.poolID)
	}
	return clusterPath(t.clusterID)
}

// follow is the command that shows how the work goes on.
func (t target) follow() string {
	switch {
	case t.see != "":
		return t.see
	case t.operationID != "":
		return "mgc kubernetes operation get " + t.operationID
	case t.poolID != "":
		return "mgc kubernetes nodepool get " + t.clusterID + " " + t.poolID
	}
	return "mgc kubernetes cluster get " + t.clusterID
}

// finish ends a change that the server accepted: it waits when asked to, and prints the object (nothing after a deletion).
func (a *app) finish(ctx context.Context, c *client, t target, ans *answer, w waitFlags, v view) error {
	if !w.wait {
		if t.verb == "delete" {
			a.notef("Deleting %s. Follow it with: %s", t.what, t.follow())
			return nil
		}
		return a.print(ans.Body, "yaml", v)
	}
	t.operationID = c.findOperation(ctx, t, ans)
	if err := a.wait(ctx, c, t, w.timeout); err != nil {
		return err
	}
	if t.verb == "delete" {
		return a.leftBehind(ctx, c, t)
	}
	now, err := c.do(ctx, http.MethodGet, t.path(), nil)
	if err != nil {
		return err
	}
	return a.print(now.Body, "table", v)
}

// findOperation returns the operation that a change started: the newest of the target, unless it is older than the change. A server
// without operations, or a change that needs no work, has none.
func (c *client) findOperation(ctx context.Context, t target, ans *answer) string {
	var list results[operation]
	if c.getInto(ctx, clusterOperationsPath(t.clusterID), &list) != nil {
		return ""
	}
	kind := strings.ToUpper(t.verb[:1]) + t.verb[1:] + "Cluster"
	if t.poolID != "" {
		kind = strings.TrimSuffix(kind, "Cluster") + "NodePool"
	}
	answered, err := http.ParseTime(ans.Header.Get("Date"))
	if err != nil {
		return ""
	}
	for _, o := range list.Results {
		// Date has whole seconds, and a repeated request may answer for the first one.
		if o.Kind == kind && o.NodePoolID == t.poolID && o.CreatedAt.After(answered.Add(-replayWindow)) {
			return o.ID
		}
	}
	return ""
}

// snapshot is how far the work is.
type snapshot struct {
	done    bool
	failure string // why it failed; empty while it did not
	percent int
	message string // what is waited for
	phases  []phase
}

// wait looks again and again until the work is done. Errors of the network and of the server do not end it.
func (a *app) wait(ctx context.Context, c *client, t target, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	looker := *c
	looker.retries = 1 // the loop itself tries again
	show := a.newProgress(t)
	defer show.close()
	var last snapshot
	for {
		s, err := looker.look(ctx, &t)
		switch {
		case ctx.Err() != nil:
			return a.waitEnded(ctx, t, last, timeout)
		case err != nil && !transient(err):
			return err
		case err != nil:
			s = last
			s.message = "cannot reach the API, trying again: " + err.Error()
		}
		last = s
		show.update(s)
		if s.failure != "" {
			return fmt.Errorf("%s: %s failed: %s\nSee: %s", t.what, t.verb, s.failure, t.follow())
		}
		if s.done {
			show.finished()
			return nil
		}
		select {
		case <-ctx.Done():
			return a.waitEnded(ctx, t, last, timeout)
		case <-time.After(a.poll):
		}
	}
}

func (a *app) waitEnded(ctx context.Context, t target, last snapshot, timeout time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: %s is not done after %s (%s); it goes on, follow it with: %s",
			t.what, t.verb, timeout, firstOf(last.message, "no more is known"), t.follow())
	}
	return &interruptedError{fmt.Sprintf("stopped waiting; %s of %s goes on, follow it with: %s", t.verb, t.what, t.follow())}
}

func transient(err error) bool {
	var api *apiError
	if !errors.As(err, &api) {
		var permanent *permanentError
		return !errors.As(err, &permanent)
	}
	return api.Status >= 500 || api.Status == http.StatusTooManyRequests
}

// look asks for the operation, or for the object itself where the server has no operations.
func (c *client) look(ctx context.Context, t *target) (snapshot, error) {
	if t.look != nil {
		return t.look(ctx, c)
	}
	if t.operationID != "" {
		var o operation
		err := c.getInto(ctx, operationPath(t.operationID), &o)
		if err == nil {
			return o.snapshot(), nil
		}
		if !isStatus(err, http.StatusNotFound) {
			return snapshot{}, err
		}
		t.operationID = ""
	}
	return c.lookAtObject(ctx, t)
}

func (o operation) snapshot() snapshot {
	s := snapshot{percent: o.Percentage, message: o.Message, phases: o.Phases}
	switch o.State {
	case stateSucceeded:
		s.done = true
	case stateFailed, stateCancelled:
		s.failure = firstOf(o.Message, "the server gave no reason")
		if len(o.Errors) > 0 {
			s.failure = o.Errors[0].Message
			if o.Errors[0].Hint != "" {
				s.failure += "\nHint: " + o.Errors[0].Hint
			}
		}
	}
	return s
}

func (c *client) lookAtObject(ctx context.Context, t *target) (snapshot, error) {
	ans, err := c.do(ctx, http.MethodGet, t.path(), nil)
	if t.verb == "delete" && isStatus(err, http.StatusNotFound, http.StatusGone) {
		return snapshot{done: true}, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	var object struct {
		Status status `json:"status"`
	}
	if err := json.Unmarshal(ans.Body, &object); err != nil {
		return snapshot{}, &permanentError{decode(ans.Body, &object)}
	}
	s := snapshot{message: object.Status.text()}
	switch object.Status.State {
	case "Deleted":
		s.done = true
	case stateRunning, "Provisioned":
		s.done = t.verb != "delete"
	case stateFailed:
		s.failure = s.message
	}
	return s, nil
}
