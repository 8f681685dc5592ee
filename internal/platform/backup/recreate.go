package backup

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// restoringAnnotation is on a Cluster that is held until all that belongs to it is there again.
const restoringAnnotation = "mke.magalu.cloud/restoring"

// Objects counts what became of the objects of a backup.
type Objects struct {
	Created int `json:"created"`
	Kept    int `json:"kept"` // exist already, and stay as they are
	// Left are parts of clusters that exist, which their controllers have replaced or removed since.
	Left int `json:"left"`
}

// RestoreObjects makes the objects again that are gone. What exists is not touched. A cluster of which the Cluster API objects exist gets
// back only Secrets, and not those of machines that are gone: the rest of it is the controllers' work. dry counts only.
func RestoreObjects(ctx context.Context, kube client.Client, dir string, dry bool) (Objects, error) {
	r := &recreation{kube: kube, dry: dry, uids: map[types.UID]types.UID{}, alive: map[string]bool{}}
	waiting, err := readObjects(dir)
	if err != nil {
		return r.Objects, err
	}
	for _, u := range waiting {
		if err := r.look(ctx, u); err != nil {
			return r.Objects, err
		}
	}
	for len(waiting) > 0 { // owners first: others name them by ids that are new
		var later []*unstructured.Unstructured
		for _, u := range waiting {
			if r.ownersMissing(u, waiting) {
				later = append(later, u)
				continue
			}
			if err := r.restore(ctx, u); err != nil {
				return r.Objects, fmt.Errorf("%s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
			}
		}
		if len(later) == len(waiting) {
			return r.Objects, fmt.Errorf("%s %s/%s and others own each other", later[0].GetKind(), later[0].GetNamespace(), later[0].GetName())
		}
		waiting = later
	}
	if dry {
		return r.Objects, nil
	}
	return r.Objects, release(ctx, kube)
}

type recreation struct {
	Objects
	kube  client.Client
	dry   bool
	uids  map[types.UID]types.UID // in the backup → now
	alive map[string]bool         // namespaces with a Cluster that is not ours to complete
}

func isCluster(u *unstructured.Unstructured) bool {
	return u.GroupVersionKind().GroupKind() == clusterv1.GroupVersion.WithKind("Cluster").GroupKind()
}

func (r *recreation) live(ctx context.Context, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(u.GroupVersionKind())
	return live, r.kube.Get(ctx, client.ObjectKeyFromObject(u), live)
}

// look finds out which clusters exist. One whose restoration died is not complete.
func (r *recreation) look(ctx context.Context, u *unstructured.Unstructured) error {
	if !isCluster(u) {
		return nil
	}
	live, err := r.live(ctx, u)
	if err == nil && live.GetAnnotations()[restoringAnnotation] == "" {
		r.alive[u.GetNamespace()] = true
	}
	return client.IgnoreNotFound(err)
}

// ownersMissing says whether an owner that the backup holds has not been restored yet.
func (r *recreation) ownersMissing(u *unstructured.Unstructured, waiting []*unstructured.Unstructured) bool {
	for _, owner := range u.GetOwnerReferences() {
		if _, done := r.uids[owner.UID]; done {
			continue
		}
		for _, w := range waiting {
			if w.GetUID() == owner.UID {
				return true
			}
		}
	}
	return false
}

// ownerLeft says whether an object belongs to one that is not made again.
func (r *recreation) ownerLeft(u *unstructured.Unstructured) bool {
	return slices.ContainsFunc(u.GetOwnerReferences(), func(o metav1.OwnerReference) bool {
		uid, known := r.uids[o.UID]
		return known && uid == ""
	})
}

func (r *recreation) restore(ctx context.Context, u *unstructured.Unstructured) error {
	live, err := r.live(ctx, u)
	switch {
	case err == nil:
		r.Kept++
		r.uids[u.GetUID()] = live.GetUID()
		return nil
	case !apierrors.IsNotFound(err):
		return err
	}
	r.uids[u.GetUID()] = "" // of what is not made
	if r.alive[u.GetNamespace()] && (u.GetKind() != "Secret" || r.ownerLeft(u)) {
		r.Left++
		return nil
	}
	r.Created++
	if r.dry {
		return nil
	}
	return r.create(ctx, u)
}

// create makes an object with the status that it had: controllers go on from there instead of beginning anew.
func (r *recreation) create(ctx context.Context, u *unstructured.Unstructured) error {
	fresh := u.DeepCopy()
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"} {
		unstructured.RemoveNestedField(fresh.Object, "metadata", field)
	}
	status, hasStatus := fresh.Object["status"]
	delete(fresh.Object, "status")
	fresh.SetOwnerReferences(r.owners(u.GetOwnerReferences()))
	if isCluster(fresh) {
		hold(fresh)
	}
	if err := r.kube.Create(ctx, fresh); err != nil {
		return err
	}
	r.uids[u.GetUID()] = fresh.GetUID()
	if !hasStatus || u.GetKind() == "Namespace" {
		return nil
	}
	fresh.Object["status"] = status
	if err := r.kube.Status().Update(ctx, fresh); err != nil && !apierrors.IsNotFound(err) { // some kinds have no status of their own
		return fmt.Errorf("its status: %w", err)
	}
	return nil
}

// owners names owners by their new ids. One that is gone is left out: the garbage collector would remove what it owned.
func (r *recreation) owners(old []metav1.OwnerReference) (owners []metav1.OwnerReference) {
	for _, o := range old {
		if uid := r.uids[o.UID]; uid != "" {
			o.UID = uid
			owners = append(owners, o)
		}
	}
	return owners
}

// hold pauses a Cluster, noting whether it was paused before.
func hold(cluster *unstructured.Unstructured) {
	was, _, _ := unstructured.NestedBool(cluster.Object, "spec", "paused")
	annotations := cluster.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[restoringAnnotation] = fmt.Sprintf("paused=%t", was)
	cluster.SetAnnotations(annotations)
	_ = unstructured.SetNestedField(cluster.Object, true, "spec", "paused") // spec is an object
}

// release lets Cluster API work again on the clusters that were held, of this restoration or of one that died.
func release(ctx context.Context, kube client.Client) error {
	return each(ctx, kube, clusterv1.GroupVersion.WithKind("Cluster"), func(u *unstructured.Unstructured) error {
		state := u.GetAnnotations()[restoringAnnotation]
		if state == "" {
			return nil
		}
		before := u.DeepCopy()
		annotations := u.GetAnnotations()
		delete(annotations, restoringAnnotation)
		u.SetAnnotations(annotations)
		if state != "paused=true" {
			unstructured.RemoveNestedField(u.Object, "spec", "paused")
		}
		return kube.Patch(ctx, u, client.MergeFrom(before))
	})
}
