package cli

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// States of operations and of their phases.
const (
	stateRunning   = "Running"
	stateSucceeded = "Succeeded"
	stateFailed    = "Failed"
	stateCancelled = "Cancelled" // a newer operation took over
)

// operation is the record of one change: what it does, how far it is, what it waits for. Operations are our
// extension of the published contract.
type operation struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"` // such as CreateCluster
	ClusterID  string    `json:"cluster_id"`
	NodePoolID string    `json:"node_pool_id"`
	State      string    `json:"state"`
	Percentage int       `json:"percentage"`
	Message    string    `json:"message"`
	CreatedAt  time.Time `json:"created_at"`
	Phases     []phase   `json:"phases"`
	Errors     []struct {
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"errors"`
	Removed []cloudObject `json:"removed"` // by a deletion
	Kept    []cloudObject `json:"kept"`
}

type phase struct {
	Name       string     `json:"name"`
	State      string     `json:"state"`
	Message    string     `json:"message"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

var operationView = rows([]string{"id", "kind", "state", "done", "age", "message~"}, func(a *app, o operation) []string {
	return []string{o.ID, o.Kind, o.State, strconv.Itoa(o.Percentage) + "%", a.age(o.CreatedAt), o.Message}
})

func (a *app) operationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "operation",
		Short: "What is being done, or was, to clusters and node pools",
		Long:  "Every change of a cluster or node pool is an operation with phases. They stay readable after the cluster is gone.",
	}
	cmd.AddCommand(a.operationList(), a.operationGet(), a.operationWatch())
	group(cmd)
	return cmd
}

func (a *app) operationList() *cobra.Command {
	id := clusterRef()
	id.optional = true
	var state, kind string
	var offset int
	cmd := withRefs(&cobra.Command{
		Use:   "list",
		Short: "List the operations of a cluster and its node pools, or all, the newest first",
		Example: `  mgc kubernetes operation list meu-cluster
  mgc kubernetes operation list --state Stalled`,
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.kubernetes()
			if err != nil {
				return err
			}
			query := url.Values{}
			if id.value != "" {
				clusterID, err := a.clusterID(cmd.Context(), c, id.value)
				if err != nil {
					return err
				}
				query.Set("cluster_id", clusterID)
			}
			if state != "" {
				query.Set("state", state)
			}
			if kind != "" {
				query.Set("kind", kind)
			}
			if offset > 0 {
				query.Set("_offset", strconv.Itoa(offset))
			}
			return a.showOperations(cmd.Context(), c, strings.TrimSuffix(operationsPath+"?"+query.Encode(), "?"))
		},
	}, id)
	cmd.Flags().StringVar(&state, "state", "", "only those in this `state`: Running, Stalled, Succeeded, Failed or Cancelled")
	cmd.Flags().StringVar(&kind, "kind", "", "only those of this `kind`, such as CreateCluster")
	cmd.Flags().IntVar(&offset, "offset", 0, "skip this `number` of operations, the newest ones")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{stateRunning, "Stalled", stateSucceeded, stateFailed, stateCancelled}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// showOperations prints a page, and how to get the next one.
func (a *app) showOperations(ctx context.Context, c *client, path string) error {
	body, err := a.fetch(ctx, c, path)
	if err != nil {
		return err
	}
	var page struct {
		NextOffset int `json:"next_offset"`
	}
	if err := decode(body, &page); err != nil {
		return err
	}
	if err := a.print(body, "table", operationView); err != nil || page.NextOffset == 0 || a.quiet() {
		return err
	}
	_, err = fmt.Fprintf(a.Err, "There are more: --offset %d\n", page.NextOffset)
	return err
}

func (a *app) operationGet() *cobra.Command {
	id := operationRef()
	return withRefs(&cobra.Command{
		Use:     "get",
		Short:   "Show one operation with its phases",
		Example: "  mgc kubernetes operation get 5b0c7f2e-1f0e-4c7e-9f52-0f6f0f6c3b11",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), operationPath(id.value), "yaml", operationView)
		},
	}, id)
}
