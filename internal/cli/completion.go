package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

const completionTimeout = 2 * time.Second

// names offers the names of what path lists, with a word about each. A shell cannot show errors, so there are none.
func names[T any](a *app, cmd *cobra.Command, path string, word func(T) string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	c, err := a.kubernetes()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.retries = 1
	var list results[T]
	if c.getInto(ctx, path, &list) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, item := range list.Results {
		if w := word(item); w != "" {
			out = append(out, w)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeClusters(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names(a, cmd, clustersPath, func(c cluster) string {
		return nameOrID(c.Name, c.ID, prefix) + "\t" + c.Status.State
	})
}

func (a *app) completeNodePools(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.completeClusters(cmd, args, prefix)
	case 1:
		c, err := a.kubernetes()
		if err != nil {
			break
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		c.retries = 1
		id, err := a.clusterID(ctx, c, args[0])
		if err != nil {
			break
		}
		return names(a, cmd, nodePoolListPath(id), func(p nodePool) string {
			return nameOrID(p.Name, p.ID, prefix) + "\t" + p.Flavor
		})
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeVersions(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return names(a, cmd, versionsPath, func(v kubernetesVersion) string {
		if v.Deprecated {
			return ""
		}
		return v.Version
	})
}

func (a *app) completeFlavors(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	_, directive := names(a, cmd, flavorsPath, func(f flavors) string {
		for _, n := range f.NodePool {
			out = append(out, n.Name)
		}
		return ""
	})
	return out, directive
}

// nameOrID offers the id once its beginning was typed, else the name.
func nameOrID(name, id, prefix string) string {
	if prefix != "" && len(prefix) <= len(id) && id[:len(prefix)] == prefix {
		return id
	}
	return name
}
