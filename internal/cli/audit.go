package cli

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

const auditPath = "/v1alpha0/audit"

// auditRecord is a call that may have changed something, in any product.
type auditRecord struct {
	ID    string    `json:"id"`
	Time  time.Time `json:"time"`
	Actor struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"actor"`
	Product   string   `json:"product"`
	Operation string   `json:"operation"`
	Method    string   `json:"method"`
	Path      string   `json:"path"`
	Resources []string `json:"resources"`
	DryRun    bool     `json:"dry_run"`
	Result    string   `json:"result"`
	Status    int      `json:"status"`
	Error     string   `json:"error"`
}

var auditView = rows([]string{"id", "time", "actor~", "product", "operation~", "resource~", "result~"}, func(_ *app, r auditRecord) []string {
	operation := cmp.Or(r.Operation, r.Method+" "+r.Path)
	if r.DryRun {
		operation += " (dry run)"
	}
	resource := ""
	if n := len(r.Resources); n > 0 {
		resource = r.Resources[n-1]
	}
	result := r.Result
	if r.Status >= 400 {
		result += ": " + cmp.Or(r.Error, strconv.Itoa(r.Status))
	}
	return []string{r.ID, r.Time.UTC().Format(time.DateTime), cmp.Or(r.Actor.Name, r.Actor.ID), r.Product, operation, resource, result}
})

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Who did what: every call that may have changed something",
		Long: `Every call of any product that is no mere read, sign-ins and refused calls included: who made it, what it was about,
from where it came and what became of it. The key needs the scope audit.read.`,
	}
	cmd.AddCommand(a.auditList(), a.auditGet())
	group(cmd)
	return cmd
}

// auditFilters are the flags that choose among records, by the parameter that they become.
var auditFilters = []struct{ flag, parameter, usage string }{
	{"actor", "actor", "only those of this `user` or service account, by id or name, or of the API key with this id"},
	{"product", "product", "only those of this `product`, such as kubernetes or compute"},
	{"operation", "operation", "only this `operation`, such as 'DELETE /v0/clusters/{cluster_id}'"},
	{"resource", "resource", "only those about the object with this `id`"},
	{"result", "result", "only those with this `result`: succeeded, refused or failed"},
	{"request-id", "request_id", "only the one with this `id` in X-Request-Id"},
	{"from", "from", "only those since this `time`, such as 2026-11-22T12:00:00Z"},
	{"to", "to", "only those before this `time`"},
	{"after", "_after", "go on after the page that ended with this `mark`"},
}

func (a *app) auditList() *cobra.Command {
	values := make([]string, len(auditFilters))
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the calls that may have changed something, the newest first",
		Example: `  mgc audit list --actor maria@example.com --from 2026-11-22T00:00:00Z
  mgc audit list --resource 11111111-1111-4111-8111-111111111111 --result refused -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"_limit": {strconv.Itoa(limit)}}
			for i, f := range auditFilters {
				if values[i] != "" {
					query.Set(f.parameter, values[i])
				}
			}
			return a.showAudit(cmd, query)
		},
	}
	for i, f := range auditFilters {
		cmd.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "`number` of records at most")
	_ = cmd.RegisterFlagCompletionFunc("result", cobra.FixedCompletions([]string{"succeeded", "refused", "failed"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// showAudit prints a page, and how to get the next one.
func (a *app) showAudit(cmd *cobra.Command, query url.Values) error {
	c, err := a.kubernetes()
	if err != nil {
		return err
	}
	body, err := a.fetch(cmd.Context(), c, auditPath+"?"+query.Encode())
	if err != nil {
		return err
	}
	var page struct{ Next string }
	if err := decode(body, &page); err != nil {
		return err
	}
	if err := a.print(body, "table", auditView); err != nil || page.Next == "" || a.quiet() {
		return err
	}
	_, err = fmt.Fprintf(a.Err, "There are more: --after %s\n", page.Next)
	return err
}

func (a *app) auditGet() *cobra.Command {
	record := &ref{label: "RECORD", flag: "record-id", what: "id"}
	return withRefs(&cobra.Command{
		Use:     "get",
		Short:   "Show one of these calls with everything that is recorded",
		Example: "  mgc audit get 5b0c7f2e-1f0e-4c7e-9f52-0f6f0f6c3b11",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), auditPath+"/"+url.PathEscape(record.value), "yaml", auditView)
		},
	}, record)
}
