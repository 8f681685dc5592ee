package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func (a *app) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Kubernetes clusters"}
	cmd.AddCommand(a.clusterCreate(), a.clusterList(), a.clusterGet(), a.clusterUpdate(), a.clusterDelete(), a.clusterKubeconfig())
	group(cmd)
	return cmd
}

type clusterCreateFlags struct {
	name, version, description, nodePools, allowedCIDRs, podsCIDR, servicesCIDR, subnetIDs, cni string
	serverGroup, bastion, protection                                                            bool
}

func (a *app) clusterCreate() *cobra.Command {
	var f clusterCreateFlags
	var w changeFlags
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a cluster",
		Long: `Create a cluster. The answer comes at once and the work goes on; --wait waits for its end.
What is not given has the server's default: the latest version, pods in 192.168.0.0/16, services in 10.96.0.0/12,
the default network, an API server that anyone may reach.`,
		Example: `  mgc kubernetes cluster create --name meu-cluster \
    --node-pools '` + nodePoolsExample + `'
  mgc kubernetes cluster create --name second --version v1.34.2 --allowed-cidrs '["203.0.113.0/24"]' --wait
  mgc kubernetes cluster create --name third --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := f.body(cmd)
			if err != nil {
				return err
			}
			return a.createCluster(cmd.Context(), body, w)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", "`name` of the cluster (required): at most 63 lower case letters, digits and dashes, a letter first")
	fl.StringVar(&f.version, "version", "", "Kubernetes `version`, see: mgc kubernetes version list")
	fl.StringVar(&f.description, "description", "", "free `text`")
	fl.StringVar(&f.nodePools, "node-pools", "", "`JSON` list of node pools, as in the example")
	fl.StringVar(&f.allowedCIDRs, "allowed-cidrs", "", "`JSON` list of the networks that may reach the API server")
	fl.StringVar(&f.podsCIDR, "cluster-ipv4-cidr", "", "`CIDR` of the pods")
	fl.StringVar(&f.servicesCIDR, "services-ipv4-cidr", "", "`CIDR` of the services")
	fl.StringVar(&f.subnetIDs, "network.subnet-ids", "", "`JSON` list of subnets, one per availability zone, all in one VPC")
	fl.StringVar(&f.cni, "cni", "", "network `plugin`: calico, or none to bring your own (default calico)")
	fl.BoolVar(&f.protection, "deletion-protection", false, "refuse the cluster's deletion until this is false again")
	fl.BoolVar(&f.serverGroup, "enabled-server-group", true, "")
	fl.BoolVar(&f.bastion, "enabled-bastion", false, "")
	_ = fl.MarkHidden("enabled-server-group") // published and deprecated: accepted in old commands
	_ = fl.MarkHidden("enabled-bastion")
	_ = cmd.RegisterFlagCompletionFunc("version", a.completeVersions)
	w.add(cmd)
	return cmd
}

func (f *clusterCreateFlags) body(cmd *cobra.Command) (map[string]any, error) {
	if f.name == "" {
		return nil, usagef("--name is missing; example: mgc kubernetes cluster create --name meu-cluster")
	}
	body := map[string]any{"name": f.name}
	given := cmd.Flags().Changed
	setText(body, "version", f.version)
	setText(body, "description", f.description)
	setText(body, "cni", f.cni)
	setText(body, "cluster_ipv4_cidr", f.podsCIDR)
	setText(body, "services_ipv4_cidr", f.servicesCIDR)
	if given("enabled-server-group") {
		body["enabled_server_group"] = f.serverGroup
	}
	if given("deletion-protection") {
		body["deletion_protection"] = f.protection
	}
	if given("enabled-bastion") {
		body["enabled_bastion"] = f.bastion
	}
	if given("node-pools") {
		pools, err := parseObjects("node-pools", f.nodePools, nodePoolsExample)
		if err != nil {
			return nil, err
		}
		body["node_pools"] = pools
	}
	if given("allowed-cidrs") {
		cidrs, err := parseStrings("allowed-cidrs", f.allowedCIDRs, listExample)
		if err != nil {
			return nil, err
		}
		body["allowed_cidrs"] = cidrs
	}
	return body, setSubnets(cmd, body, f.subnetIDs)
}

func (a *app) createCluster(ctx context.Context, body map[string]any, w changeFlags) error {
	c, err := a.kubernetes()
	if err != nil {
		return err
	}
	if w.dryRun {
		return a.try(ctx, c, http.MethodPost, clustersPath, body)
	}
	ans, err := c.do(ctx, http.MethodPost, clustersPath, body)
	if err != nil {
		return err
	}
	var made named
	if err := decode(ans.Body, &made); err != nil {
		return err
	}
	t := target{what: "cluster " + made.Name, verb: "create", clusterID: made.ID, clusterName: made.Name}
	return a.finish(ctx, c, t, ans, w.waitFlags, clusterView)
}

func (a *app) clusterList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the clusters",
		Example: "  mgc kubernetes cluster list\n  mgc kubernetes cluster list -o json --raw",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), clustersPath, "table", clusterView)
		},
	}
}

func (a *app) clusterGet() *cobra.Command {
	id := clusterRef()
	return withRefs(&cobra.Command{
		Use:   "get",
		Short: "Show one cluster",
		Example: `  mgc kubernetes cluster get meu-cluster
  mgc kubernetes cluster get meu-cluster -o json -U '120,5s,jsonpath=$.status.state == "Running"'`,
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.showWith(cmd.Context(), c, clusterPath(clusterID), "yaml", clusterView)
		},
	}, id)
}

func (a *app) clusterUpdate() *cobra.Command {
	var version, description, allowedCIDRs string
	var protection bool
	var w changeFlags
	id := clusterRef()
	cmd := withRefs(&cobra.Command{
		Use:   "update",
		Short: "Change a cluster's version, description, allowed networks or deletion protection",
		Example: `  mgc kubernetes cluster update meu-cluster --allowed-cidrs '["203.0.113.0/24"]'
  mgc kubernetes cluster update meu-cluster --allowed-cidrs '[]'      # anyone again
  mgc kubernetes cluster update meu-cluster --version v1.35.4 --dry-run
  mgc kubernetes cluster update meu-cluster --version v1.35.4 --wait`,
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := map[string]any{}
			setText(body, "version", version)
			if cmd.Flags().Changed("description") {
				body["description"] = description
			}
			if cmd.Flags().Changed("allowed-cidrs") {
				cidrs, err := parseStrings("allowed-cidrs", allowedCIDRs, listExample)
				if err != nil {
					return err
				}
				body["allowed_cidrs"] = cidrs
			}
			if cmd.Flags().Changed("deletion-protection") {
				body["deletion_protection"] = protection
			}
			if len(body) == 0 {
				return usagef("nothing to change: give --version, --description, --allowed-cidrs or --deletion-protection")
			}
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			if w.dryRun {
				return a.try(cmd.Context(), c, http.MethodPatch, clusterPath(clusterID), body)
			}
			ans, err := c.do(cmd.Context(), http.MethodPatch, clusterPath(clusterID), body)
			if err != nil {
				return err
			}
			t := target{what: "cluster " + id.value, verb: "update", clusterID: clusterID, clusterName: id.value}
			return a.finish(cmd.Context(), c, t, ans, w.waitFlags, clusterView)
		},
	}, id)
	cmd.Flags().StringVar(&version, "version", "", "Kubernetes `version`: a patch of the same minor version, or the next minor")
	cmd.Flags().StringVar(&description, "description", "", "free `text`")
	cmd.Flags().StringVar(&allowedCIDRs, "allowed-cidrs", "", "`JSON` list of the networks that may reach the API server; [] for anyone")
	cmd.Flags().BoolVar(&protection, "deletion-protection", false, "refuse the cluster's deletion until this is false again")
	_ = cmd.RegisterFlagCompletionFunc("version", a.completeVersions)
	w.add(cmd)
	return cmd
}

func (a *app) clusterKubeconfig() *cobra.Command {
	id := clusterRef()
	return withRefs(&cobra.Command{
		Use:     "kubeconfig",
		Short:   "Print the kubeconfig of a cluster",
		Long:    "Print the kubeconfig of a cluster, as the server gives it. It holds the key of an administrator: keep it safe.",
		Example: "  mgc kubernetes cluster kubeconfig meu-cluster --raw > kubeconfig\n  kubectl --kubeconfig kubeconfig get nodes",

		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			ans, err := c.do(cmd.Context(), http.MethodGet, clusterPath(clusterID)+"/kubeconfig", nil)
			if err != nil {
				return err
			}
			if a.opts.output == "json" || a.extract != nil {
				return a.yamlAsJSON(ans.Body)
			}
			_, err = a.Out.Write(ans.Body)
			return err
		},
	}, id)
}

func (a *app) yamlAsJSON(body []byte) error {
	var v any
	if err := yaml.Unmarshal(body, &v); err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.print(data, "json", nil)
}

// onCluster returns a client and the id of the cluster that r names.
func (a *app) onCluster(ctx context.Context, r *ref) (*client, string, error) {
	c, err := a.kubernetes()
	if err != nil {
		return nil, "", err
	}
	id, err := a.clusterID(ctx, c, r.value)
	return c, id, err
}

func setText(body map[string]any, key, value string) {
	if value != "" {
		body[key] = value
	}
}

func setSubnets(cmd *cobra.Command, body map[string]any, value string) error {
	if !cmd.Flags().Changed("network.subnet-ids") {
		return nil
	}
	ids, err := parseStrings("network.subnet-ids", value, idsExample)
	if err == nil {
		body["network"] = map[string]any{"subnet_ids": ids}
	}
	return err
}

func quote(s string) string { return strconv.Quote(s) }
