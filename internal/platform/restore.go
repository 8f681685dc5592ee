package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/platform/backup"
	"magalu.cloud/mke/internal/platform/helm"
	"magalu.cloud/mke/internal/progress"
)

const (
	operatorDeployment = "mke-operator"
	// replicasAnnotation keeps how many replicas a part had that a restoration has stopped.
	replicasAnnotation = "mke.magalu.cloud/restore-replicas"
	partsTimeout       = 3 * time.Minute
	// arrivalTimeout is how long mke-api may take to carry what is missing to the management cluster.
	arrivalTimeout = time.Minute
)

// Restoration is what `mke restore` did, or would do.
type Restoration struct {
	DryRun   bool             `json:"dry_run"`
	Backup   *backup.Manifest `json:"backup"`
	Objects  backup.Objects   `json:"objects"`
	Database string           `json:"former_database,omitempty"` // the name under which it is kept
	Report   *backup.Report   `json:"report,omitempty"`
}

// Restore puts a backup into an installed platform. The backup is checked as a whole before anything is changed. It deletes nothing: the
// former database is kept, objects that exist stay as they are, and what differs afterwards is reported.
func Restore(ctx context.Context, o BackupOptions) (*Restoration, error) {
	dir, err := os.MkdirTemp("", "mke-restore-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &restoring{options: o, dir: dir, printer: progress.New(o.Progress)}
	r.DryRun = o.DryRun
	if err := r.check(ctx); err != nil || o.DryRun {
		return &r.Restoration, err
	}
	unlock, err := lock(Paths{Data: o.DataDir})
	if err != nil {
		return nil, err
	}
	defer unlock()
	return &r.Restoration, r.run(ctx)
}

type restoring struct {
	Restoration
	*installation
	options BackupOptions
	dir     string
	printer *progress.Printer
}

// check finds out whether the backup can be restored, and what there is to do. It changes nothing.
func (r *restoring) check(ctx context.Context) (err error) {
	if r.Backup, err = backup.Unpack(r.options.File, r.options.Passphrase, r.dir); err != nil {
		return err
	}
	if schema := r.Backup.Database.Schema; schema > db.Latest() {
		return fmt.Errorf("the backup's database has the schema %d, this program knows %d: use the mke that made it (%s) or a newer one", schema, db.Latest(), r.Backup.Version)
	}
	if r.installation, err = r.options.open(ctx); err != nil {
		return err
	}
	if r.region != r.Backup.Region {
		return fmt.Errorf("the backup is of the region %s, the platform serves %s", r.Backup.Region, r.region)
	}
	r.Objects, err = backup.RestoreObjects(ctx, r.kube, r.dir, true)
	return err
}

func (r *restoring) run(ctx context.Context) error {
	for _, phase := range []struct {
		name string
		work func(context.Context, *progress.Phase) error
	}{
		{"Stop the operator", r.stopOperator},
		{"Database", r.restoreDatabase},
		{"Management cluster", func(ctx context.Context, _ *progress.Phase) (err error) {
			r.Objects, err = backup.RestoreObjects(ctx, r.kube, r.dir, false)
			return err
		}},
		{"Start the operator, renew mke-api", r.startAgain},
		{"Compare", r.compare},
	} {
		if err := r.printer.Run(ctx, phase.name, phase.work); err != nil {
			return fmt.Errorf("%s: %w; run `mke restore` again to go on", phase.name, err)
		}
	}
	return nil
}

// stopOperator keeps it from making anew what is about to be restored. Cluster API is held by pausing its Clusters: it must run, because it
// checks what is created.
func (r *restoring) stopOperator(ctx context.Context, ph *progress.Phase) error {
	deployments := r.clientset.AppsV1().Deployments(helm.Namespace)
	d, err := deployments.Get(ctx, operatorDeployment, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if d.Annotations[replicasAnnotation] == "" { // else a run that died has noted it
		if err := r.patchDeployment(ctx, operatorDeployment, fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}},"spec":{"replicas":0}}`,
			replicasAnnotation, ptr.Deref(d.Spec.Replicas, 1))); err != nil {
			return err
		}
	}
	return poll(ctx, 300*time.Millisecond, partsTimeout, func() (bool, error) {
		pods, err := r.clientset.CoreV1().Pods(helm.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + operatorDeployment})
		if err != nil {
			ph.Detail("the management cluster does not answer: %v", err)
			return false, nil
		}
		return len(pods.Items) == 0, nil
	})
}

func (r *restoring) patchDeployment(ctx context.Context, name, patch string) error {
	_, err := r.clientset.AppsV1().Deployments(helm.Namespace).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (r *restoring) restoreDatabase(ctx context.Context, _ *progress.Phase) error {
	config, stop, err := r.database(ctx)
	if err != nil {
		return err
	}
	defer stop()
	r.Database, err = backup.RestoreDatabase(ctx, config, r.dir, r.Backup.Database, time.Now())
	return err
}

// startAgain also renews mke-api, which has to look at everything anew.
func (r *restoring) startAgain(ctx context.Context, ph *progress.Phase) error {
	d, err := r.clientset.AppsV1().Deployments(helm.Namespace).Get(ctx, operatorDeployment, metav1.GetOptions{})
	if err != nil {
		return err
	}
	replicas, err := strconv.Atoi(d.Annotations[replicasAnnotation])
	if err == nil {
		err = r.patchDeployment(ctx, operatorDeployment, fmt.Sprintf(`{"metadata":{"annotations":{%q:null}},"spec":{"replicas":%d}}`, replicasAnnotation, replicas))
	}
	if err != nil {
		return err
	}
	if err := r.patchDeployment(ctx, apiDeployment, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`,
		time.Now().Format(time.RFC3339))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, partsTimeout)
	defer cancel()
	return helm.WaitReady(ctx, r.clientset, ph.Detail)
}

// compare lets mke-api make again what is missing where nothing else differs, and reports what differs then.
func (r *restoring) compare(ctx context.Context, ph *progress.Phase) error {
	return r.withStore(ctx, func(store *record.Store) error {
		report, err := r.drift(ctx, store)
		if err != nil {
			return err
		}
		incomplete := report.OnlyMissing()
		for _, id := range incomplete {
			parsed, err := uuid.Parse(id)
			if err == nil {
				err = store.Enqueue(ctx, parsed)
			}
			if err != nil {
				return err
			}
		}
		if len(incomplete) > 0 {
			ph.Detail("objects of %d clusters are made again", len(incomplete))
			err := poll(ctx, 300*time.Millisecond, arrivalTimeout, func() (bool, error) {
				waiting, err := store.Backlog(ctx)
				return waiting == 0, err
			})
			if err != nil && !errors.Is(err, errPollTimeout) { // what has not arrived is in the report
				return err
			}
			if report, err = r.drift(ctx, store); err != nil {
				return err
			}
		}
		r.Report = &report
		return nil
	})
}
