package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) clusterDelete() *cobra.Command {
	var w changeFlags
	var volumes bool
	id := clusterRef()
	cmd := withRefs(&cobra.Command{
		Use:   "delete",
		Short: "Delete a cluster, and its volumes if asked to",
		Long: `Delete a cluster with its nodes and the load balancers of its Services. Volumes that the cluster made and their snapshots
stay in the cloud, unless --delete-volumes is given. Public IPs stay whose Service says so. With --wait, what was removed and
what was kept is listed at the end; later, mgc kubernetes operation get shows it.`,
		Example: `  mgc kubernetes cluster delete meu-cluster
  mgc kubernetes cluster delete meu-cluster --dry-run
  mgc kubernetes cluster delete meu-cluster --no-confirm --wait
  mgc kubernetes cluster delete meu-cluster --delete-volumes --wait`,
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			path := clusterPath(clusterID)
			if volumes {
				path += "?delete_volumes=true"
			}
			if w.dryRun {
				return a.try(cmd.Context(), c, http.MethodDelete, path, nil)
			}
			if err := a.confirm(cmd.Context(), "cluster "+id.value, consequences(volumes)); err != nil {
				return err
			}
			ans, err := c.do(cmd.Context(), http.MethodDelete, path, nil)
			if err != nil {
				return err
			}
			t := target{what: "cluster " + id.value, verb: "delete", clusterID: clusterID, clusterName: id.value}
			return a.finish(cmd.Context(), c, t, ans, w.waitFlags, nil)
		},
	}, id)
	cmd.Flags().BoolVar(&volumes, "delete-volumes", false, "delete also the volumes that the cluster made, their snapshots, and the data in them")
	w.add(cmd)
	return cmd
}

// consequences of a cluster's deletion, for the question whether it is meant.
func consequences(volumes bool) string {
	const always = `These are removed:
  - all nodes of the cluster and everything that runs on them
  - the load balancers of its Services, with their public IPs
`
	const retained = `  - public IPs of Services that say magalu.cloud/public-ip-reclaim-policy: retain
`
	const data = "volumes that the cluster made, and their snapshots"
	if volumes {
		return always + "  - " + data + ": the data in them is LOST\nThese are kept:\n" + retained
	}
	return always + "These are kept, and cost money until you delete them:\n  - " + data + "\n" + retained
}

// cloudObject is something in the cloud that a cluster had made.
type cloudObject struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	SizeGiB int    `json:"size_gib"`
	Service string `json:"service"`
	Reason  string `json:"reason"`
}

// cloudKinds names the kinds for people, and where their product has them.
var cloudKinds = map[string]struct{ name, path string }{
	"LoadBalancer": {"load balancer", "/load-balancer/v0beta1/network-load-balancers/"},
	"PublicIP":     {"public IP", "/network/v0/public_ips/"},
	"Volume":       {"volume", "/volume/v1/volumes/"},
	"Snapshot":     {"snapshot", "/volume/v1/snapshots/"},
}

func (a *app) addObjects(g *grid, what string, list []cloudObject) {
	for _, o := range list {
		size, note := "", o.Reason
		if o.SizeGiB > 0 {
			size = fmt.Sprintf("%d GiB", o.SizeGiB)
		}
		if note == "" && o.Service != "" {
			note = "of Service " + o.Service
		}
		g.add(what, firstOf(cloudKinds[o.Kind].name, o.Kind), o.ID, o.Name, size, note)
	}
}

// leftBehindView is a table of what a deletion removed and kept.
func leftBehindView(a *app, body []byte) (*grid, error) {
	var o operation
	if err := decode(body, &o); err != nil {
		return nil, err
	}
	g := &grid{columns: []column{{"result", false}, {"kind", false}, {"id", false}, {"name", true}, {"size", false}, {"note", true}}}
	a.addObjects(g, "removed", o.Removed)
	a.addObjects(g, "kept", o.Kept)
	return g, nil
}

// leftBehind tells at the end of a deletion what was removed and kept, and how to delete what was kept.
func (a *app) leftBehind(ctx context.Context, c *client, t target) error {
	if t.operationID == "" {
		return nil // a server without operations does not tell
	}
	ans, err := c.do(ctx, http.MethodGet, operationPath(t.operationID), nil)
	if err != nil {
		return fmt.Errorf("%s is deleted; what was kept is not known: %w", t.what, err)
	}
	var o operation
	if err := decode(ans.Body, &o); err != nil {
		return err
	}
	if len(o.Removed)+len(o.Kept) == 0 {
		return nil
	}
	if err := a.print(ans.Body, "table", leftBehindView); err != nil || len(o.Kept) == 0 {
		return err
	}
	a.notef("What is kept costs money until you delete it, for example with:")
	shown := map[string]bool{}
	for _, k := range o.Kept {
		if path := cloudKinds[k.Kind].path; path != "" && !shown[k.Kind] {
			shown[k.Kind] = true
			a.notef(`  curl -X DELETE -H "X-Api-Key: $MGC_API_KEY" %s%s%s`, strings.TrimSuffix(c.base, "/kubernetes"), path, k.ID)
		}
	}
	return nil
}
