package cli

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cli/products"
)

// choices are the lists that flags take a name or id of, by the end of the flag.
var choices = []struct {
	flag    string
	product *products.Product
	list    string
	id      bool
}{
	{"machine-type.name", &products.VirtualMachine, "GET /v1/machine-types", false},
	{"machine-type.id", &products.VirtualMachine, "GET /v1/machine-types", true},
	{"image.name", &products.VirtualMachine, "GET /v1/images", false},
	{"image.id", &products.VirtualMachine, "GET /v1/images", true},
	{"instance.id", &products.VirtualMachine, "GET /v1/instances", true},
	{"type.name", &products.BlockStorage, "GET /v1/volume-types", false},
	{"volume.id", &products.BlockStorage, "GET /v1/volumes", true},
	{"volume.name", &products.BlockStorage, "GET /v1/volumes", false},
	{"vpc.name", &products.Network, "GET /v0/vpcs", false},
	{"vpc.id", &products.Network, "GET /v0/vpcs", true},
	{"vpc-id", &products.Network, "GET /v0/vpcs", true},
	{"public-ip-id", &products.Network, "GET /v0/public_ips", true},
	{"ssh-key-name", &products.Profile, "GET /v0/ssh-keys", false},
}

// completeFlags offers what is allowed, or what there is.
func (in *invocation) completeFlags(cmd *cobra.Command) {
	for i := range in.call.Fields {
		f := &in.call.Fields[i]
		if len(f.OneOf) > 0 {
			_ = cmd.RegisterFlagCompletionFunc(f.Flag, cobra.FixedCompletions(f.OneOf, cobra.ShellCompDirectiveNoFileComp))
			continue
		}
		for _, choice := range choices {
			if strings.HasSuffix("."+strings.ReplaceAll(f.Flag, "new-", ""), "."+choice.flag) {
				_ = cmd.RegisterFlagCompletionFunc(f.Flag, func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
					call := choice.product.Find(choice.list)
					return in.completeList(cmd.Context(), choice.product, call, call.Path(), prefix, choice.id)
				})
				break
			}
		}
	}
	cmd.ValidArgsFunction = in.completeArguments
}

// completeArguments offers the names of what the next parameter of the path may be.
func (in *invocation) completeArguments(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	names := products.Parameters(in.call.Path())
	if len(args) >= len(names) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	lister := in.product.Lister(in.call.Path(), names[len(args)])
	if lister == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	path, err := in.pathTo(ctx, lister, names, args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return in.completeList(ctx, in.product, lister, path, prefix, false)
}

// pathTo is a list's path with the arguments before it, names made ids.
func (in *invocation) pathTo(ctx context.Context, lister *products.Call, names, args []string) (string, error) {
	needed := len(products.Parameters(lister.Path()))
	if needed == 0 {
		return lister.Path(), nil
	}
	c, err := in.client(in.product)
	if err != nil {
		return "", err
	}
	c.retries = 1
	values := map[string]string{}
	for i, name := range names[:min(needed, len(args))] {
		if values[name], err = in.argument(ctx, c, name, args[i], values); err != nil {
			return "", err
		}
	}
	return fill(rename(lister.Path(), in.call.Path()), values), nil
}

// completeList offers names with ids as the word about them; ids with names when ids are wanted, or begun.
func (in *invocation) completeList(ctx context.Context, p *products.Product, call *products.Call, path, prefix string, ids bool) ([]string, cobra.ShellCompDirective) {
	found, directive := in.words(ctx, p, path, func(ctx context.Context, c *client) ([]string, error) {
		items, err := c.listAll(ctx, call, path)
		var out []string
		for _, item := range items {
			name := cellText(item["name"])
			for _, key := range []string{"email", "public_ip"} {
				name = firstOf(name, cellText(item[key]))
			}
			out = append(out, name+"\t"+itemID(item, ""))
		}
		return out, err
	})
	var out []string
	for _, entry := range found {
		name, id, _ := strings.Cut(entry, "\t")
		if id != "" && (ids || name == "" || prefix != "" && strings.HasPrefix(id, prefix) && uuid.Validate(id) == nil) {
			name, id = id, name
		}
		out = append(out, strings.TrimSuffix(name+"\t"+id, "\t"))
	}
	return out, directive
}
