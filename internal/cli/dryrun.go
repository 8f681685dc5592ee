package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// changeFlags are those of every change: wait for its end, or only ask what it would do.
type changeFlags struct {
	waitFlags
	dryRun bool
}

func (f *changeFlags) add(cmd *cobra.Command) {
	f.waitFlags.add(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show what would happen, and change nothing")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "wait")
}

// plan is what a change would do.
type plan struct {
	Operation string `json:"operation"`
	Changes   []struct {
		Action string `json:"action"`
		Kind   string `json:"kind"`
		Name   string `json:"name"`
		Count  int    `json:"count"`
		Detail string `json:"detail"`
	} `json:"changes"`
	Quotas []quota `json:"quotas"`
	Cost   struct {
		Currency string   `json:"currency"`
		Hourly   float64  `json:"hourly"`
		Monthly  float64  `json:"monthly"`
		Unpriced []string `json:"unpriced"`
		Example  bool     `json:"example"`
	} `json:"estimated_cost"`
	CostChange struct {
		Hourly  float64 `json:"hourly"`
		Monthly float64 `json:"monthly"`
	} `json:"cost_change"`
}

// try asks what a change would do and shows it. A server without dry runs would ignore the parameter and do it, so that one is told by
// its lack of quotas, which came with dry runs.
func (a *app) try(ctx context.Context, c *client, method, path string, body any) error {
	if _, err := c.do(ctx, http.MethodGet, quotasPath, nil); err != nil {
		if isStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed) {
			return usagef("%s knows no dry run; nothing was sent", c.base)
		}
		return err
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	ans, err := c.do(ctx, method, path+separator+"dry_run=true", body)
	if err != nil {
		return err
	}
	if a.extract != nil || a.opts.output == "json" || a.opts.output == "yaml" {
		return a.print(ans.Body, "yaml", nil)
	}
	var p plan
	if err := decode(ans.Body, &p); err != nil {
		return err
	}
	return a.printPlan(p)
}

func (a *app) printPlan(p plan) error {
	if len(p.Changes) == 0 {
		_, err := fmt.Fprintln(a.Out, "Nothing would change.")
		return err
	}
	changes := &grid{columns: []column{{"would", false}, {"count", false}, {"kind", false}, {"name", true}, {"detail", false}}}
	for _, c := range p.Changes {
		changes.add(c.Action, strconv.Itoa(c.Count), c.Kind, c.Name, c.Detail)
	}
	if err := changes.render(a.Out, terminalWidth(a.Out)); err != nil {
		return err
	}
	of := "cost afterwards"
	if strings.HasPrefix(p.Operation, "Delete") {
		of = "cost of what is kept"
	}
	note := ""
	if p.Cost.Example {
		note = " (the server's prices are made up)"
	}
	fmt.Fprintf(a.Out, "\n%s: %s %.2f a month, %+.2f%s\n", strings.ToUpper(of[:1])+of[1:], p.Cost.Currency, p.Cost.Monthly, p.CostChange.Monthly, note)
	if len(p.Cost.Unpriced) > 0 {
		fmt.Fprintln(a.Out, "Without a price, not in the sum:", strings.Join(p.Cost.Unpriced, ", "))
	}
	var left []string
	for _, q := range p.Quotas {
		left = append(left, fmt.Sprintf("%s %d/%d", q.Name, q.Used, q.Limit))
	}
	_, err := fmt.Fprintln(a.Out, "Quotas afterwards:", strings.Join(left, ", "))
	return err
}
