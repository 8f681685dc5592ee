package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// streamSilence is how long a stream may be silent before it counts as lost; the server shows its life every 15 s.
const streamSilence = 45 * time.Second

func (a *app) operationWatch() *cobra.Command {
	id := operationRef()
	return withRefs(&cobra.Command{
		Use:   "watch",
		Short: "Follow an operation until it ends",
		Long: `Follow an operation until it ends, by the stream of its events. A lost connection is taken up again. The exit code tells how
the operation has ended. With -o json every event is one line of JSON.`,
		Example: "  mgc kubernetes operation watch 5b0c7f2e-1f0e-4c7e-9f52-0f6f0f6c3b11",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.kubernetes()
			if err != nil {
				return err
			}
			return a.watchOperation(cmd.Context(), c, id.value)
		},
	}, id)
}

// watchOperation shows the operation after each of its events.
func (a *app) watchOperation(ctx context.Context, c *client, id string) error {
	show := a.newProgress(target{what: "operation", verb: "update"})
	defer show.close()
	var last operation
	lastID := ""
	for {
		ended, err := c.stream(ctx, operationPath(id)+"/events", &lastID, func(kind string, data []byte) error {
			if kind != "operation" {
				return nil
			}
			last = operation{}
			if err := decode(data, &last); err != nil {
				return err
			}
			if a.extract != nil {
				return a.printExtract(data)
			}
			if a.opts.output == "json" {
				_, err := fmt.Fprintf(a.Out, "%s\n", data)
				return err
			}
			show.update(last.snapshot())
			return nil
		})
		switch {
		case ended:
			return a.watched(last)
		case ctx.Err() != nil:
			return &interruptedError{"stopped watching; the operation goes on, follow it with: mgc kubernetes operation watch " + id}
		case err != nil && !transient(err):
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(a.poll):
		}
	}
}

func (a *app) watched(o operation) error {
	s := o.snapshot()
	if s.failure != "" {
		return fmt.Errorf("%s has ended as %s: %s", o.Kind, o.State, s.failure)
	}
	a.notef("%s is done.", o.Kind)
	return nil
}

// stream reads a stream of events from after lastID, which it moves on. It returns when the server says that nothing more will come, or
// when the connection is lost.
func (c *client) stream(ctx context.Context, path string, lastID *string, each func(kind string, data []byte) error) (ended bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return false, usagef("cannot make a request to %s%s: %v", c.base, path, err)
	}
	if err := c.setHeaders(req, false, ""); err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if *lastID != "" {
		req.Header.Set("Last-Event-ID", *lastID)
	}
	endless := *c.http
	endless.Timeout = 0
	res, err := endless.Do(req)
	if err != nil {
		return false, unreachable(c.base, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		return false, newAPIError(res.StatusCode, res.Header, body)
	}
	silence := time.AfterFunc(streamSilence, cancel)
	defer silence.Stop()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxAnswer)
	var id, kind string
	var data []byte
	for lines.Scan() {
		silence.Reset(streamSilence)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "id":
			id = value
		case name == "event":
			kind = value
		case name == "data":
			data = []byte(value)
		case name == "" && value == "" && kind == "end":
			return true, nil
		case name == "" && value == "" && kind != "":
			if !json.Valid(data) {
				return false, errors.New("an event of the server is not JSON")
			}
			if err := each(kind, data); err != nil {
				return false, err
			}
			*lastID, kind, data = id, "", nil
		}
	}
	return false, lines.Err()
}
