package compute

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/daemontest"
)

func TestMain(m *testing.M) { os.Exit(contracttest.Run(m, "virtual-machine")) }

func TestStrangeRequests(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create()
	r.await(id, up)
	r.Kill()
	r.contract.Battery(t, strings.NewReplacer("/instances/{id}", "/instances/"+id).Replace, r.contract.Sender(t, r, daemontest.Tenant))
}

// Whatever the body, creation is refused, or asks for nothing outside of the published bounds.
func FuzzCreate(f *testing.F) {
	f.Add(smallest)
	f.Add(`{"name":"Web 1","machine_type":{"id":"x"},"image":{"name":"img"},"ssh_key_name":"mine","user_data":"aGk=","labels":["a=b"],
		"network":{"vpc":{"id":"x"},"interface":{"security_groups":[{"id":"a"}],"subnets":[{"id":"b"}]},"associate_public_ip":false}}`)
	f.Add(`{"name":"\u0000","machine_type":{},"image":null,"network":{"interface":{"id":""}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var body createRequest
		if json.Unmarshal([]byte(text), &body) != nil || body.validate() != nil {
			return
		}
		i := Instance{ID: "aaaaaaaa-0000-4000-8000-000000000001", Name: *body.Name}
		host := hostname(i.Name, i.ID)
		if host == "" || len(host) > 63 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("host name %q", host)
		}
		if body.portRequest(i); len(i.Name) > 4*maxName {
			t.Errorf("a name of %d bytes", len(i.Name))
		}
	})
}

func TestPagesAndOrders(t *testing.T) {
	r := newRegion(t)
	r.Start()
	for _, name := range []string{"b", "a", "c"} {
		r.Do("POST", "/v1/instances", strings.Replace(smallest, "web", name, 1), 201)
	}
	for _, list := range []contracttest.List{
		{Target: "/v1/instances", Items: "instances", By: "name"},
		{Target: "/v1/instances?expand=network,image&expand=machine-type", Items: "instances", By: "created_at"},
		{Target: "/v1/machine-types", Items: "machine_types", By: "name"},
		{Target: "/v1/instance-types?availability-zone=br-se1-a", Items: "instance_types", By: "id"},
		{Target: "/v1/images", Items: "images", By: "name"},
	} {
		list.Check(t, r.contract.Sender(t, r, daemontest.Tenant))
	}
}
