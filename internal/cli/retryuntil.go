package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/PaesslerAG/gval"
	"github.com/PaesslerAG/jsonpath"
)

const retryUntilExample = `--cli.retry-until '120,5s,jsonpath=$.status.state == "Running"'`

// retryUntil repeats a read until a condition on its answer is true.
type retryUntil struct {
	retries  int
	interval time.Duration
	text     string
	holds    gval.Evaluable
}

func parseRetryUntil(value string) (*retryUntil, error) {
	bad := func(problem string) error {
		return usagef("--cli.retry-until: %s; it is 'retries,interval,jsonpath=condition', for example:\n%s", problem, retryUntilExample)
	}
	parts := strings.SplitN(value, ",", 3)
	if len(parts) != 3 {
		return nil, bad("there must be three parts")
	}
	retries, err := strconv.Atoi(strings.TrimSpace(parts[0]))
	if err != nil || retries < 1 {
		return nil, bad("the first part must be a number, 1 or more")
	}
	interval, err := time.ParseDuration(strings.TrimSpace(parts[1]))
	if err != nil || interval < 0 {
		return nil, bad("the second part must be a time such as 5s")
	}
	engine, text, ok := strings.Cut(strings.TrimSpace(parts[2]), "=")
	if !ok || engine != "jsonpath" {
		return nil, bad("the third part must begin with jsonpath=")
	}
	holds, err := gval.Full(jsonpath.Language()).NewEvaluable(text)
	if err != nil {
		return nil, bad("the condition cannot be read: " + err.Error())
	}
	return &retryUntil{retries, interval, text, holds}, nil
}

func (r *retryUntil) run(ctx context.Context, get func() ([]byte, error)) ([]byte, error) {
	for try := 0; ; try++ {
		body, err := get()
		if err != nil {
			return nil, err
		}
		if r.met(ctx, body) {
			return body, nil
		}
		if try >= r.retries {
			return nil, fmt.Errorf("the condition %s is not met after %d retries", r.text, r.retries)
		}
		select {
		case <-ctx.Done():
			return nil, &interruptedError{"interrupted before the condition was met: " + r.text}
		case <-time.After(r.interval):
		}
	}
}

// met is false also when the answer lacks what the condition asks about.
func (r *retryUntil) met(ctx context.Context, body []byte) bool {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return false
	}
	ok, err := r.holds.EvalBool(ctx, v)
	return err == nil && ok
}
