package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// waited is the path that --wait looks at, and the target that the wait is about.
func (in *invocation) waited(ans *answer, arguments map[string]string) (string, target, error) {
	words := strings.Fields(in.call.Wait)
	path := fill(words[0], arguments)
	what := in.call.Noun
	if strings.Contains(path, "{new}") {
		var made named
		if err := decode(ans.Body, &made); err != nil {
			return "", target{}, err
		}
		if made.ID == "" {
			return "", target{}, fmt.Errorf("the server's answer names nothing to wait for")
		}
		path, what = fill(path, map[string]string{"new": made.ID}), what+" "+made.ID
	} else if len(in.refs) > 0 {
		what += " " + in.about()
	}
	verb := in.call.Use[strings.LastIndex(in.call.Use, " ")+1:]
	return path, target{
		what: what, verb: verb, see: fmt.Sprintf("mgc %s %s list", in.product.Name, strings.Fields(in.call.Use)[0]),
		look: func(ctx context.Context, c *client) (snapshot, error) { return c.lookFor(ctx, path, words[1:]) },
	}, nil
}

// about is the one of the path's parameters that a change is made to: the last one, but what is attached is the first.
func (in *invocation) about() string {
	if strings.Contains(in.call.Path(), "}/attach/") {
		return in.refs[0].value
	}
	return in.refs[len(in.refs)-1].value
}

// lookFor reads an object and tells whether the conditions hold: "gone", or field=value.
func (c *client) lookFor(ctx context.Context, path string, conditions []string) (snapshot, error) {
	gone := conditions[0] == "gone"
	ans, err := c.do(ctx, http.MethodGet, path, nil)
	if gone && isStatus(err, http.StatusNotFound, http.StatusGone) {
		return snapshot{done: true}, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	var object map[string]any
	if err := json.Unmarshal(ans.Body, &object); err != nil {
		return snapshot{}, &permanentError{decode(ans.Body, &object)}
	}
	s := snapshot{done: !gone, message: firstOf(cellText(object["status"]), cellText(object["state"]), "there")}
	for _, condition := range conditions {
		field, wanted, _ := strings.Cut(condition, "=")
		s.done = s.done && cellText(object[field]) == wanted
	}
	switch status := cellText(object["status"]); {
	case status == "deleted" && gone:
		s.done = true
	case strings.Contains(status, "error") || status == "failed" || status == "canceled":
		s.failure = firstOf(cellText(at(object, []string{"error", "message"})), cellText(object["error_details"]), cellText(object["error"]), "the server gave no reason")
		s.failure = status + ": " + s.failure
	}
	return s, nil
}
