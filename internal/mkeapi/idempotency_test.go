package mkeapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/mkeapi/record"
)

func (h *harness) post(tenant, key, path, body string) response {
	h.t.Helper()
	return h.send(tenant, http.MethodPost, path, body, map[string]string{"Idempotency-Key": key})
}

func TestIdempotencyKeys(t *testing.T) {
	h := newHarness(t)
	first := h.post(mgctest.Tenant, "k1", "/v0/clusters", talkCluster).want(http.StatusCreated)
	h.server.Wait()
	again := h.post(mgctest.Tenant, "k1", "/v0/clusters", " "+strings.ReplaceAll(talkCluster, ",", " ,\n")).want(http.StatusCreated)
	if string(first.body) != string(again.body) || again.Header.Get("Idempotency-Replayed") != "true" || first.Header.Get("Idempotency-Replayed") != "" ||
		again.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
		t.Errorf("the repetition got another answer:\n%s\n%s", first.body, again.body)
	}
	h.post(mgctest.Tenant, "k1", "/v0/clusters", `{"name":"other"}`).wantProblem(http.StatusUnprocessableEntity, "idempotency_key_reused", nil)
	id := first.object()["id"].(string)
	h.post(mgctest.Tenant, "k1", "/v0/clusters/"+id+"/node_pools", talkCluster).wantProblem(http.StatusUnprocessableEntity, "idempotency_key_reused", nil)
	h.post(stranger, "k1", "/v0/clusters", talkCluster).want(http.StatusCreated) // keys are the tenant's own
	h.post(mgctest.Tenant, "k2", "/v0/clusters", talkCluster).wantProblem(http.StatusConflict, "cluster_already_exists", nil)
	if list := h.do(http.MethodGet, "/v0/clusters", nil).results(); len(list) != 1 {
		t.Errorf("%d clusters", len(list))
	}

	// A refusal is an answer, too.
	h.post(mgctest.Tenant, "k3", "/v0/clusters", `{"name":"UPPER"}`).wantProblem(http.StatusBadRequest, "invalid_name", nil)
	h.post(mgctest.Tenant, "k3", "/v0/clusters", `{"name":"UPPER"}`).wantProblem(http.StatusBadRequest, "invalid_name", nil)
	for _, key := range []string{"has space", strings.Repeat("k", 256), "ção"} {
		h.post(mgctest.Tenant, key, "/v0/clusters", talkCluster).wantProblem(http.StatusBadRequest, "invalid_idempotency_key", nil)
	}
	h.post(mgctest.Tenant, "large", "/v0/clusters", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`).wantProblem(http.StatusRequestEntityTooLarge, "body_too_large", nil)

	// A node pool that is gone again does not come back by a late repetition.
	pool := `{"name":"q","flavor":"BV2-4-40","replicas":1}`
	made := h.post(mgctest.Tenant, "k4", "/v0/clusters/"+id+"/node_pools", pool).want(http.StatusCreated).object()["id"].(string)
	h.do(http.MethodDelete, "/v0/clusters/"+id+"/node_pools/"+made, nil).want(http.StatusNoContent)
	h.post(mgctest.Tenant, "k4", "/v0/clusters/"+id+"/node_pools", pool).want(http.StatusCreated)

	// Dry runs keep nothing.
	h.post(mgctest.Tenant, "k5", "/v0/clusters?dry_run=true", `{"name":"dry"}`).want(http.StatusOK)
	h.post(mgctest.Tenant, "k5", "/v0/clusters", `{"name":"dry"}`).want(http.StatusCreated)
}

func TestIdempotencyKeysEnd(t *testing.T) {
	h := newHarness(t)
	age := func() {
		if _, err := h.pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - interval '25 hours'"); err != nil {
			t.Fatal(err)
		}
	}
	h.post(mgctest.Tenant, "k", "/v0/clusters", `{"name":"a"}`).want(http.StatusCreated)
	age()
	h.post(mgctest.Tenant, "k", "/v0/clusters", `{"name":"b"}`).want(http.StatusCreated)
	h.post(mgctest.Tenant, "k", "/v0/clusters", `{"name":"b"}`).want(http.StatusCreated)
	if n, err := h.store.ForgetAnswers(t.Context()); n != 0 || err != nil {
		t.Errorf("%d fresh keys were forgotten: %v", n, err)
	}
	age()
	if n, err := h.store.ForgetAnswers(t.Context()); n != 1 || err != nil {
		t.Errorf("%d old keys were forgotten: %v", n, err)
	}
}

// What goes wrong on our side is tried again under the same key.
func TestIdempotencyAfterFailure(t *testing.T) {
	h := newHarness(t)
	remove := h.cloud.Inject(mgctest.Fault{Path: "/network/", Status: http.StatusServiceUnavailable})
	h.post(mgctest.Tenant, "k", "/v0/clusters", talkCluster).wantProblem(http.StatusServiceUnavailable, "cloud_unavailable", nil)
	remove()
	h.post(mgctest.Tenant, "k", "/v0/clusters", talkCluster).want(http.StatusCreated)
}

// One of many requests with the same key that come at once is carried out, whichever replica they reach.
func TestIdempotencyAtOnce(t *testing.T) {
	h := newHarness(t)
	other := *h
	other.store = record.New(h.pool)
	other.server = New(Options{Store: other.store, Cloud: h.server.cloud, Nodes: h.clusters, Catalog: h.server.catalog, Quotas: h.server.quotas,
		Prices: h.server.prices, Region: mgctest.Region, Log: h.server.log})
	t.Cleanup(other.server.Wait)
	ids, status := make([]string, 12), make([]int, 12)
	var group sync.WaitGroup
	for i := range ids {
		replica := []*harness{h, &other}[i%2]
		group.Go(func() {
			res := replica.post(mgctest.Tenant, "k", "/v0/clusters", talkCluster)
			if status[i] = res.StatusCode; status[i] == http.StatusCreated {
				ids[i] = res.object()["id"].(string)
			}
		})
	}
	group.Wait()
	made := map[string]bool{}
	for i, id := range ids {
		if id != "" {
			made[id] = true
		} else if status[i] != http.StatusConflict {
			t.Errorf("status %d", status[i])
		}
	}
	if list := h.do(http.MethodGet, "/v0/clusters", nil).results(); len(made) != 1 || len(list) != 1 {
		t.Errorf("answers name %d clusters, there are %d", len(made), len(list))
	}

	under, done := make(chan struct{}), make(chan struct{})
	group.Go(func() {
		_, _, err := other.store.Once(t.Context(), mgctest.Tenant, "slow", nil, func(context.Context) record.Answer {
			close(under)
			<-done
			return record.Answer{Status: http.StatusServiceUnavailable}
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-under
	h.post(mgctest.Tenant, "slow", "/v0/clusters", `{"name":"slow"}`).wantProblem(http.StatusConflict, "idempotency_key_in_use", nil)
	close(done)
	group.Wait()
	h.post(mgctest.Tenant, "slow", "/v0/clusters", `{"name":"slow"}`).want(http.StatusCreated)
}

// Requests under way do not take all connections from each other.
func TestIdempotencyLeavesConnections(t *testing.T) {
	h := newHarness(t)
	var group sync.WaitGroup
	for i := range 3 * int(h.pool.Config().MaxConns) {
		group.Go(func() {
			h.post(mgctest.Tenant, fmt.Sprint(i), "/v0/clusters", fmt.Sprintf(`{"name":"c%d"}`, i)).want(http.StatusCreated)
		})
	}
	group.Wait()
}
