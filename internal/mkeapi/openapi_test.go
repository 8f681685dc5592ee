package mkeapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/openapi/openapitest"
)

// The document that the API serves about itself is valid and has every published operation, and of each the gateway knows what it needs.
func TestOwnDocument(t *testing.T) {
	h := newHarness(t)
	raw := h.do(http.MethodGet, "/openapi.json", nil).want(http.StatusOK).body
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	if h.contract != nil {
		openapitest.Check(t, "../..", "kubernetes", doc, h.contract.doc)
	}
	found := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			found[op.OperationID] = true
			if o, ok := access.Find("kubernetes", method, path); !ok || o.Path != path {
				t.Errorf("the gateway does not know what %s %s needs: it is not in internal/access/operations.txt", method, path)
			}
		}
	}
	for _, id := range []string{"createCluster", "getClusters", "getClusterById", "patchCluster", "deleteCluster", "getKubeConfigCluster", "createNodePool",
		"getNodePool", "patchNodePool", "deleteNodePool", "getNodes", "listNodePoolsV1alpha0", "getFlavorsV1", "getVersionsV1", "listOperations", "listAddons", "getAddon", "patchAddon", "listMetrics", "getMetric", "getOperation", "listQuotas", "listAuditRecords", "getAuditRecord", "findOperations", "streamClusterEvents", "streamOperationEvents"} {
		if !found[id] {
			t.Errorf("%s is missing", id)
		}
	}
	create := doc.Paths.Find("/v0/clusters").Post.RequestBody.Value.Content.Get("application/json").Schema.Value
	if create.Properties["node_pools"] == nil || doc.Paths.Find("/v0/clusters/{cluster_id}").Patch.Parameters.GetByInAndName("path", "cluster_id") == nil {
		t.Errorf("bodies or parameters are not documented: %+v", create)
	}
	get := doc.Paths.Find("/v0/clusters/{cluster_id}").Get.Responses.Status(200).Value.Content.Get("application/json").Schema.Value
	for _, field := range []string{"id", "status", "node_pools", "network"} {
		if get.Properties[field] == nil {
			t.Errorf("the answer's field %s is not documented", field)
		}
	}
}

// Everyone may read the document and the page, nobody anything else.
func TestDocumentIsPublic(t *testing.T) {
	h := newHarness(t)
	for path, want := range map[string]string{"/openapi.json": "application/json", "/openapi.yaml": "application/yaml", "/docs": "text/html; charset=utf-8"} {
		res := h.as("", http.MethodGet, path, nil).want(http.StatusOK)
		if res.Header.Get("Content-Type") != want || !strings.Contains(string(res.body), "/v0/clusters/{cluster_id}") {
			t.Errorf("%s: %v %.200s", path, res.Header, res.body)
		}
	}
	page := string(h.send("", http.MethodGet, "/docs", nil, map[string]string{"Accept-Language": "pt-BR"}).body)
	for _, part := range []string{`lang="pt-BR"`, "kubernetes_cluster_create", "pa:sa:manage", `href="#schema-NodePoolResponse"`} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	h.as("", http.MethodPost, "/docs", "{}").want(http.StatusUnauthorized)
	h.as("", http.MethodGet, "/docs/x", nil).want(http.StatusUnauthorized)
}
