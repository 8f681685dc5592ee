package cli

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/cli/products"
)

var kubernetesProduct = &products.Product{Name: "kubernetes", Path: "kubernetes"}

// address is where a product is. An address that is set replaces everything, and is then the product's own, as in the published CLI;
// but one that ends with another product's name leads to this one beside it, so that one setting serves all products.
func (c Config) address(p *products.Product) string {
	if c.ServerURL == "" {
		return publicBase(c.Region, p)
	}
	u, err := url.Parse(c.ServerURL)
	if err != nil {
		return c.ServerURL // newClient says what is wrong with it
	}
	u.Path = strings.TrimRight(u.Path, "/")
	isProduct := func(other *products.Product) bool { return other.Path == path.Base(u.Path) }
	if isProduct(kubernetesProduct) || slices.ContainsFunc(products.All, isProduct) {
		u.Path = path.Join(path.Dir(u.Path), p.Path)
	}
	return u.String()
}

// publicBase is the address of a product in the public cloud.
func publicBase(region string, p *products.Product) string {
	const host = "https://api.magalu.cloud/"
	if p.Global {
		return host + p.Path
	}
	if region == "br-mgl1" {
		region = "br-se-1" // the region's name in paths differs
	}
	return host + region + "/" + p.Path
}
