package iam

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

const base = "/api/v1/"

func (f *fixture) addMember(email string) addedMemberView {
	f.t.Helper()
	var m addedMemberView
	f.do(acmeKey, "POST", base+"members", `{"email":"`+email+`"}`, 200, &m)
	return m
}

// personalKey is a key of a member, as an access token would be.
func (f *fixture) personalKey(userID string) string {
	f.t.Helper()
	key := uuid.NewString()
	_, err := f.service.db.Exec(f.t.Context(), `INSERT INTO iam_api_keys (id, tenant_id, subject_type, subject, name, description, hash, scopes, start_validity)
		VALUES (?, ?, 'user', ?, 'k', '', ?, '["*"]', '2020')`, uuid.NewString(), acme, userID, hash(key))
	if err != nil {
		f.t.Fatal(err)
	}
	return key
}

func (f *fixture) can(key string) []string {
	f.t.Helper()
	id, err := f.service.Authenticate(context.Background(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	return id.Permissions
}

func TestMembers(t *testing.T) {
	f := newFixture(t)
	maria := f.addMember("maria@example.com")
	if maria.Action != "added" || maria.Profile != "member" || maria.TenantID != acme || maria.Name != "maria" {
		t.Errorf("got %+v", maria)
	}
	f.do(acmeKey, "POST", base+"members", `{"email":"Maria@example.com"}`, 409, nil)
	f.do(acmeKey, "POST", base+"members", `{"email":"Maria <maria@example.com>"}`, 422, nil)
	f.do(acmeKey, "POST", base+"members", `{"email":"x@example.com","roles":["nobody"]}`, 422, nil)
	var list []memberView
	f.do(acmeKey, "GET", base+"members?email=MARIA@example.com", "", 200, &list)
	f.do(acmeKey, "GET", base+"users", "", 200, &list)
	if len(list) != 1 || list[0].UUID != maria.UUID {
		t.Errorf("a refused member must not stay: %+v", list)
	}
	var there memberView
	f.do(otherKey, "POST", base+"members", `{"email":"maria@example.com"}`, 200, &there)
	if there.UUID != maria.UUID || there.TenantID != other {
		t.Errorf("a person is one user everywhere: %+v", there)
	}
	key := f.personalKey(maria.UUID)
	var organizations struct{ Items []organizationView }
	f.do(key, "GET", base+"members/organizations", "", 200, &organizations)
	if len(organizations.Items) != 2 {
		t.Errorf("got %+v", organizations)
	}
	f.do(acmeKey, "GET", base+"members/"+maria.UUID+"/organizations", "", 200, &organizations)
	if len(organizations.Items) != 1 || organizations.Items[0].UUID != acme {
		t.Errorf("an organization learns of another one: %+v", organizations)
	}
	f.do(acmeKey, "DELETE", base+"members/"+maria.UUID, "", 204, nil)
	f.do(acmeKey, "DELETE", base+"members/"+maria.UUID, "", 404, nil)
	f.do(key, "GET", base+"members", "", 401, nil)
	f.do(otherKey, "GET", base+"members/"+maria.UUID+"/grants", "", 200, nil)
}

func TestRolesAndPermissions(t *testing.T) {
	f := newFixture(t)
	f.do(acmeKey, "POST", base+"roles", `{"name":"dev","description":"d","permissions":["kubernetes_cluster_list"],"based_role":"network_viewer"}`, 201, nil)
	f.do(acmeKey, "POST", base+"roles", `{"name":"dev"}`, 409, nil)
	f.do(acmeKey, "POST", base+"roles", `{"name":"admin"}`, 409, nil)
	f.do(acmeKey, "POST", base+"roles", `{"name":"a/b"}`, 422, nil)
	f.do(acmeKey, "POST", base+"roles", `{"name":"x","permissions":["fly"]}`, 422, nil)
	f.do(acmeKey, "POST", base+"roles", `{"name":"x","based_role":"nobody"}`, 422, nil)
	f.do(acmeKey, "PATCH", base+"roles/dev/permissions", `{"add":["kubernetes_cluster_get"],"remove":["net_vpc_list"]}`, 200, nil)
	var role rolePermissionsView
	f.do(acmeKey, "GET", base+"roles/dev/permissions", "", 200, &role)
	if !slices.Contains(role.Permissions, "kubernetes_cluster_get") || !slices.Contains(role.Permissions, "net_vpc_get") || slices.Contains(role.Permissions, "net_vpc_list") {
		t.Errorf("got %+v", role)
	}
	f.do(otherKey, "GET", base+"roles/dev/permissions", "", 404, nil)
	f.do(acmeKey, "PATCH", base+"roles/admin/permissions", `{"add":[]}`, 409, nil)
	f.do(acmeKey, "DELETE", base+"roles/viewer", "", 409, nil)
	f.do(acmeKey, "GET", base+"roles/viewer/permissions", "", 200, &role)
	if slices.Contains(role.Permissions, "kubernetes_cluster_access") || slices.Contains(role.Permissions, "lb_backend_create") {
		t.Errorf("a viewer changes nothing: %v", role.Permissions)
	}
	var roles []roleView
	f.do(acmeKey, "GET", base+"roles?role_name=dev", "", 200, &roles)
	if len(roles) != 1 || roles[0].Origin != "organization" {
		t.Errorf("got %+v", roles)
	}
	maria := f.addMember("maria@example.com")
	f.do(acmeKey, "PATCH", base+"members/"+maria.UUID+"/grants", `{"operation":"add","roles":["dev"]}`, 204, nil)
	var members []roleMemberView
	f.do(acmeKey, "GET", base+"roles/dev/members", "", 200, &members)
	if len(members) != 1 || members[0].UUID != maria.UUID {
		t.Errorf("got %+v", members)
	}
	f.do(acmeKey, "DELETE", base+"roles/dev", "", 204, nil)
	f.do(acmeKey, "GET", base+"roles/dev/members", "", 404, nil)
	var left struct{ Roles []string }
	if f.do(acmeKey, "GET", base+"members/"+maria.UUID+"/grants", "", 200, &left); len(left.Roles) != 0 {
		t.Errorf("a deleted role is still given: %v", left)
	}
	for filter, want := range map[string]int{"": len(catalogue), "?product_name=kubernetes": 1, "?product_name=Kubernetes": 0,
		"?product_name=Kubernetes&case_sensitive=false": 1, "?product_name=netw&partial_match=true": 1} {
		var products []permissionsView
		if f.do(acmeKey, "GET", base+"permissions"+filter, "", 200, &products); len(products) != want {
			t.Errorf("%q: %d products, want %d", filter, len(products), want)
		}
	}
	f.do(acmeKey, "GET", base+"permissions?partial_match=maybe", "", 422, nil)
}

func TestAccessControl(t *testing.T) {
	f := newFixture(t)
	maria := f.addMember("maria@example.com")
	key, grants := f.personalKey(maria.UUID), base+"members/"+maria.UUID+"/grants"
	if got := f.can(key); !slices.Equal(got, []string{access.All}) {
		t.Errorf("without access control members may do everything: %v", got)
	}
	f.do(acmeKey, "PATCH", base+"access-control", `{"status":true}`, 409, nil)
	f.do(acmeKey, "POST", base+"access-control", `{"name":"strict"}`, 202, nil)
	var control accessControlView
	if f.do(acmeKey, "GET", base+"access-control", "", 200, &control); !control.Enabled || control.Name != "strict" || control.TenantID != acme {
		t.Errorf("got %+v", control)
	}
	f.do(acmeKey, "GET", base+"healthcheck", "", 200, nil)
	f.do(acmeKey, "PATCH", base+"access-control", `{"enforce_mfa":true}`, 501, nil)
	if got := f.can(key); len(got) != 0 {
		t.Errorf("with it they may do nothing that was not given: %v", got)
	}
	var refusal map[string]string
	f.do(key, "GET", base+"members", "", 403, &refusal)
	if refusal["permission"] != "turia_iam_viewer" || refusal["origin"] == "" || refusal["slug"] != "forbidden" {
		t.Errorf("got %v", refusal)
	}
	f.do(acmeKey, "PATCH", grants, `{"operation":"add","roles":["turiaiam_viewer"],"permissions":["turia_iam_editor"]}`, 204, nil)
	f.do(key, "GET", base+"members", "", 200, nil)
	f.do(key, "POST", base+"members", `{"email":"x@example.com"}`, 200, nil)
	f.do(key, "POST", base+"members", `{"email":"y@example.com","roles":["admin"]}`, 403, nil)
	f.do(key, "PATCH", grants, `{"operation":"add","roles":["admin"]}`, 403, nil)
	f.do(acmeKey, "PATCH", grants, `{"operation":"remove","roles":["turiaiam_viewer"]}`, 204, nil)
	f.do(key, "GET", base+"members", "", 403, nil)

	var group groupView
	f.do(acmeKey, "POST", base+"groups", `{"identifier":"sre","name":"SRE"}`, 201, &group)
	f.do(acmeKey, "PATCH", base+"members/grants/batch", `{"member_ids":["`+group.ID+`"],"operation":"add","role_names":["kubernetes_viewer"]}`, 204, nil)
	f.do(acmeKey, "POST", base+"groups/"+group.ID+"/members", `{"member_email":"maria@example.com","profile":"member"}`, 201, nil)
	if got := f.can(key); !slices.Contains(got, "kubernetes_cluster_list") || slices.Contains(got, "kubernetes_cluster_create") {
		t.Errorf("a group gives what it has: %v", got)
	}
	f.do(acmeKey, "DELETE", base+"groups/"+group.ID, "", 204, nil)
	if got := f.can(key); slices.Contains(got, "kubernetes_cluster_list") {
		t.Errorf("a deleted group gives nothing: %v", got)
	}
	f.do(acmeKey, "PATCH", base+"members/grants/batch", `{"member_ids":["`+maria.UUID+`","`+uuid.NewString()+`"],"operation":"add","role_names":["admin"]}`, 404, nil)
	if got := f.can(key); slices.Contains(got, "kubernetes_cluster_create") {
		t.Errorf("a batch is done wholly or not at all: %v", got)
	}
	for _, body := range []string{`{}`, `{"operation":"set"}`, `{"operation":"add","permissions":["fly"]}`} {
		f.do(acmeKey, "PATCH", grants, body, 422, nil)
	}
	f.do(acmeKey, "PATCH", base+"access-control", `{"status":false}`, 200, nil)
	if got := f.can(acmeKey); !slices.Equal(got, []string{access.All}) {
		t.Errorf("the organization's own key: %v", got)
	}
}

func TestGroups(t *testing.T) {
	f := newFixture(t)
	var group groupView
	f.do(acmeKey, "POST", base+"groups", `{"identifier":"sre","name":"SRE","description":"d"}`, 201, &group)
	f.do(acmeKey, "POST", base+"groups", `{"identifier":"sre","name":"again"}`, 409, nil)
	f.do(acmeKey, "POST", base+"groups", `{"identifier":"S RE","name":"x"}`, 422, nil)
	f.do(otherKey, "POST", base+"groups", `{"identifier":"sre","name":"theirs"}`, 201, nil)
	var exists map[string]bool
	if f.do(acmeKey, "GET", base+"groups/exists?email="+group.Email, "", 200, &exists); !exists["exists"] {
		t.Error("the group exists")
	}
	if f.do(otherKey, "GET", base+"groups/exists?email="+group.Email, "", 200, &exists); exists["exists"] {
		t.Error("another organization's group must not be seen")
	}
	f.do(acmeKey, "PATCH", base+"groups/"+group.ID, `{"description":"new"}`, 200, &group)
	f.do(acmeKey, "GET", base+"groups/"+group.ID, "", 200, &group)
	if group.Description != "new" || group.Name != "SRE" {
		t.Errorf("got %+v", group)
	}
	f.do(acmeKey, "GET", base+"groups", "", 200, nil)
	f.do(acmeKey, "GET", base+"groups/"+group.ID+"/organizations", "", 200, nil)

	members := base + "groups/" + group.ID + "/members"
	f.do(acmeKey, "POST", members, `{"member_email":"nobody@example.com","profile":"member"}`, 404, nil)
	maria, joao := f.addMember("maria@example.com"), f.addMember("joao@example.com")
	for _, m := range []addedMemberView{maria, joao} {
		f.do(acmeKey, "POST", members, `{"member_email":"`+m.Email+`","profile":"member"}`, 201, nil)
	}
	f.do(acmeKey, "POST", members, `{"member_email":"maria@example.com","profile":"king"}`, 422, nil)
	f.do(acmeKey, "PATCH", members+"/"+maria.UUID, `{"profile":"admin"}`, 200, nil)
	var page struct {
		Items []groupMemberView
		Meta  map[string]int
	}
	f.do(acmeKey, "GET", members+"?page=2&per_page=1", "", 200, &page)
	if len(page.Items) != 1 || page.Items[0].MemberID != maria.UUID || page.Items[0].Profile != "admin" || page.Meta["total_pages"] != 2 {
		t.Errorf("got %+v", page)
	}
	f.do(acmeKey, "GET", members+"?per_page=21", "", 422, nil)
	f.do(acmeKey, "DELETE", members+"/"+maria.UUID, "", 204, nil)
	f.do(acmeKey, "DELETE", members+"/"+maria.UUID, "", 404, nil)
	f.do(otherKey, "POST", members, `{"member_email":"maria@example.com","profile":"member"}`, 404, nil)
	f.do(acmeKey, "DELETE", base+"groups/"+group.ID, "", 204, nil)
	f.do(acmeKey, "GET", base+"groups/"+group.ID, "", 404, nil)
}

// What cannot mean anything here says so, and nothing that is published is missing.
func TestUnavailable(t *testing.T) {
	f := newFixture(t)
	for _, u := range unavailable {
		var body struct{ Message, Slug string }
		f.do(acmeKey, u.Method, strings.NewReplacer("{", "", "}", "").Replace(u.Path), "{}", 501, &body)
		if body.Slug != "not_implemented" || !strings.Contains(body.Message, u.What) {
			t.Errorf("%s %s: %+v", u.Method, u.Path, body)
		}
	}
	for _, o := range access.Operations() {
		if o.Product != "iam" {
			continue
		}
		path := strings.NewReplacer("{", "", "}", "").Replace(o.Path)
		rec := f.answer(acmeKey, o.Method, path, "null")
		if rec.Code == 405 || strings.Contains(rec.Body.String(), "page not found") {
			t.Errorf("%s %s is not served: %d %s", o.Method, o.Path, rec.Code, rec.Body)
		}
	}
}

func TestEveryScopeCanBeGiven(t *testing.T) {
	for _, o := range access.Operations() {
		if err := checkScopes(httpapi.Identity{Scopes: []string{access.All}}, o.Scopes); err != nil {
			t.Errorf("%s %s: %v", o.Method, o.Path, err)
		}
	}
}

func TestDocsListWhatIsUnavailable(t *testing.T) {
	data, err := os.ReadFile("../../../docs/iam.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(data), "answer 501 with the slug")
	for _, u := range unavailable {
		if call := "`" + u.Method + " " + u.Path + "`"; !strings.Contains(list, call) {
			t.Errorf("docs/iam.md does not list %s", call)
		}
	}
	if got := strings.Count(list, "`") / 2; got-1 != len(unavailable) {
		t.Errorf("docs/iam.md lists %d operations, %d are unavailable", got-1, len(unavailable))
	}
}
