package cli

import (
	"context"
	"net/http"
	"net/url"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

const (
	clustersPath = "/v0/clusters"
	flavorsPath  = "/v1/flavors"
	versionsPath = "/v1/versions"
	quotasPath   = "/v1alpha0/quotas"

	operationsPath = "/v0/operations"
)

func clusterPath(id string) string { return clustersPath + "/" + url.PathEscape(id) }

func nodePoolPath(clusterID, id string) string {
	return clusterPath(clusterID) + "/node_pools/" + url.PathEscape(id)
}

func clusterOperationsPath(clusterID string) string { return clusterPath(clusterID) + "/operations" }

func operationPath(id string) string { return operationsPath + "/" + url.PathEscape(id) }

// nodePoolListPath has another version and another spelling than its siblings: so it is published.
func nodePoolListPath(clusterID string) string {
	return "/v1alpha0/clusters/" + url.PathEscape(clusterID) + "/node-pools"
}

func (a *app) kubernetesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubernetes",
		Short: "Kubernetes clusters, node pools, addons, metrics, flavors, versions, quotas and operations",
	}
	cmd.AddCommand(a.clusterCommand(), a.nodePoolCommand(), a.addonCommand(), a.metricsCommand(), a.flavorCommand(), a.kubernetesVersionCommand(), a.quotaCommand(), a.operationCommand())
	group(cmd)
	return cmd
}

func (a *app) flavorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "flavor", Short: "Machine types of nodes"}
	cmd.AddCommand(&cobra.Command{
		Use:     "list",
		Short:   "List the flavors of node pools and control planes",
		Example: "  mgc kubernetes flavor list",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), flavorsPath, "table", flavorView)
		},
	})
	group(cmd)
	return cmd
}

func (a *app) kubernetesVersionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Versions of Kubernetes"}
	cmd.AddCommand(&cobra.Command{
		Use:     "list",
		Short:   "List the versions a cluster can have",
		Example: "  mgc kubernetes version list",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), versionsPath, "table", versionView)
		},
	})
	group(cmd)
	return cmd
}

func (a *app) quotaCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "quota", Short: "How much you may have"}
	cmd.AddCommand(&cobra.Command{
		Use:     "list",
		Short:   "List the quotas and what is used of them",
		Example: "  mgc kubernetes quota list",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), quotasPath, "table", quotaView)
		},
	})
	group(cmd)
	return cmd
}

// show gets path and prints the answer, again and again when --cli.retry-until asks for it.
func (a *app) show(ctx context.Context, path, format string, v view) error {
	c, err := a.kubernetes()
	if err != nil {
		return err
	}
	return a.showWith(ctx, c, path, format, v)
}

func (a *app) showWith(ctx context.Context, c *client, path, format string, v view) error {
	body, err := a.fetch(ctx, c, path)
	if err != nil {
		return err
	}
	return a.print(body, format, v)
}

func (a *app) fetch(ctx context.Context, c *client, path string) ([]byte, error) {
	get := func() ([]byte, error) {
		ans, err := c.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		return ans.Body, nil
	}
	if a.opts.retryUntil == "" {
		return get()
	}
	until, err := parseRetryUntil(a.opts.retryUntil)
	if err != nil {
		return nil, err
	}
	return until.run(ctx, get)
}

// named is what any object with a name has.
type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// clusterID returns the id of the cluster given by id or name.
func (a *app) clusterID(ctx context.Context, c *client, given string) (string, error) {
	return resolve(ctx, c, "cluster", given, clustersPath)
}

func (a *app) nodePoolID(ctx context.Context, c *client, clusterID, given string) (string, error) {
	return resolve(ctx, c, "node pool", given, nodePoolListPath(clusterID))
}

func resolve(ctx context.Context, c *client, kind, given, listPath string) (string, error) {
	if uuid.Validate(given) == nil {
		return given, nil
	}
	var list results[named]
	if err := c.getInto(ctx, listPath, &list); err != nil {
		return "", err
	}
	var found []string
	for _, item := range list.Results {
		if item.Name == given || item.ID == given {
			found = append(found, item.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", &notFoundError{"no " + kind + " has the id or name " + quote(given)}
	case 1:
		return found[0], nil
	}
	return "", usagef("%d %ss have the name %s; give one of these ids: %q", len(found), kind, quote(given), found)
}
