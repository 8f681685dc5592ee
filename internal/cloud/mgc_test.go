package cloud

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cli"
	"magalu.cloud/mke/internal/cli/products"
)

// mgcAt returns mgc with this cloud and Acme's key.
func mgcAt(t *testing.T) func(args ...string) (code int, stdout, stderr string) {
	t.Helper()
	public, _ := newHandlers(t)
	server := httptest.NewServer(public)
	t.Cleanup(server.Close)
	t.Setenv("MGC_CONFIG_DIR", t.TempDir())
	t.Setenv("MGC_SERVERURL", server.URL+"/br-se1/kubernetes")
	t.Setenv("MGC_API_KEY", acmeKey)
	return func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := cli.Main(t.Context(), cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, args)
		return code, stdout.String(), stderr.String()
	}
}

// TestMgcListsEverything: each list of every product is found where mgc looks, and has the shape that its table needs.
func TestMgcListsEverything(t *testing.T) {
	mgc := mgcAt(t)
	for _, p := range products.All {
		for i := range p.Calls {
			c := &p.Calls[i]
			if c.List == "" || len(products.Parameters(c.Path())) > 0 {
				continue
			}
			args := append([]string{p.Name}, strings.Fields(c.Use)...)
			for _, f := range c.Fields {
				if f.Required {
					args = append(args, "--"+f.Flag, acme)
				}
			}
			code, stdout, stderr := mgc(args...)
			switch {
			case strings.Contains(stderr, "501 Not Implemented (not_implemented)"):
			case code != 0 || stdout == "" || stderr != "":
				t.Errorf("mgc %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
			}
		}
	}
}

// TestMgcMakesThings goes from name to id and through objects in objects. Nothing works on what is made, so nothing is waited for.
func TestMgcMakesThings(t *testing.T) {
	mgc := mgcAt(t)
	for _, line := range []string{
		"network security-groups create --name web-servers --wait=false",
		"network security-groups rules create web-servers --direction ingress --ethertype IPv4 --protocol tcp --port-range-min 80 --port-range-max 80 --remote-ip-prefix 0.0.0.0/0 --wait=false",
		"network security-groups rules list web-servers",
		"network subnetpools create --name pool --description d --cidr 10.9.0.0/16",
		"network subnetpools create-book-cidr pool --mask 24",
		"network vpcs create --name shop",
		"profile ssh-keys create --name laptop --key ssh-ed25519:AAAAC3NzaC1lZDI1NTE5AAAAIJ0mvuCpk1xyyG6JVqyQ9dmiIC0AcpQ6wIPmjtyZMNKG",
		"profile ssh-keys get laptop -o jsonpath=$.key_type",
		"profile ssh-keys delete laptop --no-confirm",
		"iam service-accounts create --name robot --description d --email robot@example.com",
		"iam service-accounts api-keys create robot --name k --scopes mke.read --end-validity 2099-01-01T00:00:00Z",
		"iam service-accounts api-keys list robot --status active",
		"iam service-accounts api-keys delete robot k --no-confirm",
		"iam roles create --name ops --permissions kubernetes_cluster_list",
		"iam roles permissions update ops --add kubernetes_cluster_get --remove kubernetes_cluster_list",
		"iam roles permissions list ops -o jsonpath=$.permissions[0]",
		"iam groups create --identifier devs --name devs",
		"iam groups update devs --description developers",
		"iam groups delete devs --no-confirm",
		"block-storage schedulers create --name nightly --snapshot.type instant --policy.retention-in-days 7 --policy.frequency.daily.start-time 02:00:00",
		"block-storage schedulers delete nightly --no-confirm",
	} {
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.Replace(args[i], "ssh-ed25519:", "ssh-ed25519 ", 1)
		}
		if code, stdout, stderr := mgc(args...); code != 0 {
			t.Errorf("mgc %s: exit %d\n%s%s", line, code, stdout, stderr)
		}
	}
	if code, _, stderr := mgc("network", "security-groups", "get", "nobody"); code != cli.ExitNotFound || !strings.Contains(stderr, `no security group has the id or name "nobody"`) {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
