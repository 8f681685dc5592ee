package backup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/record"
	mkesync "magalu.cloud/mke/internal/mkeapi/sync"
)

// What may be wrong with an object.
const (
	NotInKubernetes = "not_in_kubernetes" // the database has it
	NotInDatabase   = "not_in_database"   // the management cluster has it
	Differs         = "differs"           // the database and the management cluster want something else
	NotInCloud      = "not_in_cloud"      // the management cluster has it
	Unclaimed       = "unclaimed"         // the cloud has it, and no object of the management cluster does
	Unknown         = "unknown"           // could not be looked at
)

// Drift is one difference between the database, the management cluster and the cloud. Nothing is done about it.
type Drift struct {
	Problem string `json:"problem"`
	Kind    string `json:"kind"`
	Cluster string `json:"cluster_id"`
	Name    string `json:"name"`
	Detail  string `json:"detail,omitempty"`
}

// Report is all that differs.
type Report struct {
	Clusters int     `json:"clusters"` // that were compared
	Drift    []Drift `json:"drift"`
}

// Record is what Compare reads of the database.
type Record interface {
	LiveClusters(ctx context.Context) ([]uuid.UUID, error)
	LoadCluster(ctx context.Context, id uuid.UUID) (*record.Cluster, error)
}

// Compare looks at every cluster in the database, in the management cluster and, unless that is nil, in the cloud.
func Compare(ctx context.Context, db Record, kube client.Client, cloud Cloud) (Report, error) {
	c := &comparison{kube: kube, report: Report{Drift: []Drift{}}, known: map[string]bool{}, tenants: map[string]bool{}, clusters: map[string]bool{}}
	ids, err := db.LiveClusters(ctx)
	if err != nil {
		return c.report, err
	}
	for _, id := range ids {
		cluster, err := db.LoadCluster(ctx, id)
		if err != nil {
			return c.report, err
		}
		if err := c.wanted(ctx, cluster); err != nil {
			return c.report, err
		}
	}
	for _, kind := range []string{"MGCCluster", "MGCNodePool"} {
		if err := c.existing(ctx, kind); err != nil {
			return c.report, err
		}
	}
	if cloud != nil {
		if err := c.machines(ctx, cloud); err != nil {
			return c.report, err
		}
	}
	slices.SortStableFunc(c.report.Drift, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return c.report, nil
}

type comparison struct {
	kube     client.Client
	report   Report
	known    map[string]bool // ids of clusters and node pools in the database
	tenants  map[string]bool
	clusters map[string]bool // ids in the database or in the management cluster
}

func (c *comparison) add(problem, kind, cluster, name, detail string) {
	c.report.Drift = append(c.report.Drift, Drift{problem, kind, cluster, name, detail})
}

// wanted compares what mke-api would apply with what is there.
func (c *comparison) wanted(ctx context.Context, cluster *record.Cluster) error {
	id := cluster.ID.String()
	c.report.Clusters++
	c.known[id], c.clusters[id], c.tenants[cluster.TenantID] = true, true, true
	for i := range cluster.Pools {
		c.known[cluster.Pools[i].ID.String()] = true
	}
	if cluster.State == record.StateDeleting {
		return nil // parts of it may be gone
	}
	objects, err := mkesync.Desired(cluster)
	if err != nil {
		return err
	}
	for _, want := range objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(want.GroupVersionKind())
		err := c.kube.Get(ctx, client.ObjectKeyFromObject(want), live)
		if apierrors.IsNotFound(err) {
			c.add(NotInKubernetes, want.GetKind(), id, want.GetName(), "")
			continue
		}
		if err != nil {
			return err
		}
		if live.GetDeletionTimestamp() != nil {
			c.add(NotInKubernetes, want.GetKind(), id, want.GetName(), "it is being deleted")
			continue
		}
		if paths := differences("spec", want.Object["spec"], live.Object["spec"]); len(paths) > 0 {
			c.add(Differs, want.GetKind(), id, want.GetName(), strings.Join(paths, "; "))
		}
	}
	return nil
}

// existing finds what the management cluster has and the database does not.
func (c *comparison) existing(ctx context.Context, kind string) error {
	return each(ctx, c.kube, mkev1.GroupVersion.WithKind(kind), func(u *unstructured.Unstructured) error {
		cluster, id := u.GetLabels()[mkev1.ClusterIDLabel], u.GetLabels()[mkev1.NodePoolIDLabel]
		if kind == "MGCCluster" {
			id = cluster
			c.clusters[id] = true
			if tenant := u.GetLabels()[mkev1.TenantIDLabel]; tenant != "" {
				c.tenants[tenant] = true
			}
		}
		if !c.known[id] && u.GetDeletionTimestamp() == nil {
			c.add(NotInDatabase, kind, cluster, u.GetName(), "")
		}
		return nil
	})
}

// differences are the fields that are wanted and are otherwise, or not there. What only the other side has are defaults.
func differences(path string, want, have any) (paths []string) {
	switch want := want.(type) {
	case map[string]any:
		have, _ := have.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(want)) {
			paths = append(paths, differences(path+"."+key, want[key], have[key])...)
		}
		return paths
	case []any:
		have, ok := have.([]any)
		if ok && len(have) == len(want) {
			for i := range want {
				paths = append(paths, differences(fmt.Sprintf("%s[%d]", path, i), want[i], have[i])...)
			}
			return paths
		}
	}
	if want == nil || reflect.DeepEqual(want, have) {
		return nil
	}
	return []string{fmt.Sprintf("%s is %v in the database and %v in the management cluster", path, want, have)}
}

// OnlyMissing returns the ids of the clusters of which objects are missing in the management cluster while nothing else differs. Applying
// those makes what is missing and changes nothing that is there.
func (r Report) OnlyMissing() (ids []string) {
	other := map[string]bool{}
	for _, d := range r.Drift {
		if d.Problem != NotInKubernetes {
			other[d.Cluster] = true
		}
	}
	for _, d := range r.Drift {
		if !other[d.Cluster] && !slices.Contains(ids, d.Cluster) {
			ids = append(ids, d.Cluster)
		}
	}
	return ids
}
