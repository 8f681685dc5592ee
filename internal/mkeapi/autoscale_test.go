package mkeapi

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// TestAutoscaledNodePool: answers show the number of nodes that the autoscaler chose, and a change starts from there.
func TestAutoscaledNodePool(t *testing.T) {
	for name, tc := range map[string]struct {
		patch string
		want  string // replicas, bounds, messages, what is recorded as somebody's wish
	}{
		"nothing":         {`{"flavor":"BV4-8-40"}`, "4 map[max_replicas:9 min_replicas:1] [ready autoscaler: blocked] 0"},
		"the same number": {`{"replicas":4}`, "4 map[max_replicas:9 min_replicas:1] [ready autoscaler: blocked] 0"},
		"another number":  {`{"replicas":2}`, "2 map[max_replicas:9 min_replicas:1] [waiting for the change to be applied autoscaler: blocked] 2"},
		"bounds above":    {`{"auto_scale":{"min_replicas":6,"max_replicas":9}}`, "6 map[max_replicas:9 min_replicas:6] [waiting for the change to be applied autoscaler: blocked] 0"},
		"bounds around":   {`{"auto_scale":{"min_replicas":0,"max_replicas":5}}`, "4 map[max_replicas:5 min_replicas:0] [waiting for the change to be applied autoscaler: blocked] 0"},
		"null minimum":    {`{"auto_scale":{"min_replicas":null,"max_replicas":7}}`, "4 map[max_replicas:7 min_replicas:4] [waiting for the change to be applied autoscaler: blocked] 0"},
		"no bounds":       {`{"auto_scale":{"min_replicas":null,"max_replicas":null}}`, "4 map[max_replicas:4 min_replicas:4] [waiting for the change to be applied autoscaler: blocked] 0"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			cluster := h.createCluster(`{"name":"c","version":"v1.33.6"}`)
			id := h.createPool(cluster, `{"name":"p","flavor":"BV4-8-40","replicas":1,"auto_scale":{"min_replicas":1,"max_replicas":9}}`)
			h.settle(cluster, "Running")
			live := int32(4)
			if err := h.store.Observe(t.Context(), uuid.MustParse(cluster), func(c *record.Cluster, _ []db.Operation) {
				c.Pools[0].LiveReplicas, c.Pools[0].Message, c.Pools[0].Autoscaler = &live, "ready", "autoscaler: blocked"
			}); err != nil {
				t.Fatal(err)
			}
			path := "/v0/clusters/" + cluster + "/node_pools/" + id
			h.do(http.MethodPatch, path, tc.patch).want(http.StatusOK)
			p := h.do(http.MethodGet, path, nil).want(http.StatusOK).object()
			c, err := h.store.LoadCluster(t.Context(), uuid.MustParse(cluster))
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(p["replicas"], " ", p["auto_scale"], " ", p["status"].(map[string]any)["messages"], " ", c.Pools[0].ReplicasRevision)
			if got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}
