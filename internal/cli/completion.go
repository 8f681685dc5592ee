package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cli/products"
)

const completionTimeout = 2 * time.Second

// names offers the names of what path lists, with a word about each. A shell cannot show errors, so there are none.
func names[T any](a *app, cmd *cobra.Command, path string, word func(T) string) ([]string, cobra.ShellCompDirective) {
	return a.words(cmd.Context(), kubernetesProduct, path, func(ctx context.Context, c *client) ([]string, error) {
		var list results[T]
		if err := c.getInto(ctx, path, &list); err != nil {
			return nil, err
		}
		var out []string
		for _, item := range list.Results {
			out = append(out, word(item))
		}
		return out, nil
	})
}

// words offers what ask gets from a product, or got for the same what a moment ago.
func (a *app) words(ctx context.Context, p *products.Product, what string, ask func(context.Context, *client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	c, err := a.client(p)
	if err != nil {
		return nil, directive
	}
	c.retries = 1
	cache := a.wordCache(c, what)
	if found, ok := cache.read(a.now()); ok {
		return found, directive
	}
	found, err := ask(ctx, c)
	if err != nil {
		return nil, directive
	}
	found = slices.DeleteFunc(found, func(w string) bool { return w == "" })
	cache.write(found)
	return found, directive
}

func (a *app) completeClusters(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return withIDs(prefix)(names(a, cmd, clustersPath, func(c cluster) string {
		return c.Name + "\t" + c.Status.State + "\t" + c.ID
	}))
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
		return withIDs(prefix)(names(a, cmd, nodePoolListPath(id), func(p nodePool) string {
			return p.Name + "\t" + p.Flavor + "\t" + p.ID
		}))
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
	return a.words(cmd.Context(), kubernetesProduct, flavorsPath, func(ctx context.Context, c *client) ([]string, error) {
		var list results[flavors]
		err := c.getInto(ctx, flavorsPath, &list)
		var out []string
		for _, f := range list.Results {
			for _, n := range f.NodePool {
				out = append(out, n.Name)
			}
		}
		return out, err
	})
}

// withIDs makes "name, word, id" of a list "name, word"; or "id, word" once the beginning of that id was typed.
func withIDs(prefix string) func([]string, cobra.ShellCompDirective) ([]string, cobra.ShellCompDirective) {
	return func(found []string, directive cobra.ShellCompDirective) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, entry := range found {
			parts := strings.SplitN(entry, "\t", 3)
			if len(parts) == 3 && (parts[0] == "" || prefix != "" && strings.HasPrefix(parts[2], prefix)) {
				parts[0] = parts[2]
			}
			out = append(out, strings.TrimSuffix(strings.Join(parts[:min(len(parts), 2)], "\t"), "\t"))
		}
		return out, directive
	}
}
