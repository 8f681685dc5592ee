package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	configFile    = "cli.yaml"
	defaultRegion = "br-se1"
)

// Config is what cli.yaml holds. Every field may be empty; flags and environment win over it.
type Config struct {
	// ServerURL replaces the whole base address (host, region and product) of the API.
	ServerURL string `yaml:"serverUrl,omitempty"`
	// Region names the region of the public cloud, used when ServerURL is empty.
	Region string `yaml:"region,omitempty"`
	// CAFile is a PEM file with certificates trusted besides the system's.
	CAFile string `yaml:"caFile,omitempty"`
	// APIKey is the key itself; APIKeyFile a file that holds it. APIKey wins.
	APIKey     string `yaml:"apiKey,omitempty"`
	APIKeyFile string `yaml:"apiKeyFile,omitempty"`
}

// ConfigDir returns the folder of cli.yaml: MGC_CONFIG_DIR, else $XDG_CONFIG_HOME/mgc, else ~/.config/mgc.
func ConfigDir(getenv func(string) string) (string, error) {
	if dir := getenv("MGC_CONFIG_DIR"); dir != "" {
		return dir, nil
	}
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "mgc"), nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("cannot tell where the configuration is: set MGC_CONFIG_DIR or HOME")
	}
	return filepath.Join(home, ".config", "mgc"), nil
}

// localRegionDir is where `mke up` leaves the configuration of this machine's region. Nothing of a region lies outside of its
// data folder, so that `mke down` cannot forget it.
func localRegionDir(getenv func(string) string) string {
	return filepath.Join(firstOf(getenv("MKE_DATA_DIR"), "/var/lib/mke"), "mgc")
}

// storedConfig is the workspace's configuration or, when the default one says neither where to go nor who calls, the local region's.
func (a *app) storedConfig() (Config, error) {
	var c Config
	dir, err := a.workspaceDir()
	if err != nil {
		return c, err
	}
	if dir != "" {
		if c, err = ReadConfig(dir); err != nil {
			return c, err
		}
	}
	if c.ServerURL != "" || c.APIKey != "" || c.APIKeyFile != "" || a.getenv("MGC_CONFIG_DIR") != "" || a.workspace() != defaultWorkspace {
		return c, nil
	}
	local, err := ReadConfig(localRegionDir(a.getenv))
	if errors.Is(err, fs.ErrPermission) {
		return c, nil // somebody else's region
	}
	if err != nil || local.ServerURL == "" {
		return c, err
	}
	return local, nil
}

// ReadConfig reads cli.yaml of dir; a missing file is an empty Config.
func ReadConfig(dir string) (Config, error) {
	var c Config
	path := filepath.Join(dir, configFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	if err := yaml.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("%s is not valid YAML: %w", path, err)
	}
	return c, nil
}

// WriteConfig makes dir and puts c into its cli.yaml, mode 0600, in one step. Keys that Config does not know stay as they are.
func WriteConfig(dir string, c Config) error {
	all, err := readAll(dir)
	if err != nil {
		return err
	}
	for key, value := range c.fields() {
		if value == "" {
			delete(all, key)
		} else {
			all[key] = value
		}
	}
	return writeAll(dir, all)
}

func (c Config) fields() map[string]string {
	return map[string]string{
		"serverUrl": c.ServerURL, "region": c.Region, "caFile": c.CAFile, "apiKey": c.APIKey, "apiKeyFile": c.APIKeyFile,
	}
}

// key returns the API key, read from APIKeyFile when it is not given itself.
func (c Config) key() (string, error) {
	if c.APIKey != "" || c.APIKeyFile == "" {
		return c.APIKey, nil
	}
	data, err := os.ReadFile(c.APIKeyFile)
	if err != nil {
		return "", fmt.Errorf("read the API key named in %s: %w", configFile, err)
	}
	return strings.TrimSpace(string(data)), nil
}

func readAll(dir string) (map[string]any, error) {
	all := map[string]any{}
	data, err := os.ReadFile(filepath.Join(dir, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s is not valid YAML: %w", filepath.Join(dir, configFile), err)
	}
	if all == nil {
		all = map[string]any{}
	}
	return all, nil
}

func writeAll(dir string, all map[string]any) error {
	data, err := yaml.Marshal(all)
	if err != nil {
		return err
	}
	return writeFile(dir, configFile, data)
}

// writeFile makes dir and replaces a file in it, mode 0600, in one step.
func writeFile(dir, name string, data []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, name+".*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Join(dir, name))
}
