package image

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

// DefaultDataDir is where a region keeps its state unless told otherwise.
const DefaultDataDir = "/var/lib/mke"

// NewCommand returns `mke image`.
func NewCommand() *cobra.Command {
	var dataDir, source string
	cmd := &cobra.Command{Use: "image", Short: "Build and list what runs inside a region"}
	cmd.PersistentFlags().StringVar(&dataDir, "data-dir", envOr("MKE_DATA_DIR", DefaultDataDir), "folder of the region's state; images are in its cache (env MKE_DATA_DIR)")
	cmd.PersistentFlags().StringVar(&source, "source", os.Getenv("MKE_SOURCE"), "source repository; by default the one that mke was built in (env MKE_SOURCE)")
	builder := func(cmd *cobra.Command) (*Builder, error) {
		dir := source
		if dir == "" {
			found, err := FindSource()
			if err != nil {
				return nil, err
			}
			dir = found
		}
		steps, err := Catalogue(cmd.Context())
		if err != nil {
			return nil, err
		}
		return &Builder{Steps: steps, Source: dir, DataDir: dataDir, Out: cmd.OutOrStdout()}, nil
	}
	cmd.AddCommand(newBuildCommand(builder), newListCommand(builder), newToolsCommand(builder))
	return cmd
}

func newBuildCommand(builder func(*cobra.Command) (*Builder, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "build [NAME...]",
		Short: "Build images, all when none is named; what is cached is not built again",
		Long: "Build images, all when none is named. A name is one of `mke image list`, alone or with its kind\n" +
			"(store/customer), or a kind. Debian packages are of the day on which they were built; remove\n" +
			"the folder cache/debian of the data folder to take today's.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if os.Geteuid() != 0 {
				return fmt.Errorf("mke image build must run as root: it makes file systems and mounts")
			}
			b, err := builder(cmd)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return b.Build(ctx, args...)
		},
	}
}

func newToolsCommand(builder func(*cobra.Command) (*Builder, error)) *cobra.Command {
	var binDir string
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "Put kubectl, kube-apiserver and etcd into a folder, building them if need be",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := builder(cmd)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := b.Build(ctx, "bin/kubernetes", "bin/etcd"); err != nil {
				return err
			}
			return InstallTools(b.DataDir, binDir)
		},
	}
	cmd.Flags().StringVar(&binDir, "bin-dir", "bin", "folder for the programs")
	return cmd
}

func newListCommand(builder func(*cobra.Command) (*Builder, error)) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List images with their keys, sizes and whether they are cached",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := builder(cmd)
			if err != nil {
				return err
			}
			list, err := b.List()
			if err != nil {
				return err
			}
			switch format {
			case "json":
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(list)
			case "table":
				printTable(cmd, list)
				return nil
			default:
				return fmt.Errorf("unknown output format %q: use table or json", format)
			}
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: table or json")
	return cmd
}

// Info describes a step for people and programs.
type Info struct {
	Name    string `json:"name"` // kind/name
	Version string `json:"version"`
	Key     string `json:"key"`
	Size    int64  `json:"size"` // bytes; 0 when not cached
	Cached  bool   `json:"cached"`
}

// List tells the state of every step without building anything.
func (b *Builder) List() ([]Info, error) {
	keys, err := keys(b.Steps, b.Source)
	if err != nil {
		return nil, err
	}
	cache := cacheOf(b.DataDir)
	list := make([]Info, 0, len(b.Steps))
	for _, step := range b.Steps {
		info := Info{Name: step.String(), Version: step.Version, Key: keys[step], Cached: cache.has(step, keys[step])}
		if info.Cached {
			info.Size = size(cache.path(step, keys[step]))
		}
		list = append(list, info)
	}
	return list, nil
}

func printTable(cmd *cobra.Command, list []Info) {
	t := table.NewWriter()
	t.SetOutputMirror(cmd.OutOrStdout())
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.AppendHeader(table.Row{"NAME", "VERSION", "KEY", "SIZE", "CACHED"})
	for _, info := range list {
		size, cached := "-", "no"
		if info.Cached {
			size, cached = humanSize(info.Size), "yes"
		}
		t.AppendRow(table.Row{info.Name, info.Version, info.Key, size, cached})
	}
	t.Render()
}

func envOr(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
