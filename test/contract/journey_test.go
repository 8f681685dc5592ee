package contract

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mkev1 "magalu.cloud/mke/api/v1"
)

const talkCluster = `{"name":"meu-cluster","node_pools":[{"flavor":"BV4-8-40","name":"nodepool01","replicas":1}]}`

// journey is one cluster on its way.
type journey struct {
	*world
	id string
}

func (j *journey) path() string      { return "/v0/clusters/" + j.id }
func (j *journey) namespace() string { return mkev1.ClusterNamespace(j.id) }

func (j *journey) state() string {
	status, answer := j.try(http.MethodGet, j.path(), "")
	if status != http.StatusOK {
		return fmt.Sprint(status)
	}
	_, rest, _ := strings.Cut(string(answer), `"status":{"state":"`)
	state, _, _ := strings.Cut(rest, `"`)
	return state
}

func (j *journey) get(obj client.Object, name string) error {
	return j.kube.Get(j.t.Context(), client.ObjectKey{Namespace: j.namespace(), Name: name}, obj)
}

// change edits an object that others edit too.
func (j *journey) change(obj client.Object, name string, edit func(), write func() error) {
	j.t.Helper()
	j.eventually("change "+name, func() bool {
		if err := j.get(obj, name); err != nil {
			return false
		}
		edit()
		err := write()
		if err != nil && !apierrors.IsConflict(err) {
			j.t.Fatal(err)
		}
		return err == nil
	})
}

// operate plays the operators for a cluster that comes up.
func (j *journey) operate() {
	j.t.Helper()
	var cluster mkev1.MGCCluster
	j.change(&cluster, "meu-cluster", func() { controllerutil.AddFinalizer(&cluster, "test.example/hold") },
		func() error { return j.kube.Update(j.t.Context(), &cluster) })
	j.change(&cluster, "meu-cluster", func() {
		for _, name := range []string{mkev1.CredentialsReadyCondition, mkev1.InfrastructureReadyCondition, mkev1.APIServerReadyCondition,
			mkev1.AddonsReadyCondition, mkev1.ControlPlaneReadyCondition, mkev1.ClusterReadyCondition} {
			meta.SetStatusCondition(&cluster.Status.Conditions, metav1.Condition{Type: name, Status: metav1.ConditionTrue, Reason: "Ready"})
		}
		cluster.Status.Phase, cluster.Status.Message, cluster.Status.ObservedGeneration = mkev1.ClusterRunning, "Ready", cluster.Generation
		cluster.Status.ControlPlaneEndpoint = mkev1.Endpoint{Host: "198.18.0.20", Port: 6443}
	}, func() error { return j.kube.Status().Update(j.t.Context(), &cluster) })
	j.operatePool("nodepool01")
}

func (j *journey) operatePool(name string) {
	j.t.Helper()
	var pool mkev1.MGCNodePool
	j.change(&pool, name, func() {
		pool.Status.Phase, pool.Status.Message, pool.Status.ObservedGeneration = mkev1.NodePoolRunning, "ready", pool.Generation
	}, func() error { return j.kube.Status().Update(j.t.Context(), &pool) })
}

func (j *journey) operation(kind string) map[string]any {
	j.t.Helper()
	for _, op := range j.do(http.MethodGet, j.path()+"/operations", "", http.StatusOK)["results"].([]any) {
		if op := op.(map[string]any); op["kind"] == kind {
			return op
		}
	}
	j.t.Fatalf("there is no operation %s", kind)
	return nil
}

// finalize plays the namespace controller, which this API server does not have.
func (j *journey) finalize() {
	clientset, err := kubernetes.NewForConfig(config)
	j.must(err)
	var ns corev1.Namespace
	j.eventually("the namespace is being deleted", func() bool {
		err := j.kube.Get(j.t.Context(), client.ObjectKey{Name: j.namespace()}, &ns)
		return err == nil && !ns.DeletionTimestamp.IsZero()
	})
	ns.Spec.Finalizers = nil
	_, err = clientset.CoreV1().Namespaces().Finalize(j.t.Context(), &ns, metav1.UpdateOptions{})
	j.must(err)
}

// TestJourney follows a cluster from its creation to its end. In the second round mke-api is killed at every station.
func TestJourney(t *testing.T) {
	t.Run("Undisturbed", func(t *testing.T) { follow(t, func(*world, *exec.Cmd) *exec.Cmd { return nil }) })
	t.Run("Killed", func(t *testing.T) {
		follow(t, func(w *world, api *exec.Cmd) *exec.Cmd {
			kill(api)
			return w.startAPI()
		})
	})
}

func follow(t *testing.T, disturb func(*world, *exec.Cmd) *exec.Cmd) {
	w := newWorld(t)
	api := w.startAPI()
	disturbed := func() {
		if next := disturb(w, api); next != nil {
			api = next
		}
	}
	j := &journey{world: w}
	j.id = w.do(http.MethodPost, "/v0/clusters", talkCluster, http.StatusCreated)["id"].(string)
	disturbed()
	j.eventually("the wish has reached the management cluster", func() bool { return j.get(&mkev1.MGCNodePool{}, "nodepool01") == nil })
	w.do(http.MethodGet, j.path()+"/kubeconfig", "", http.StatusBadRequest)
	disturbed()
	j.operate()
	j.eventually("Running", func() bool { return j.state() == "Running" })
	j.eventually("the operation ends", func() bool { return j.operation("CreateCluster")["state"] == "Succeeded" })

	j.must(w.kube.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: j.namespace(), Name: "meu-cluster-kubeconfig"}, Data: map[string][]byte{"value": []byte("kind: Config")}}))
	w.do(http.MethodGet, j.path()+"/kubeconfig", "", http.StatusOK)
	w.do(http.MethodPost, "/v0/clusters", strings.Replace(talkCluster, "1}", "2}", 1), http.StatusConflict)

	pool := w.do(http.MethodGet, "/v1alpha0/clusters/"+j.id+"/node-pools", "", http.StatusOK)["results"].([]any)[0].(map[string]any)
	w.do(http.MethodPatch, j.path()+"/node_pools/"+pool["id"].(string), `{"replicas":3}`, http.StatusOK)
	disturbed()
	var obj mkev1.MGCNodePool
	j.eventually("3 replicas are wanted", func() bool {
		return j.get(&obj, "nodepool01") == nil && obj.Spec.Replicas != nil && *obj.Spec.Replicas == 3
	})
	j.operatePool("nodepool01")
	j.eventually("the pool is Running", func() bool { return j.operation("UpdateNodePool")["state"] == "Succeeded" })

	w.do(http.MethodDelete, j.path(), "null", http.StatusNoContent)
	disturbed()
	w.do(http.MethodDelete, j.path(), "null", http.StatusConflict)
	deletion := j.operation("DeleteCluster")["id"].(string)
	var cluster mkev1.MGCCluster
	j.eventually("deletion has begun", func() bool { return j.get(&cluster, "meu-cluster") == nil && !cluster.DeletionTimestamp.IsZero() })
	j.change(&cluster, "meu-cluster", func() { cluster.Finalizers = nil }, func() error { return w.kube.Update(t.Context(), &cluster) })
	disturbed()
	j.finalize()
	j.eventually("gone", func() bool { return j.state() == "404" })
	if op := w.do(http.MethodGet, "/v0/operations/"+deletion, "", http.StatusOK); op["state"] != "Succeeded" {
		t.Errorf("operation = %v", op)
	}
	if list := w.do(http.MethodGet, "/v0/clusters", "", http.StatusOK)["results"].([]any); len(list) != 0 {
		t.Errorf("clusters = %v", list)
	}
	j.eventually("every change is in the audit", func() bool {
		missing := map[string]bool{"POST 201": true, "PATCH 200": true, "DELETE 204": true, "DELETE 409": true}
		for _, r := range w.do(http.MethodGet, "/v1alpha0/audit?actor=maria&resource="+j.id, "", http.StatusOK)["results"].([]any) {
			record := r.(map[string]any)
			delete(missing, fmt.Sprintf("%v %v", record["method"], record["status"]))
		}
		return len(missing) == 0
	})
}

// TestTwoReplicas lets two processes work on the same record.
func TestTwoReplicas(t *testing.T) {
	w := newWorld(t)
	w.startAPI()
	w.startAPIAt(freeAddress(t))
	const n = 20
	for i := range n {
		w.do(http.MethodPost, "/v0/clusters", fmt.Sprintf(`{"name":"c%d"}`, i), http.StatusCreated)
	}
	w.eventually("all clusters have arrived", func() bool {
		var list mkev1.MGCClusterList
		w.must(w.kube.List(t.Context(), &list))
		arrived := 0
		for _, c := range list.Items {
			if strings.HasPrefix(c.Name, "c") {
				arrived++
			}
		}
		return arrived == n
	})
}

// TestSpeed bounds how long a wish takes to the management cluster: it must come by notification, not by a timer.
func TestSpeed(t *testing.T) {
	w := newWorld(t)
	w.startAPI()
	w.do(http.MethodGet, "/v0/clusters", "", http.StatusOK) // up
	for i := range 3 {
		start := time.Now()
		j := &journey{world: w, id: w.do(http.MethodPost, "/v0/clusters", fmt.Sprintf(`{"name":"fast%d"}`, i), http.StatusCreated)["id"].(string)}
		j.eventually("arrived", func() bool { return j.get(&mkev1.MGCCluster{}, fmt.Sprintf("fast%d", i)) == nil })
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the wish took %s", took)
		}
	}
}
