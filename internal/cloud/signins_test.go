package cloud

import (
	"net/http/httptest"
	"net/url"
	"testing"

	"magalu.cloud/mke/internal/mgc"
)

// The platform's client gets what IAM has recorded of those who came straight to it, and lets it go.
func TestPlatformTakesRecordsOfDirectSignIns(t *testing.T) {
	public, _ := newHandlers(t)
	server := httptest.NewServer(public)
	defer server.Close()
	client := func(key string) *mgc.IAMClient {
		c, err := mgc.New(mgc.Config{Endpoint: server.URL + "/br-se1", APIKey: key})
		if err != nil {
			t.Fatal(err)
		}
		return c.IAM
	}
	res, err := server.Client().PostForm(server.URL+"/br-se1/iam/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {acme}, "client_secret": {"x"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	platform := client(platformKey)
	waiting, err := platform.AuditRecords(t.Context())
	if err != nil || len(waiting.Records) != 1 {
		t.Fatalf("%+v, %v", waiting, err)
	}
	if r := waiting.Records[0]; r.Status != 401 || r.Operation != "POST /oauth/token" || r.Path != "/iam/oauth/token" || r.Error != "invalid_client" ||
		r.Address != "127.0.0.1" || r.RequestID != res.Header.Get("X-Request-Id") {
		t.Errorf("got %+v", r)
	}
	if _, err := client(acmeKey).AuditRecords(t.Context()); !mgc.IsNotFound(err) {
		t.Errorf("a customer gets %v", err)
	}
	if err := platform.ForgetAuditRecords(t.Context(), waiting.Last); err != nil {
		t.Fatal(err)
	}
	if left, err := platform.AuditRecords(t.Context()); err != nil || len(left.Records) != 0 {
		t.Errorf("left are %+v, %v", left, err)
	}
}
