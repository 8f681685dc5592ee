package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

const valuesExample = `{"resolutionSeconds": 30}`

func addonsPath(clusterID string) string {
	return "/v1alpha0/clusters/" + url.PathEscape(clusterID) + "/addons"
}

func addonPath(clusterID, name string) string {
	return addonsPath(clusterID) + "/" + url.PathEscape(name)
}

type addon struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	Version string `json:"version"`
	Status  status `json:"status"`
	Pods    struct {
		Ready int `json:"ready"`
		Total int `json:"total"`
	} `json:"pods"`
}

var addonView = rows([]string{"name", "enabled", "version", "state", "pods", "message~"}, func(_ *app, d addon) []string {
	enabled, pods := "no", ""
	if d.Enabled {
		enabled = "yes"
	}
	if d.Pods.Total > 0 {
		pods = fmt.Sprintf("%d/%d", d.Pods.Ready, d.Pods.Total)
	}
	return []string{d.Name, enabled, d.Version, d.Status.State, pods, d.Status.Message}
})

func (a *app) addonCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "addon",
		Short: "Parts of the platform inside a cluster: network, DNS, volumes, metrics",
		Long: `Parts of the platform inside a cluster: network, DNS, volumes, metrics. What somebody changes or deletes of an enabled
addon is put back; what a disabled one had in the cluster is removed.`,
	}
	cmd.AddCommand(a.addonList(), a.addonGet(), a.addonUpdate())
	group(cmd)
	return cmd
}

func (a *app) addonList() *cobra.Command {
	id := clusterRef()
	return withRefs(&cobra.Command{
		Use:               "list",
		Short:             "List the addons of a cluster and how they are",
		Example:           "  mgc kubernetes addon list meu-cluster",
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.showWith(cmd.Context(), c, addonsPath(clusterID), "table", addonView)
		},
	}, id)
}

func (a *app) addonGet() *cobra.Command {
	id, name := clusterRef(), addonRef()
	return withRefs(&cobra.Command{
		Use:   "get",
		Short: "Show one addon with its settings",
		Example: `  mgc kubernetes addon get meu-cluster metrics-server
  mgc kubernetes addon get meu-cluster coredns -o json -U '60,2s,jsonpath=$.status.state == "Ready"'`,
		ValidArgsFunction: a.completeAddons,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.showWith(cmd.Context(), c, addonPath(clusterID, name.value), "yaml", addonView)
		},
	}, id, name)
}

func (a *app) addonUpdate() *cobra.Command {
	var enabled bool
	var values string
	id, name := clusterRef(), addonRef()
	cmd := withRefs(&cobra.Command{
		Use:   "update",
		Short: "Enable, disable or set up an addon",
		Long: `Enable, disable or set up an addon. The answer comes at once and the work goes on; mgc kubernetes addon get shows its state.
Only the values that are given change; null brings back a default.`,
		Example: `  mgc kubernetes addon update meu-cluster metrics-server --enabled=false
  mgc kubernetes addon update meu-cluster metrics-server --values '` + valuesExample + `'
  mgc kubernetes addon update meu-cluster coredns --values '{"replicas": 3, "forward": {"corp.example": "10.0.0.53 10.0.0.54"}}'
  mgc kubernetes addon update meu-cluster coredns --values '{"replicas": null}'`,
		ValidArgsFunction: a.completeAddons,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := map[string]any{}
			if cmd.Flags().Changed("enabled") {
				body["enabled"] = enabled
			}
			if cmd.Flags().Changed("values") {
				object := map[string]json.RawMessage{}
				if err := parseJSON("values", values, valuesExample, &object); err != nil {
					return err
				}
				body["values"] = object
			}
			if len(body) == 0 {
				return usagef("nothing to change: give --enabled=true, --enabled=false or --values")
			}
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			ans, err := c.do(cmd.Context(), http.MethodPatch, addonPath(clusterID, name.value), body)
			if err != nil {
				return err
			}
			return a.print(ans.Body, "yaml", addonView)
		},
	}, id, name)
	cmd.Flags().BoolVar(&enabled, "enabled", false, "whether the cluster has the addon")
	cmd.Flags().StringVar(&values, "values", "", "`JSON` object of settings")
	return cmd
}

func (a *app) completeAddons(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.completeOfCluster(cmd, args, prefix, func(id string) ([]string, cobra.ShellCompDirective) {
		return names(a, cmd, addonsPath(id), func(d addon) string { return d.Name + "\t" + d.Status.State })
	})
}

// completeOfCluster completes a cluster, and then what is named in it.
func (a *app) completeOfCluster(cmd *cobra.Command, args []string, prefix string, of func(id string) ([]string, cobra.ShellCompDirective)) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeClusters(cmd, args, prefix)
	}
	c, err := a.kubernetes()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.retries = 1
	id, err := a.clusterID(cmd.Context(), c, args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return of(id)
}
