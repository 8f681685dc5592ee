package iam

import (
	"slices"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// product is a product of the cloud with the scopes that a key can have for it.
type product struct {
	name   string
	scopes []string
}

var products = []product{
	{"Virtual Machine", []string{"virtual-machine.read", "virtual-machine.write"}},
	{"Network", []string{"network.read", "network.write"}},
	{"Load Balancer", []string{"lbaas.read", "lbaas.write"}},
	{"Block Storage", []string{"block-storage.read", "block-storage.write"}},
	{"Kubernetes", []string{"mke.read", "mke.write"}},
	{"Audit", []string{"audit.read"}},
	{"IAM", []string{"iam:read", "iam:write"}},
	{"ID Magalu", []string{"pa:sa:manage"}},
	{"Profile", []string{"gdb:azs-r", "gdb:ssh-pkey-r", "gdb:ssh-pkey-w"}},
}

// checkScopes refuses scopes that do not exist, and scopes that the caller does
// not have: nobody makes a key that can do more than they can.
func checkScopes(caller httpapi.Identity, scopes []string) error {
	for _, scope := range scopes {
		known := slices.ContainsFunc(products, func(p product) bool { return slices.Contains(p.scopes, scope) })
		if !known {
			return httpapi.Invalid("scopes: %q is not a known scope", scope)
		}
		if !caller.Allows(scope) {
			return httpapi.Forbidden("your API key lacks the scope %s, so it cannot give it to another one", scope)
		}
	}
	return nil
}

func allScopes() []string {
	var all []string
	for _, p := range products {
		all = append(all, p.scopes...)
	}
	return all
}

// knownScopes leaves out what is for the sign-in itself, such as openid.
func knownScopes(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !slices.Contains(allScopes(), s) })
}

type scopeView struct {
	UUID  string `json:"uuid"`
	Name  string `json:"name"`
	Title string `json:"title"`
}

type productView struct {
	UUID   string      `json:"uuid"`
	Name   string      `json:"name"`
	Scopes []scopeView `json:"scopes"`
}

type scopeGroupView struct {
	UUID        string        `json:"uuid"`
	Name        string        `json:"name"`
	APIProducts []productView `json:"api_products"`
}

// stableID is derived from a name, so that it never changes.
func stableID(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("mke.scope/"+name)).String()
}

// scopeGroups is the catalogue of scopes.
func scopeGroups() []scopeGroupView {
	group := scopeGroupView{UUID: stableID("group"), Name: "Magalu Cloud"}
	for _, p := range products {
		view := productView{UUID: stableID(p.name), Name: p.name}
		for _, scope := range p.scopes {
			view.Scopes = append(view.Scopes, scopeView{UUID: stableID(scope), Name: scope, Title: scope})
		}
		group.APIProducts = append(group.APIProducts, view)
	}
	return []scopeGroupView{group}
}
