//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

// dataManifest is what leaves traces in the cloud: a volume in use, a load balancer, and one whose public IP shall stay. It runs
// on the control plane: a cluster without node pools is enough.
const dataManifest = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
  - {name: writer, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: [sh, -c, "echo kept > /data/file; sync; sleep 100000"],
     volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: none}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: fixed, annotations: {magalu.cloud/public-ip-reclaim-policy: retain}}
spec: {type: LoadBalancer, selector: {app: none}, ports: [{port: 80}]}
`

const noPools = `[]`

// testDeleteData deletes clusters that have volumes and load balancers.
func testDeleteData(t *testing.T, r *region) {
	for name, test := range map[string]func(*testing.T, *cluster){"keep": deletionKeeps, "delete": deletionRemoves} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := r.createWith(t, "data-"+name, noPools)
			c.waitRunning(t)
			c.fetchKubeconfig(t, t.TempDir())
			c.apply(t, dataManifest)
			eventually(t, 2*time.Minute, "the Pod runs and the Services have addresses", func() error {
				if res := c.kubectl("get", "pod", "writer", "-o", "jsonpath={.status.phase}"); res.stdout != "Running" {
					return fmt.Errorf("%s", res)
				}
				addresses := strings.Fields(c.kubectl("get", "service", "-o", "jsonpath={.items[*].status.loadBalancer.ingress[0].ip}").stdout)
				if len(addresses) != 2 {
					return fmt.Errorf("addresses are %v", addresses)
				}
				return nil
			})
			test(t, c)
		})
	}
}

// deletionKeeps deletes a cluster as it is by default. Somebody deletes its service account meanwhile.
func deletionKeeps(t *testing.T, c *cluster) {
	r, tr := c.r, c.record(t)
	r.mustMgc(t, "cluster", "delete", c.id, "--no-confirm")
	c.deleteServiceAccount(t)
	op := c.deletion(t)
	expectObjects(t, "removed", op.Removed, "LoadBalancer default/fixed", "LoadBalancer default/web", "PublicIP default/web")
	expectObjects(t, "kept", op.Kept, "PublicIP default/fixed", "Volume ")
	// What is kept is there and free.
	for _, o := range op.Kept {
		eventually(t, 30*time.Second, o.Kind+" can be deleted", func() error {
			if o.Kind == "PublicIP" {
				return r.cloud.Network.DeletePublicIP(t.Context(), o.ID)
			}
			v, err := r.cloud.Volume.Get(t.Context(), o.ID)
			if err != nil || v.State != mgc.StorageAvailable || v.Size != o.SizeGiB {
				return fmt.Errorf("volume %+v: %w", v, err)
			}
			return r.cloud.Volume.Delete(t.Context(), o.ID)
		})
	}
	r.expectNothing(t, tr)
}

// deletionRemoves deletes a cluster with all its data. Its API server is dead.
func deletionRemoves(t *testing.T, c *cluster) {
	r, tr := c.r, c.record(t)
	for _, id := range tr.instances {
		if err := r.cloud.Compute.StopInstance(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	res := r.mgc("cluster", "delete", c.id, "--no-confirm", "--delete-volumes", "--wait", "--wait-timeout", deletionLimit.String(), "-o", "json")
	var op deletionOperation
	if err := json.Unmarshal([]byte(res.stdout), &op); err != nil || res.code != 0 {
		t.Fatalf("%s", res)
	}
	expectObjects(t, "removed", op.Removed, "LoadBalancer default/fixed", "LoadBalancer default/web", "PublicIP default/web", "Volume ")
	expectObjects(t, "kept", op.Kept, "PublicIP default/fixed")
	for _, ip := range op.Kept {
		if err := r.cloud.Network.DeletePublicIP(t.Context(), ip.ID); err != nil {
			t.Error(err)
		}
	}
	r.expectNothing(t, tr)
}

type keptObject struct {
	Kind, ID, Name, Service string
	SizeGiB                 int `json:"size_gib"`
}

type deletionOperation struct {
	Kind, State, Message string
	Removed, Kept        []keptObject
}

// deletion waits for the end of the cluster's deletion and returns the operation.
func (c *cluster) deletion(t *testing.T) deletionOperation {
	t.Helper()
	id := ""
	for _, line := range strings.Split(c.r.mustMgc(t, "operation", "list", c.id), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "DeleteCluster" {
			id = f[0]
		}
	}
	var op deletionOperation
	messages := map[string]bool{}
	eventually(t, deletionLimit, c.name+" is deleted", func() error {
		res := c.r.mgc("operation", "get", id, "-o", "json")
		if err := json.Unmarshal([]byte(res.stdout), &op); err != nil {
			return fmt.Errorf("%s", res)
		}
		if !messages[op.Message] {
			messages[op.Message] = true
			t.Log(op.Message)
		}
		if op.State != "Succeeded" {
			return fmt.Errorf("%s: %s", op.State, op.Message)
		}
		return nil
	})
	return op
}

// deleteServiceAccount takes the cluster's identity in the cloud away.
func (c *cluster) deleteServiceAccount(t *testing.T) {
	t.Helper()
	accounts, err := c.r.cloud.IAM.ListServiceAccounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		if a.Name == "mke-"+c.id {
			if err := c.r.cloud.IAM.DeleteServiceAccount(t.Context(), a.UUID); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the cluster has no service account")
}

// expectObjects compares a list with what is expected, as "kind service".
func expectObjects(t *testing.T, what string, list []keptObject, want ...string) {
	t.Helper()
	got := map[string]int{}
	for _, o := range list {
		got[o.Kind+" "+o.Service]++
	}
	for _, w := range want {
		got[w]--
	}
	for o, n := range got {
		if n != 0 {
			t.Errorf("%s is %+v, want %v (%s: %+d)", what, list, want, o, n)
		}
	}
}
