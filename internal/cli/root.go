package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cli/products"
	"magalu.cloud/mke/internal/version"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "mgc",
		Short:         "Command line of Magalu Cloud",
		SilenceErrors: true,
		SilenceUsage:  true,
		Long: `mgc manages what you have in Magalu Cloud.

The address and the key come from flags, else from the environment, else from the sign-in (mgc auth login) and cli.yaml in
MGC_CONFIG_DIR, $XDG_CONFIG_HOME/mgc or ~/.config/mgc; without one, this machine's local region is used (see "mke up").

Exit codes: 0 done, 1 failed, 2 wrong usage (nothing was sent), 3 not found, 4 not allowed,
5 refused by the server (validation, conflict), 130 interrupted.`,
		Example: `  mgc kubernetes cluster create --name meu-cluster \
    --node-pools '[{"flavor": "BV4-8-40", "name": "nodepool01", "replicas": 1}]' --wait
  mgc kubernetes cluster list -o json --raw`,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(cmd) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see: %s --help", err, cmd.CommandPath())
	})
	a.globalFlags(root)
	root.AddCommand(a.kubernetesCommand(), a.auditCommand(), a.authCommand(), a.configCommand(), a.workspaceCommand(), a.versionCommand())
	for _, p := range products.All {
		root.AddCommand(a.productCommand(p))
	}
	group(root)
	return root
}

func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.opts.serverURL, "server-url", "", "`URL` that replaces the whole base address of the API (MGC_SERVERURL)")
	f.StringVar(&a.opts.apiKey, "api-key", "", "API `key` (MGC_API_KEY)")
	f.StringVar(&a.opts.region, "region", "", "`region` of the public cloud (MGC_REGION)")
	f.StringVarP(&a.opts.output, "output", "o", "", "output `format`: json, yaml, table, jsonpath=EXPRESSION or jsonpath-file=FILE; lists are tables and objects are YAML by default")
	f.BoolVarP(&a.opts.raw, "raw", "r", false, "nothing but data: no hints, no progress, no decoration")
	f.BoolVar(&a.opts.noConfirm, "no-confirm", false, "do not ask before deleting")
	f.BoolVar(&a.opts.debug, "debug", false, "write every request and answer to standard error")
	f.DurationVarP(&a.opts.timeout, "cli.timeout", "t", 0, "longest `time` that the command may take; 0 is no bound")
	f.StringVarP(&a.opts.retryUntil, "cli.retry-until", "U", "",
		"repeat a get or list by a `rule` 'retries,interval,jsonpath=condition'")
	f.StringVar(&a.opts.workspace, "workspace", "", "`name` of the workspace to use (MGC_WORKSPACE)")
	_ = root.RegisterFlagCompletionFunc("workspace", a.completeWorkspaces)
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml", "table", jsonpathOutput, jsonpathFileOutput}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("region", cobra.FixedCompletions(regions, cobra.ShellCompDirectiveNoFileComp))
}

// prepare checks the flags of all commands before any of them does something.
func (a *app) prepare(cmd *cobra.Command) error {
	if err := a.parseOutput(); err != nil {
		return err
	}
	if a.opts.timeout < 0 {
		return usagef("--cli.timeout: %s is not allowed; it is a time such as 30s, or 0 for none", a.opts.timeout)
	}
	if a.opts.timeout > 0 {
		ctx, cancel := context.WithTimeout(cmd.Context(), a.opts.timeout)
		a.done = cancel
		cmd.SetContext(ctx)
	}
	return nil
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of mgc",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.Out, version.Version)
			return err
		},
	}
}

// group makes cmd print its help, and fail on a subcommand that does not exist.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, ", "))
		}
		return usagef("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
	}
	cmd.SuggestionsMinimumDistance = 2
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// ref is something named on the command line, by position or by flag.
type ref struct {
	label    string // as in the usage line: CLUSTER
	flag     string // cluster-id
	optional bool
	what     string // what it is of the object: "id or name" if empty
	value    string
}

func clusterRef() *ref   { return &ref{label: "CLUSTER", flag: "cluster-id"} }
func nodePoolRef() *ref  { return &ref{label: "NODE_POOL", flag: "node-pool-id"} }
func operationRef() *ref { return &ref{label: "OPERATION", flag: "operation-id", what: "id"} }
func addonRef() *ref     { return &ref{label: "ADDON", flag: "addon", what: "name"} }
func metricRef() *ref    { return &ref{label: "METRIC", flag: "name", what: "name"} }

// withRefs gives cmd the flags of refs and fills them before it runs; arguments go to those not given by flag.
func withRefs(cmd *cobra.Command, refs ...*ref) *cobra.Command {
	for _, r := range refs {
		what, of := firstOf(r.what, "id or name"), strings.ToLower(strings.ReplaceAll(r.label, "_", " "))
		usage := fmt.Sprintf("`%s` of the %s, instead of the argument", what, of)
		if what == of {
			usage = fmt.Sprintf("`%s`, instead of the argument", what)
		}
		cmd.Flags().StringVar(&r.value, r.flag, "", usage)
		if r.optional {
			cmd.Use += " [" + r.label + "]"
		} else {
			cmd.Use += " " + r.label
		}
	}
	cmd.DisableFlagsInUseLine = false
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		for _, r := range refs {
			if r.value == "" && len(args) > 0 {
				r.value, args = args[0], args[1:]
			}
			if r.value == "" && !r.optional {
				return usagef("%s is missing; usage: %s", r.label, cmd.UseLine())
			}
		}
		if len(args) > 0 {
			return usagef("unexpected argument %q; usage: %s", args[0], cmd.UseLine())
		}
		return nil
	}
	return cmd
}
