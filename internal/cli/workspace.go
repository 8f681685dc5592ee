package cli

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

const (
	defaultWorkspace = "default" // its files are in the configuration's folder itself
	workspacesFolder = "workspaces"
	workspaceFile    = "workspace" // names the one in use
)

var workspaceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// workspace is the name of the workspace in use: by flag, else environment, else as set.
func (a *app) workspace() string {
	if name := firstOf(a.opts.workspace, a.getenv("MGC_WORKSPACE")); name != "" {
		return name
	}
	dir, err := ConfigDir(a.getenv)
	if err != nil {
		return defaultWorkspace
	}
	name, _ := os.ReadFile(filepath.Join(dir, workspaceFile))
	return firstOf(strings.TrimSpace(string(name)), defaultWorkspace)
}

// workspaceDir is the folder of the workspace in use; empty when there is no place for one, for everything may come from flags.
func (a *app) workspaceDir() (string, error) {
	root, err := ConfigDir(a.getenv)
	name := a.workspace()
	if err != nil && name == defaultWorkspace {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return existingWorkspace(root, name)
}

func existingWorkspace(root, name string) (string, error) {
	dir, err := workspacePath(root, name)
	if err != nil || name == defaultWorkspace {
		return dir, err
	}
	switch _, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return "", usagef("there is no workspace %q; see: mgc workspace list", name)
	case err != nil:
		return "", err
	}
	return dir, nil
}

func workspacePath(root, name string) (string, error) {
	if name == defaultWorkspace {
		return root, nil
	}
	if !workspaceName.MatchString(name) {
		return "", usagef("%q is no name of a workspace: 1 to 63 lower case letters, digits, - and _, a letter or digit first", name)
	}
	return filepath.Join(root, workspacesFolder, name), nil
}

func (a *app) workspaceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "workspace", Short: "Workspaces, each with its own configuration and sign-in",
		Long: `A workspace has its own configuration and its own sign-in. One may be chosen for a single command, with --workspace or MGC_WORKSPACE.
The workspace "default" is always there; without a configuration, it uses the local region of this machine.`,
	}
	cmd.AddCommand(a.workspaceList(), a.workspaceGet(), a.workspaceCreate(), a.workspaceSet(), a.workspaceDelete())
	group(cmd)
	return cmd
}

type workspaceView struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
}

func (a *app) workspaces() ([]workspaceView, error) {
	root, err := ConfigDir(a.getenv)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(root, workspacesFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list := []workspaceView{{Name: defaultWorkspace, Current: a.workspace() == defaultWorkspace}}
	for _, e := range entries {
		if e.IsDir() && workspaceName.MatchString(e.Name()) {
			list = append(list, workspaceView{Name: e.Name(), Current: a.workspace() == e.Name()})
		}
	}
	return list, nil
}

var workspaceGrid = rows([]string{"name~", "current"}, func(_ *app, w workspaceView) []string {
	return []string{w.Name, map[bool]string{true: "*"}[w.Current]}
})

// printValue prints what did not come from a server.
func (a *app) printValue(value any, format string, v view) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return a.print(body, format, v)
}

func (a *app) workspaceList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the workspaces", Args: noArgs, RunE: func(*cobra.Command, []string) error {
		list, err := a.workspaces()
		if err != nil {
			return err
		}
		return a.printValue(results[workspaceView]{list}, "table", workspaceGrid)
	}}
}

func (a *app) workspaceGet() *cobra.Command {
	return &cobra.Command{Use: "get", Short: "Show the workspace in use", Args: noArgs, RunE: func(*cobra.Command, []string) error {
		return a.printValue(workspaceView{Name: a.workspace(), Current: true}, "yaml", workspaceGrid)
	}}
}

func workspaceRef() *ref { return &ref{label: "NAME", flag: "name", what: "name"} }

func (a *app) workspaceCreate() *cobra.Command {
	name, from := workspaceRef(), ""
	cmd := withRefs(&cobra.Command{
		Use: "create", Short: "Create a workspace, empty or with the configuration of another one (not its sign-in)",
		Example: "  mgc workspace create staging --copy default",
		RunE: func(*cobra.Command, []string) error {
			root, err := ConfigDir(a.getenv)
			if err != nil {
				return err
			}
			dir, err := workspacePath(root, name.value)
			if err != nil {
				return err
			}
			all := map[string]any{}
			if from != "" {
				source, err := existingWorkspace(root, from)
				if err != nil {
					return err
				}
				if all, err = readAll(source); err != nil {
					return err
				}
			}
			if name.value == defaultWorkspace {
				return usagef("the workspace %q is always there", defaultWorkspace)
			}
			if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
				return err
			}
			if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
				return usagef("there is a workspace %q already", name.value)
			} else if err != nil {
				return err
			}
			return writeAll(dir, all)
		},
	}, name)
	cmd.Flags().StringVar(&from, "copy", "", "`name` of the workspace whose configuration it gets")
	_ = cmd.RegisterFlagCompletionFunc("copy", a.completeWorkspaces)
	return cmd
}

func (a *app) workspaceSet() *cobra.Command {
	name := workspaceRef()
	cmd := withRefs(&cobra.Command{Use: "set", Short: "Use a workspace from now on", RunE: func(*cobra.Command, []string) error {
		root, err := ConfigDir(a.getenv)
		if err != nil {
			return err
		}
		if _, err := existingWorkspace(root, name.value); err != nil {
			return err
		}
		return writeFile(root, workspaceFile, []byte(name.value+"\n"))
	}}, name)
	cmd.ValidArgsFunction = a.completeWorkspaces
	return cmd
}

func (a *app) workspaceDelete() *cobra.Command {
	name := workspaceRef()
	cmd := withRefs(&cobra.Command{
		Use: "delete", Short: "Delete a workspace with its configuration; sign out first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := ConfigDir(a.getenv)
			if err != nil {
				return err
			}
			switch name.value {
			case defaultWorkspace:
				return usagef("the workspace %q cannot be deleted", defaultWorkspace)
			case a.workspace():
				return usagef("the workspace %q is in use; use another one first: mgc workspace set default", name.value)
			}
			dir, err := existingWorkspace(root, name.value)
			if err != nil {
				return err
			}
			if err := a.confirm(cmd.Context(), "workspace "+quote(name.value), ""); err != nil {
				return err
			}
			return os.RemoveAll(dir)
		},
	}, name)
	cmd.ValidArgsFunction = a.completeWorkspaces
	return cmd
}

func (a *app) completeWorkspaces(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if list, err := a.workspaces(); err == nil && len(args) == 0 {
		for _, w := range list {
			names = append(names, w.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
