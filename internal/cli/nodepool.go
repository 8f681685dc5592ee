package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"
)

func (a *app) nodePoolCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "nodepool", Short: "Node pools of a cluster"}
	cmd.AddCommand(a.nodePoolCreate(), a.nodePoolList(), a.nodePoolGet(), a.nodePoolNodes(), a.nodePoolUpdate(), a.nodePoolDelete())
	group(cmd)
	return cmd
}

// nodePoolFlags are those that creation and update share.
type nodePoolFlags struct {
	flavor             string
	replicas, min, max int
}

func (f *nodePoolFlags) add(a *app, cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.flavor, "flavor", "", "`flavor` of the nodes, see: mgc kubernetes flavor list")
	fl.IntVar(&f.replicas, "replicas", 0, "`number` of nodes")
	fl.IntVar(&f.min, "auto-scale.min-replicas", 0, "fewest nodes the autoscaler may leave")
	fl.IntVar(&f.max, "auto-scale.max-replicas", 0, "most nodes the autoscaler may make")
	_ = cmd.RegisterFlagCompletionFunc("flavor", a.completeFlavors)
}

func (f *nodePoolFlags) put(cmd *cobra.Command, body map[string]any) {
	given := cmd.Flags().Changed
	setText(body, "flavor", f.flavor)
	if given("replicas") {
		body["replicas"] = f.replicas
	}
	scale := map[string]any{}
	if given("auto-scale.min-replicas") {
		scale["min_replicas"] = f.min
	}
	if given("auto-scale.max-replicas") {
		scale["max_replicas"] = f.max
	}
	if len(scale) > 0 {
		body["auto_scale"] = scale
	}
}

func (a *app) nodePoolCreate() *cobra.Command {
	var (
		f                               nodePoolFlags
		name, labels, taints, subnetIDs string
		maxPods                         int
		w                               changeFlags
	)
	id := clusterRef()
	body := func(cmd *cobra.Command) (map[string]any, error) {
		if name == "" || f.flavor == "" {
			return nil, usagef("--name and --flavor are needed; example: mgc kubernetes nodepool create meu-cluster --name nodepool02 --flavor BV4-8-40 --replicas 1")
		}
		body := map[string]any{"name": name}
		f.put(cmd, body)
		given := cmd.Flags().Changed
		if given("max-pods-per-node") {
			body["max_pods_per_node"] = maxPods
		}
		if given("labels") {
			m, err := parseMap("labels", labels, labelsExample)
			if err != nil {
				return nil, err
			}
			body["labels"] = m
		}
		if given("taints") {
			list, err := parseObjects("taints", taints, taintsExample)
			if err != nil {
				return nil, err
			}
			body["taints"] = list
		}
		return body, setSubnets(cmd, body, subnetIDs)
	}
	cmd := withRefs(&cobra.Command{
		Use:   "create",
		Short: "Add a node pool to a cluster",
		Example: `  mgc kubernetes nodepool create meu-cluster --name nodepool02 --flavor BV4-8-40 --replicas 2
  mgc kubernetes nodepool create meu-cluster --name gpu --flavor BV4-16-40 --replicas 1 \
    --labels '` + labelsExample + `' \
    --taints '` + taintsExample + `' --max-pods-per-node 64 --wait`,
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := body(cmd)
			if err != nil {
				return err
			}
			return a.createNodePool(cmd.Context(), id, b, w)
		},
	}, id)
	f.add(a, cmd)
	fl := cmd.Flags()
	fl.StringVar(&name, "name", "", "`name` of the node pool (required)")
	fl.IntVar(&maxPods, "max-pods-per-node", 110, "most pods on one node, 8 to 110")
	fl.StringVar(&labels, "labels", "", "`JSON` object of labels of the nodes")
	fl.StringVar(&taints, "taints", "", "`JSON` list of taints of the nodes")
	fl.StringVar(&subnetIDs, "network.subnet-ids", "", "`JSON` list of subnets, one per availability zone, in the cluster's VPC")
	w.add(cmd)
	return cmd
}

func (a *app) createNodePool(ctx context.Context, id *ref, body map[string]any, w changeFlags) error {
	c, clusterID, err := a.onCluster(ctx, id)
	if err != nil {
		return err
	}
	if w.dryRun {
		return a.try(ctx, c, http.MethodPost, clusterPath(clusterID)+"/node_pools", body)
	}
	ans, err := c.do(ctx, http.MethodPost, clusterPath(clusterID)+"/node_pools", body)
	if err != nil {
		return err
	}
	var made named
	if err := decode(ans.Body, &made); err != nil {
		return err
	}
	t := target{what: "node pool " + made.Name, verb: "create", clusterID: clusterID, clusterName: id.value, poolID: made.ID}
	return a.finish(ctx, c, t, ans, w.waitFlags, nodePoolView)
}

func (a *app) nodePoolList() *cobra.Command {
	id := clusterRef()
	return withRefs(&cobra.Command{
		Use:               "list",
		Short:             "List the node pools of a cluster",
		Example:           "  mgc kubernetes nodepool list meu-cluster",
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.showWith(cmd.Context(), c, nodePoolListPath(clusterID), "table", nodePoolView)
		},
	}, id)
}

func (a *app) nodePoolGet() *cobra.Command {
	return a.nodePoolShow("get", "Show one node pool", "", "yaml", nodePoolView)
}

func (a *app) nodePoolNodes() *cobra.Command {
	return a.nodePoolShow("nodes", "List the nodes of a node pool", "/nodes", "table", nodeView)
}

func (a *app) nodePoolShow(use, short, suffix, format string, v view) *cobra.Command {
	id, pool := clusterRef(), nodePoolRef()
	return withRefs(&cobra.Command{
		Use:               use,
		Short:             short,
		Example:           "  mgc kubernetes nodepool " + use + " meu-cluster nodepool01",
		ValidArgsFunction: a.completeNodePools,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, poolID, err := a.onNodePool(cmd.Context(), id, pool)
			if err != nil {
				return err
			}
			return a.showWith(cmd.Context(), c, nodePoolPath(clusterID, poolID)+suffix, format, v)
		},
	}, id, pool)
}

func (a *app) nodePoolUpdate() *cobra.Command {
	var f nodePoolFlags
	var version string
	var w changeFlags
	id, pool := clusterRef(), nodePoolRef()
	cmd := withRefs(&cobra.Command{
		Use:   "update",
		Short: "Change a node pool's size, autoscaling, flavor or version",
		Example: `  mgc kubernetes nodepool update meu-cluster nodepool01 --replicas 3 --wait
  mgc kubernetes nodepool update meu-cluster nodepool01 --auto-scale.min-replicas 1 --auto-scale.max-replicas 5`,
		ValidArgsFunction: a.completeNodePools,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := map[string]any{}
			f.put(cmd, body)
			setText(body, "version", version)
			if len(body) == 0 {
				return usagef("nothing to change: give --replicas, --auto-scale.min-replicas, --auto-scale.max-replicas, --flavor or --version")
			}
			c, clusterID, poolID, err := a.onNodePool(cmd.Context(), id, pool)
			if err != nil {
				return err
			}
			if w.dryRun {
				return a.try(cmd.Context(), c, http.MethodPatch, nodePoolPath(clusterID, poolID), body)
			}
			ans, err := c.do(cmd.Context(), http.MethodPatch, nodePoolPath(clusterID, poolID), body)
			if err != nil {
				return err
			}
			t := target{what: "node pool " + pool.value, verb: "update", clusterID: clusterID, clusterName: id.value, poolID: poolID}
			return a.finish(cmd.Context(), c, t, ans, w.waitFlags, nodePoolView)
		},
	}, id, pool)
	f.add(a, cmd)
	cmd.Flags().StringVar(&version, "version", "", "Kubernetes `version` of the nodes, at most the control plane's")
	_ = cmd.RegisterFlagCompletionFunc("version", a.completeVersions)
	w.add(cmd)
	return cmd
}

func (a *app) nodePoolDelete() *cobra.Command {
	var w changeFlags
	id, pool := clusterRef(), nodePoolRef()
	cmd := withRefs(&cobra.Command{
		Use:               "delete",
		Short:             "Delete a node pool with its nodes",
		Example:           "  mgc kubernetes nodepool delete meu-cluster nodepool02 --no-confirm --wait",
		ValidArgsFunction: a.completeNodePools,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, poolID, err := a.onNodePool(cmd.Context(), id, pool)
			if err != nil {
				return err
			}
			if w.dryRun {
				return a.try(cmd.Context(), c, http.MethodDelete, nodePoolPath(clusterID, poolID), nil)
			}
			if err := a.confirm(cmd.Context(), "node pool "+pool.value+" with all its nodes", ""); err != nil {
				return err
			}
			ans, err := c.do(cmd.Context(), http.MethodDelete, nodePoolPath(clusterID, poolID), nil)
			if err != nil {
				return err
			}
			t := target{what: "node pool " + pool.value, verb: "delete", clusterID: clusterID, clusterName: id.value, poolID: poolID}
			return a.finish(cmd.Context(), c, t, ans, w.waitFlags, nil)
		},
	}, id, pool)
	w.add(cmd)
	return cmd
}

func (a *app) onNodePool(ctx context.Context, cluster, pool *ref) (*client, string, string, error) {
	c, clusterID, err := a.onCluster(ctx, cluster)
	if err != nil {
		return nil, "", "", err
	}
	poolID, err := a.nodePoolID(ctx, c, clusterID, pool.value)
	return c, clusterID, poolID, err
}
