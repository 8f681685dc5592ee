package credentials

import (
	"testing"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

func TestIssueAndRemove(t *testing.T) {
	lost := func(method, path string) *mgctest.Fault {
		return &mgctest.Fault{Method: method, Path: path, Done: true, Times: 1}
	}
	for name, fault := range map[string]*mgctest.Fault{
		"nothing goes wrong":           nil,
		"answer to the account lost":   lost("POST", "service-accounts$"),
		"answer to the key lost":       lost("POST", "api-keys$"),
		"answer to the deletion lost":  lost("DELETE", "service-accounts/[^/]+$"),
		"answer to a revocation lost":  lost("DELETE", "api-keys/"),
		"the cloud is down for a call": {Status: 503, Times: 1, MutatingOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := mgctest.New(t)
			iam := cloud.Client(t).IAM
			if fault != nil {
				cloud.Inject(*fault)
			}
			var key Key
			issue := func() (err error) { key, err = Issue(t.Context(), iam, "c1"); return err }
			again(t, issue)
			again(t, issue) // as after a lost Secret
			accounts := cloud.ServiceAccounts()
			if len(accounts) != 1 || accounts[0].UUID != key.AccountID || accounts[0].Name != "mke-c1" {
				t.Fatalf("accounts %+v, key of %s", accounts, key.AccountID)
			}
			if keys := cloud.ActiveKeys(key.AccountID); len(keys) != 1 {
				t.Errorf("%d active keys, want 1", len(keys))
			}
			other, err := Issue(t.Context(), iam, "c2")
			if err != nil {
				t.Fatal(err)
			}
			remove := func() error { return Remove(t.Context(), iam, "c1") }
			again(t, remove)
			again(t, remove)
			if left := cloud.ServiceAccounts(); len(left) != 1 || left[0].UUID != other.AccountID {
				t.Errorf("left are %+v, want only the other cluster's", left)
			}
		})
	}
}

// again calls f as a controller does: until it succeeds. Errors of the cloud must stay recognizable.
func again(t *testing.T, f func() error) {
	t.Helper()
	for range 5 {
		err := f()
		if err == nil {
			return
		}
		if !mgc.IsTransient(err) {
			t.Fatalf("the error's kind is lost: %v", err)
		}
	}
	t.Fatal("it never succeeds")
}
