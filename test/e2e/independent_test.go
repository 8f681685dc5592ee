//go:build e2e

package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"

	independent "magalu.cloud/mke/test/independent/client"
)

// testIndependentClient takes another tenant's cluster through its life by the published document alone, while the rest is busy in c.
func testIndependentClient(t *testing.T, c *cluster) {
	document := filepath.Join(cmp.Or(os.Getenv("MKE_OPENAPI_DIR"), "../../../shared/openapi"), "kubernetes.yaml")
	if _, err := os.Stat(document); err != nil {
		t.Skipf("NOT RUN: the published document is missing: %s (set MKE_OPENAPI_DIR)", document)
	}
	ca, err := os.ReadFile(c.r.status.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := independent.Run(t.Context(), independent.Options{Document: document, Server: c.r.status.Endpoint + "/" + c.r.status.Region + "/kubernetes",
		Key: c.r.other, CA: ca, Name: "independent", Connect: true, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
}
