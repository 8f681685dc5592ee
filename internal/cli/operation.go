package cli

import (
	"net/url"
	"strconv"
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

// operation is the record of one change: what it does, how far it is, what it waits for.
type operation struct {
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	ClusterID   string    `json:"cluster_id"`
	ClusterName string    `json:"cluster_name"`
	NodePoolID  string    `json:"node_pool_id"`
	State       string    `json:"state"`
	Percentage  int       `json:"percentage"`
	Message     string    `json:"message"`
	CreatedAt   time.Time `json:"created_at"`
	Error       *struct {
		Message string `json:"message"`
	} `json:"error"`
	Phases []phase `json:"phases"`
}

type phase struct {
	Name       string     `json:"name"`
	State      string     `json:"state"`
	Message    string     `json:"message"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

var operationView = rows([]string{"id", "type~", "cluster~", "state", "done", "age"}, func(a *app, o operation) []string {
	return []string{o.ID, o.Type, firstOf(o.ClusterName, o.ClusterID), o.State, strconv.Itoa(o.Percentage) + "%", a.age(o.CreatedAt)}
})

func (a *app) operationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "operation",
		Short: "What is being done, or was, to clusters and node pools",
		Long:  "Every change of a cluster or node pool is an operation with phases. They stay readable after the cluster is gone.",
	}
	cmd.AddCommand(a.operationList(), a.operationGet())
	group(cmd)
	return cmd
}

func (a *app) operationList() *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List operations, the newest first",
		Example: "  mgc kubernetes operation list --cluster-id meu-cluster",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cluster == "" {
				return a.show(cmd.Context(), operationsPath, "table", operationView)
			}
			c, clusterID, err := a.onCluster(cmd.Context(), &ref{value: cluster})
			if err != nil {
				return err
			}
			return a.showWith(cmd.Context(), c, operationsPath+"?cluster_id="+url.QueryEscape(clusterID), "table", operationView)
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster-id", "", "only those of the cluster with this `id or name`")
	return cmd
}

func (a *app) operationGet() *cobra.Command {
	id := operationRef()
	return withRefs(&cobra.Command{
		Use:     "get",
		Short:   "Show one operation with its phases",
		Example: "  mgc kubernetes operation get 5b0c7f2e-1f0e-4c7e-9f52-0f6f0f6c3b11",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), operationsPath+"/"+url.PathEscape(id.value), "yaml", operationView)
		},
	}, id)
}
