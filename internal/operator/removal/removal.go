// Package removal deletes what a cluster had made in the cloud for what runs in it: load balancers of Services, volumes and
// snapshots. It needs nothing but the cloud, so that it works when the cluster's API server is dead.
package removal

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
)

// patience is how long the cloud may refuse to delete a volume or snapshot, for example because something that is not the cluster's
// depends on it. After that it is kept and the deletion of the cluster goes on.
const patience = 2 * time.Minute

// Removal is one step of the removal of a cluster's objects. Every object is put on one of the lists first, and touched in a later
// step, when the list has been saved: whatever happens in between, the lists tell all that was removed.
type Removal struct {
	cloud     *mgc.Client
	clusterID string
	lists     *mkev1.DeletionStatus
	saved     map[string]bool
	recorded  bool
	now       func() time.Time
}

// New returns a step. lists are as they are stored, and are changed by the step.
func New(c *mgc.Client, clusterID string, lists *mkev1.DeletionStatus) *Removal {
	r := &Removal{cloud: c, clusterID: clusterID, lists: lists, saved: map[string]bool{}, now: time.Now}
	for _, o := range slices.Concat(lists.Removed, lists.Kept) {
		r.saved[o.ID] = true
	}
	return r
}

// Recorded is true if an object was put on a list. The lists have to be saved, and the next step may come at once.
func (r *Removal) Recorded() bool { return r.recorded }

// remove puts an object on the list of what is removed and says whether it may be touched.
func (r *Removal) remove(o mkev1.CloudObject) bool {
	r.record(&r.lists.Removed, o)
	return r.saved[o.ID]
}

func (r *Removal) keep(o mkev1.CloudObject) { r.record(&r.lists.Kept, o) }

func (r *Removal) record(list *[]mkev1.CloudObject, o mkev1.CloudObject) {
	if find(*list, o.ID) < 0 {
		o.Since = metav1.NewTime(r.now())
		*list = append(*list, o)
		r.recorded = true
	}
}

// giveUp keeps an object that the cloud has refused to delete for too long, and says so.
func (r *Removal) giveUp(o mkev1.CloudObject, refusal error) bool {
	i := find(r.lists.Removed, o.ID)
	if i < 0 || r.now().Sub(r.lists.Removed[i].Since.Time) < patience {
		return false
	}
	r.lists.Removed = slices.Delete(r.lists.Removed, i, i+1)
	o.Reason = cut("the cloud refuses to delete it: "+cloud.Message(refusal), 256)
	r.keep(o)
	return true
}

func (r *Removal) kept(id string) bool { return find(r.lists.Kept, id) >= 0 }

func find(list []mkev1.CloudObject, id string) int {
	return slices.IndexFunc(list, func(o mkev1.CloudObject) bool { return o.ID == id })
}

func cut(text string, n int) string { return text[:min(n, len(text))] }
