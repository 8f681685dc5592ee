package iam

import (
	"net/http"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

type permissionView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

type permissionsView struct {
	ID          string           `json:"id"`
	Name        string           `json:"name"`
	Permissions []permissionView `json:"permissions"`
}

// The names under which permissions are published, by product.
var permissionProducts = map[string]string{"kubernetes": "kubernetes", "compute": "virtualmachine", "volume": "blockstorage", "network": "network",
	"load-balancer": "loadbalancer", "iam": "turiaiam", "profile": "profile"}

// catalogue is all products with their permissions; what a permission allows is its description.
var catalogue = func() []permissionsView {
	var products []permissionsView
	for _, o := range access.Operations() {
		name := permissionProducts[o.Product]
		if len(products) == 0 || products[len(products)-1].Name != name {
			products = append(products, permissionsView{ID: stableID("permissions/" + name), Name: name})
		}
		p := &products[len(products)-1]
		call := o.Method + " " + o.Path
		if i := slices.IndexFunc(p.Permissions, func(v permissionView) bool { return v.Name == o.Permission }); i >= 0 {
			p.Permissions[i].Description += ", " + call
			continue
		}
		p.Permissions = append(p.Permissions, permissionView{ID: stableID("permission/" + o.Permission), Name: o.Permission, Description: call})
	}
	return products
}()

func checkPermissions(field string, names []string) error {
	for _, name := range names {
		known := slices.ContainsFunc(catalogue, func(p permissionsView) bool {
			return slices.ContainsFunc(p.Permissions, func(v permissionView) bool { return v.Name == name })
		})
		if !known {
			return httpapi.Invalid("%s: %q is not a known permission; GET /api/v1/permissions lists them", field, name)
		}
	}
	return nil
}

func (s *Service) listPermissions(r *http.Request) ([]permissionsView, error) {
	partial, err := httpapi.BoolParam(r, "partial_match", "whether a part of the product's name is enough", false)
	if err != nil {
		return nil, err
	}
	exact, err := httpapi.BoolParam(r, "case_sensitive", "whether upper and lower case differ", true)
	if err != nil {
		return nil, err
	}
	want := httpapi.TextParam(r, "product_name", "only those of this product")
	found := []permissionsView{}
	for _, p := range catalogue {
		name := p.Name
		if !exact {
			name, want = strings.ToLower(name), strings.ToLower(want)
		}
		if want == "" || name == want || (partial && strings.Contains(name, want)) {
			found = append(found, p)
		}
	}
	return found, nil
}
