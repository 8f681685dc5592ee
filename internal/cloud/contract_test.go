package cloud

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/loadbalancer"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/volume"
)

var update = flag.Bool("update", false, "write the list of unavailable operations in docs/cloud.md anew")

// contracts are the products whose every operation is answered.
var contracts = []struct {
	document, path string
	unavailable    []httpapi.Unavailable
}{
	{"virtual-machine", "/compute", compute.Unavailable},
	{"block-storage", "/volume", volume.Unavailable},
	{"network", "/network", network.Unavailable},
	{"load-balancer", "/load-balancer", loadbalancer.Unavailable},
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// Each published operation is either offered, which the products' own tests
// verify, or answers 501 and says what to do instead.
func TestEveryPublishedOperationIsAnswered(t *testing.T) {
	public, _ := newHandlers(t)
	answer := func(method, path string) (int, string) {
		rec := ask(public, method, parameter.ReplaceAllString(path, "0a000000-0000-4000-8000-000000000001"), acmeKey, "{}")
		return rec.Code, rec.Body.String()
	}
	for _, c := range contracts {
		unpublished := map[string]bool{}
		for _, u := range c.unavailable {
			unpublished[u.Method+" "+u.Path] = true
			status, body := answer(u.Method, c.path+u.Path)
			if status != 501 || !strings.Contains(body, "not_implemented") || !strings.Contains(body, u.What) || u.Instead == "" || !strings.Contains(body, u.Instead) {
				t.Errorf("%s %s%s: %d %s", u.Method, c.path, u.Path, status, body)
			}
		}
		operations := contracttest.Load(t, c.document).Operations()
		for _, o := range operations {
			if unpublished[o.String()] {
				delete(unpublished, o.String())
				continue
			}
			if status, body := answer(o.Method, c.path+o.Path); status == 405 || strings.Contains(body, "page not found") || status >= 500 {
				t.Errorf("%s: %s is not offered: %d %s", c.document, o, status, body)
			}
		}
		if len(operations) > 0 && len(unpublished) > 0 {
			t.Errorf("%s: these are not published: %v", c.document, unpublished)
		}
	}
}

// Where no image was built yet, the list is empty.
func TestNoImages(t *testing.T) {
	public, _ := newHandlers(t)
	if rec := ask(public, "GET", "/compute/v1/images", acmeKey, ""); rec.Code != 200 || !strings.Contains(rec.Body.String(), `"images":[]`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// Terraform's acceptance tests choose a machine type by these members.
func TestTerraformFindsAFlavor(t *testing.T) {
	public, _ := newHandlers(t)
	var list struct {
		Types []struct {
			VCPUs, RAM, Disk int
			GPU              *int
			Zones            []string `json:"availability_zones"`
		} `json:"instance_types"`
	}
	rec := ask(public, "GET", "/compute/v1/instance-types", acmeKey, "")
	if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || rec.Code != 200 {
		t.Fatalf("%v: %d %s", err, rec.Code, rec.Body)
	}
	for _, m := range list.Types {
		if m.VCPUs == 2 && m.RAM >= 2048 && m.Disk >= 40 && m.GPU != nil && *m.GPU == 0 && len(m.Zones) >= 2 {
			return
		}
	}
	t.Errorf("none fits: %s", rec.Body)
}

const listBegin, listEnd = "<!-- unavailable operations: written by go test ./internal/cloud -update -->\n", "<!-- end -->\n"

func TestUnavailableOperationsAreListed(t *testing.T) {
	const path = "../../docs/cloud.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), listBegin)
	_, after, ended := strings.Cut(rest, listEnd)
	if !ok || !ended {
		t.Fatalf("%s has no place for the list", path)
	}
	var list strings.Builder
	list.WriteString("\n| operation | what | instead |\n|---|---|---|\n")
	for _, c := range contracts {
		for _, u := range c.unavailable {
			fmt.Fprintf(&list, "| `%s %s%s` | %s | %s |\n", u.Method, c.path, u.Path, u.What, u.Instead)
		}
	}
	list.WriteString("\n")
	want := before + listBegin + list.String() + listEnd + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(data) {
		t.Errorf("%s is out of date: run go test ./internal/cloud -run %s -update", path, t.Name())
	}
}
