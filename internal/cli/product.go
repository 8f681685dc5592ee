package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cli/products"
)

// productCommand makes commands of a product's table.
func (a *app) productCommand(p *products.Product) *cobra.Command {
	top := &cobra.Command{Use: p.Name, Short: p.Short}
	for i := range p.Calls {
		c := &p.Calls[i]
		words := strings.Fields(c.Use)
		parent := top
		for _, word := range words[:len(words)-1] {
			parent = child(parent, word)
		}
		parent.AddCommand(a.callCommand(p, c, words[len(words)-1]))
	}
	group(top)
	return top
}

// child returns the group below parent, made when it is not there yet.
func child(parent *cobra.Command, word string) *cobra.Command {
	for _, c := range parent.Commands() {
		if c.Name() == word {
			return c
		}
	}
	short := strings.ReplaceAll(word, "-", " ")
	cmd := &cobra.Command{Use: word, Short: strings.ToUpper(short[:1]) + short[1:]}
	group(cmd)
	parent.AddCommand(cmd)
	return cmd
}

// invocation is one run of a product's command.
type invocation struct {
	*app
	product *products.Product
	call    *products.Call
	refs    []*ref // the path's parameters
	values  fieldValues
	waiting waitFlags
}

func (a *app) callCommand(p *products.Product, c *products.Call, verb string) *cobra.Command {
	in := &invocation{app: a, product: p, call: c, values: fieldValues{}}
	cmd := &cobra.Command{
		Use: verb, Short: c.Short,
		RunE: func(cmd *cobra.Command, _ []string) error { return in.run(cmd.Context()) },
	}
	for _, name := range products.Parameters(c.Path()) {
		in.refs = append(in.refs, parameterRef(p, c, name))
	}
	for i := range c.Fields {
		in.values.add(cmd.Flags(), &c.Fields[i])
	}
	if c.Wait != "" {
		in.waiting.add(cmd)
	}
	in.completeFlags(cmd)
	return withRefs(cmd, in.refs...)
}

// parameterRef is a parameter of a path on the command line: {load_balancer_id} is LOAD_BALANCER, and --load-balancer-id.
func parameterRef(p *products.Product, c *products.Call, name string) *ref {
	var label string
	what := "id"
	switch {
	case name == "id" || name == "uuid":
		label = c.Noun
	case strings.HasSuffix(name, "_name"):
		label, what = strings.TrimSuffix(name, "_name"), "name"
	default:
		label = strings.TrimSuffix(strings.TrimSuffix(name, "_id"), "_uuid")
	}
	if what == "id" && p.Lister(c.Path(), name) != nil {
		what = "id or name"
	}
	label = strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(label))
	return &ref{label: label, flag: strings.ReplaceAll(name, "_", "-"), what: what}
}

func (in *invocation) run(ctx context.Context) error {
	if in.call.Expand != "" && in.extract == nil && firstOf(in.opts.output, "table") == "table" && !in.values["expand"].Changed {
		in.values["expand"].Changed = true
		_ = in.values["expand"].Value.Set(in.call.Expand)
	}
	request, err := compose(in.call, in.values)
	if err != nil {
		return err
	}
	c, err := in.client(in.product)
	if err != nil {
		return err
	}
	c.header, c.repeatable = request.header, in.call.Method() != http.MethodPost
	arguments, err := in.arguments(ctx, c)
	if err != nil {
		return err
	}
	path := fill(in.call.Path(), arguments) + request.query()
	switch in.call.Method() {
	case http.MethodGet:
		body, err := in.fetch(ctx, c, path)
		if err != nil {
			return err
		}
		in.tellOfMore(body)
		return in.print(body, in.format(), listView(in.call))
	case http.MethodDelete:
		if err := in.confirm(ctx, in.call.Noun+" "+quote(in.refs[len(in.refs)-1].value), ""); err != nil {
			return err
		}
	}
	ans, err := c.do(ctx, in.call.Method(), path, request.body)
	if err != nil {
		return err
	}
	return in.end(ctx, c, ans, arguments)
}

// tellOfMore says when a list goes on behind what was asked for.
func (in *invocation) tellOfMore(body []byte) {
	var list struct {
		Meta struct {
			Page struct{ Offset, Count, Total int }
		}
	}
	if in.call.List == "" || json.Unmarshal(body, &list) != nil {
		return
	}
	if p := list.Meta.Page; p.Offset+p.Count < p.Total {
		in.notef("%d of %d are shown; the rest by --control.limit and --control.offset.", p.Count, p.Total)
	}
}

// format is how an answer is shown unless --output says.
func (in *invocation) format() string {
	if in.call.List != "" {
		return "table"
	}
	return "yaml"
}

// end waits if it shall, and shows what there is to show.
func (in *invocation) end(ctx context.Context, c *client, ans *answer, arguments map[string]string) error {
	if !in.waiting.wait {
		if len(ans.Body) == 0 {
			in.notef("Accepted: %s", in.sentence())
			return nil
		}
		return in.print(ans.Body, "yaml", listView(in.call))
	}
	path, t, err := in.waited(ans, arguments)
	if err != nil {
		return err
	}
	if err := in.wait(ctx, c, t, in.waiting.timeout); err != nil {
		return err
	}
	if !strings.Contains(in.call.Wait, "{new}") {
		return nil
	}
	now, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return in.print(now.Body, "yaml", listView(in.call))
}

// sentence is the command with what it was about: instances stop web-1.
func (in *invocation) sentence() string {
	words := []string{in.call.Use}
	for _, r := range in.refs {
		words = append(words, r.value)
	}
	return strings.Join(words, " ")
}

// fill puts arguments into a path's parameters.
func fill(path string, arguments map[string]string) string {
	for name, value := range arguments {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	return path
}
