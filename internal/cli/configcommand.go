package cli

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

// setting is one key of cli.yaml.
type setting struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description"`
	Flag        string `json:"flag,omitempty"`
	Environment string `json:"environment,omitempty"`
	secret      bool
	check       func(value string) error
}

var settings = []setting{
	{Name: "serverUrl", Type: "string", Description: "base address of the API, instead of the public cloud's", Flag: "--server-url", Environment: "MGC_SERVERURL", check: checkURL},
	{Name: "region", Type: "string", Description: "region of the public cloud", Flag: "--region", Environment: "MGC_REGION", check: checkRegion},
	{Name: "caFile", Type: "string", Description: "PEM file of a private authority, by its whole path", check: checkPath},
	{Name: "apiKey", Type: "string", Description: "API key", Flag: "--api-key", Environment: "MGC_API_KEY", secret: true},
	{Name: "apiKeyFile", Type: "string", Description: "file that holds the API key, by its whole path", check: checkPath},
}

func checkURL(value string) error {
	if u, err := url.Parse(value); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return usagef("serverUrl: %q is not an http(s) URL", value)
	}
	return nil
}

var regions = []string{"br-se1", "br-ne1", "br-mgl1"}

func checkRegion(value string) error {
	if !slices.Contains(regions, value) {
		return usagef("region: %q is not one of %q", value, regions)
	}
	return nil
}

func checkPath(value string) error {
	if !filepath.IsAbs(value) {
		return usagef("%q is no whole path: it would mean something else in every folder", value)
	}
	return nil
}

func findSetting(name string) (*setting, error) {
	var names []string
	for i := range settings {
		if settings[i].Name == name {
			return &settings[i], nil
		}
		names = append(names, settings[i].Name)
	}
	return nil, usagef("there is no setting %q; it is one of %q", name, names)
}

// configValue is a setting as mgc config list shows it: what is secret is not.
type configValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var (
	configView  = rows([]string{"name", "value~"}, func(_ *app, v configValue) []string { return []string{v.Name, v.Value} })
	settingView = rows([]string{"name", "type", "flag", "environment", "description~"}, func(_ *app, s setting) []string {
		return []string{s.Name, s.Type, s.Flag, s.Environment, s.Description}
	})
)

func (s *setting) shown(all map[string]any) configValue {
	value := ""
	if stored, ok := all[s.Name]; ok {
		value = fmt.Sprint(stored)
	}
	if s.secret && value != "" {
		value = "(secret)"
	}
	return configValue{s.Name, value}
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Settings in cli.yaml of the workspace",
		Long: "Settings in cli.yaml of the workspace in use. Environment and flags win over them. What is secret is never shown.",
	}
	cmd.AddCommand(a.configList(), a.configGet(), a.configSet(), a.configDelete(), a.configSchema())
	group(cmd)
	return cmd
}

func settingRef() *ref { return &ref{label: "KEY", flag: "key", what: "name"} }

// configFolder is where settings are read and written, with what is there.
func (a *app) configFolder() (string, map[string]any, error) {
	if _, err := ConfigDir(a.getenv); err != nil {
		return "", nil, err
	}
	dir, err := a.workspaceDir()
	if err != nil {
		return "", nil, err
	}
	all, err := readAll(dir)
	return dir, all, err
}

func (a *app) configList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the settings that are set", Args: noArgs, RunE: func(*cobra.Command, []string) error {
		_, all, err := a.configFolder()
		if err != nil {
			return err
		}
		list := []configValue{}
		for i := range settings {
			if v := settings[i].shown(all); v.Value != "" {
				list = append(list, v)
			}
		}
		return a.printValue(results[configValue]{list}, "table", configView)
	}}
}

func (a *app) configGet() *cobra.Command {
	key := settingRef()
	return a.completeSettings(withRefs(&cobra.Command{Use: "get", Short: "Show a setting", RunE: func(*cobra.Command, []string) error {
		s, err := findSetting(key.value)
		if err != nil {
			return err
		}
		_, all, err := a.configFolder()
		if err != nil {
			return err
		}
		v := s.shown(all)
		if v.Value == "" {
			return &notFoundError{key.value + " is not set"}
		}
		return a.printValue(v, "yaml", configView)
	}}, key))
}

func (a *app) configSet() *cobra.Command {
	key, value := settingRef(), &ref{label: "VALUE", flag: "value", what: "value"}
	return a.completeSettings(withRefs(&cobra.Command{
		Use: "set", Short: "Set a setting", Example: "  mgc config set region br-ne1",
		RunE: func(*cobra.Command, []string) error {
			s, err := findSetting(key.value)
			if err != nil {
				return err
			}
			if s.check != nil {
				if err := s.check(value.value); err != nil {
					return err
				}
			}
			dir, all, err := a.configFolder()
			if err != nil {
				return err
			}
			all[s.Name] = value.value
			return writeAll(dir, all)
		},
	}, key, value))
}

func (a *app) configDelete() *cobra.Command {
	key := settingRef()
	return a.completeSettings(withRefs(&cobra.Command{Use: "delete", Short: "Take a setting out", RunE: func(*cobra.Command, []string) error {
		s, err := findSetting(key.value)
		if err != nil {
			return err
		}
		dir, all, err := a.configFolder()
		if err != nil {
			return err
		}
		if _, ok := all[s.Name]; !ok {
			return &notFoundError{s.Name + " is not set"}
		}
		delete(all, s.Name)
		return writeAll(dir, all)
	}}, key))
}

func (a *app) configSchema() *cobra.Command {
	key := settingRef()
	key.optional = true
	return a.completeSettings(withRefs(&cobra.Command{Use: "get-schema", Short: "Say what settings there are, or what one is", RunE: func(*cobra.Command, []string) error {
		if key.value == "" {
			return a.printValue(results[setting]{settings}, "table", settingView)
		}
		s, err := findSetting(key.value)
		if err != nil {
			return err
		}
		return a.printValue(s, "yaml", settingView)
	}}, key))
}

func (a *app) completeSettings(cmd *cobra.Command) *cobra.Command {
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for i := range settings {
			if len(args) == 0 {
				names = append(names, settings[i].Name+"\t"+settings[i].Description)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}
