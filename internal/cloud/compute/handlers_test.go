package compute

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/daemontest"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

func TestCreateRefusesBadRequests(t *testing.T) {
	r := newRegion(t)
	r.Start()
	with := func(extra string) string { return strings.TrimSuffix(smallest, "}") + "," + extra + "}" }
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"no body":             {"", 422, "JSON body"},
		"null":                {"null", 422, "JSON body"},
		"malformed":           {"{", 422, "not valid JSON"},
		"no name":             {`{"machine_type":{"name":"BV2-4-40"},"image":{"name":"img"}}`, 422, "name: Field required"},
		"empty name":          {with(`"name":""`), 422, "at least 1"},
		"long name":           {with(`"name":"` + strings.Repeat("x", 256) + `"`), 422, "at most 255"},
		"name of wrong type":  {with(`"name":7`), 422, "name: Input should be a valid string"},
		"no machine type":     {`{"name":"x","image":{"name":"img"}}`, 422, "machine_type"},
		"empty machine type":  {strings.Replace(smallest, `{"name":"BV2-4-40"}`, `{}`, 1), 422, "id or a name"},
		"strange type":        {with(`"machine_type":{"name":"XX"}`), 400, "machine type"},
		"id wins over name":   {with(`"machine_type":{"id":"nope","name":"BV2-4-40"}`), 400, "machine type"},
		"strange image":       {with(`"image":{"id":"nope"}`), 400, "image"},
		"strange zone":        {with(`"availability_zone":"br-ne1-a"`), 400, "br-se1-a"},
		"strange key":         {with(`"ssh_key_name":"other"`), 400, "SSH key"},
		"user data no base64": {with(`"user_data":"%%%"`), 422, "Base64"},
		"empty user data":     {with(`"user_data":""`), 422, "at least 1"},
		"long user data":      {with(`"user_data":"` + strings.Repeat("A", 65004) + `"`), 422, "65000"},
		"two subnets":         {with(`"network":{"interface":{"subnets":[{"id":"a"},{"id":"b"}]}}`), 422, "at most 1"},
		"group without id":    {with(`"network":{"interface":{"security_groups":[{}]}}`), 422, "security_groups"},
		"strange VPC":         {with(`"network":{"vpc":{"id":"nope"}}`), 404, "VPC"},
		"strange port":        {with(`"network":{"interface":{"id":"nope"}}`), 404, "port"},
		"volume without id":   {with(`"volumes":[{}]`), 422, "volumes"},
		"too many volumes":    {with(`"volumes":[{"id":"x"}` + strings.Repeat(`,{"id":"x"}`, 25) + `]`), 422, "at most 25"},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.Do("POST", "/v1/instances", c.body, c.status).JSON(t)
			if message, _ := a["message"].(string); !strings.Contains(message, c.says) || a["slug"] == "" {
				t.Errorf("got %v", a)
			}
		})
	}
	if list := r.Do("GET", "/v1/instances", "", 200).JSON(t)["instances"].([]any); len(list) != 0 {
		t.Errorf("%d instances were made", len(list))
	}
	r.clean()
}

func TestGetExpands(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.Do("POST", "/v1/instances", `{"name":"Web 1","machine_type":{"name":"BV4-8-40"},"image":{"name":"img"},
		"ssh_key_name":"mine","user_data":"aGk=","labels":["a=b"],"availability_zone":"br-se1-b"}`, 201).JSON(t)["id"].(string)
	r.await(id, up)

	full := r.Do("GET", "/v1/instances/"+id+"?expand=network,labels&expand=image&expand=machine-type", "", 200).JSON(t)
	if full["user_data"] != "aGk=" || full["ssh_key_name"] != "mine" || full["availability_zone"] != "br-se1-b" ||
		fmt.Sprint(full["labels"]) != "[a=b]" {
		t.Errorf("got %v", full)
	}
	if machineType := full["machine_type"].(map[string]any); machineType["ram"] != 8192.0 || machineType["vcpus"] != 4.0 {
		t.Errorf("machine type: %v", machineType)
	}
	nic := full["network"].(map[string]any)["interfaces"].([]any)[0].(map[string]any)
	if nic["primary"] != true || nic["associated_public_ipv4"] == nil || nic["ip_addresses"].(map[string]any)["private_ipv4"] != "172.26.0.2" {
		t.Errorf("interface: %v; a public IP is the default", nic)
	}

	bare := r.Do("GET", "/v1/instances?name=Web+1", "", 200).JSON(t)["instances"].([]any)[0].(map[string]any)
	if bare["labels"] != nil || len(bare["machine_type"].(map[string]any)) != 1 || len(bare["image"].(map[string]any)) != 1 {
		t.Errorf("what was not asked for must be ids: %v", bare)
	}

	req := httptest.NewRequest("GET", "/v1/instances/"+id, nil) // without x-api-version: the older form
	req = req.WithContext(httpapi.WithIdentity(req.Context(), httpapi.Identity{TenantID: daemontest.Tenant}))
	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, r.contract.Watch(t, req))
	r.contract.Check(t, "GET", "/v1/instances/"+id, rec.Code, rec.Body.Bytes())
	if !strings.Contains(rec.Body.String(), `"ports":[`) || !strings.Contains(rec.Body.String(), `"privateIpAddress":"172.26.0.2"`) {
		t.Errorf("older form: %s", rec.Body)
	}
	if logs := r.Do("GET", "/v1/instances/"+id+"/init-logs?max-lines-count=5000", "", 200).JSON(t)["logs"].([]any); len(logs) != 1 {
		t.Errorf("logs: %v", logs)
	}
	r.Do("GET", "/v1/instances/"+id+"/init-logs?max-lines-count=5001", "", 422)
	r.Do("PATCH", "/v1/instances/"+id+"/rename", `{"name":"other"}`, 204)
	r.Do("PATCH", "/v1/instances/"+id+"/rename", `{}`, 422)
	if name := r.Do("GET", "/v1/instances/"+id, "", 200).JSON(t)["name"]; name != "other" {
		t.Errorf("name after renaming: %v", name)
	}
}

func TestListPages(t *testing.T) {
	r := newRegion(t)
	r.Start()
	var ids []string
	for range 5 {
		ids = append(ids, r.create())
	}
	list := r.Do("GET", "/v1/instances?_limit=2&_offset=3&_sort=created_at:asc", "", 200).JSON(t)
	page := list["meta"].(map[string]any)["page"].(map[string]any)
	items := list["instances"].([]any)
	if len(items) != 2 || items[0].(map[string]any)["id"] != ids[3] || page["total"] != 5.0 || page["count"] != 2.0 {
		t.Errorf("got %v", list)
	}
	for _, query := range []string{"_limit=0", "_limit=1001", "_limit=x", "_offset=-1", "_sort=name", "_sort=secret:asc"} {
		r.Do("GET", "/v1/instances?"+query, "", 422)
	}
}

func TestForeignTenantSeesNothing(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create()
	r.await(id, up)
	for _, call := range []struct{ method, path, body string }{
		{"GET", "", ""}, {"DELETE", "", ""}, {"GET", "/init-logs", ""}, {"PATCH", "/rename", `{"name":"x"}`},
		{"POST", "/start", ""}, {"POST", "/stop", ""}, {"POST", "/reboot", ""}, {"POST", "/suspend", ""},
		{"POST", "/retype", `{"machine_type":{"name":"BV8-16-40"}}`},
	} {
		if a := r.As(foreign, call.method, "/v1/instances/"+id+call.path, call.body); a.Status != http.StatusNotFound {
			t.Errorf("%s %s: %d, want 404", call.method, call.path, a.Status)
		}
	}
	if list := r.As(foreign, "GET", "/v1/instances", "").JSON(t)["instances"].([]any); len(list) != 0 {
		t.Errorf("the foreign tenant sees %d instances", len(list))
	}
	r.await(id, up)
}

func TestCatalogues(t *testing.T) {
	r := newRegion(t)
	r.Start()
	for path, key := range map[string]string{"/v1/machine-types?name=BV2-4-40": "machine_types", "/v1/instance-types?name=BV2-4-40": "instance_types",
		"/v1/images?name=img": "images"} {
		if list := r.Do("GET", path, "", 200).JSON(t)[key].([]any); len(list) != 1 {
			t.Errorf("%s: %d items", path, len(list))
		}
		if list := r.Do("GET", path+"&availability-zone=br-ne1-a", "", 200).JSON(t)[key].([]any); len(list) != 0 {
			t.Errorf("%s: %d items in a foreign zone", path, len(list))
		}
	}
}

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{"web": "web", "Web 1": "web-1", "-é-": "instance-aaaaaaaa", strings.Repeat("a", 70): strings.Repeat("a", 63)} {
		if got := hostname(name, "aaaaaaaa-0000"); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	r := newRegion(t)
	r.Start()
	id := r.create()
	r.Do("PATCH", "/v1/instances/"+id+"/rename", `{"name":"other"}`, 204)
	if i, err := Find(t.Context(), r.DB, id); err != nil || i.Name != "other" || i.Hostname != "web" {
		t.Errorf("a new name must not change the host name: %+v, %v", i, err)
	}
}
