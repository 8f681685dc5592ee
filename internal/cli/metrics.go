package cli

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func metricsPath(clusterID string) string {
	return "/v1alpha0/clusters/" + url.PathEscape(clusterID) + "/metrics"
}

// metric describes a series that a cluster has.
type metric struct {
	Name        string `json:"name"`
	Scope       string `json:"scope"`
	Unit        string `json:"unit"`
	Description string `json:"description"`
}

// metricValues are all series of one name over time.
type metricValues struct {
	Unit   string `json:"unit"`
	Series []struct {
		Labels map[string]string `json:"labels"`
		Points [][2]float64      `json:"points"`
	} `json:"series"`
}

var metricView = rows([]string{"name", "scope", "unit", "description~"}, func(_ *app, m metric) []string {
	return []string{m.Name, m.Scope, m.Unit, m.Description}
})

func (a *app) metricsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "What the addon monitoring measures: nodes, pods, node pools, the control plane",
		Long: `What the addon monitoring measures: nodes, pods, node pools, the control plane. The addon is off by default:
mgc kubernetes addon update CLUSTER monitoring --enabled`,
	}
	cmd.AddCommand(a.metricsList(), a.metricsGet())
	group(cmd)
	return cmd
}

func (a *app) metricsList() *cobra.Command {
	id := clusterRef()
	return withRefs(&cobra.Command{
		Use:               "list",
		Short:             "List the series that a cluster has",
		Example:           "  mgc kubernetes metrics list meu-cluster",
		ValidArgsFunction: a.completeClusters,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.showWith(cmd.Context(), c, metricsPath(clusterID), "table", metricView)
		},
	}, id)
}

func (a *app) metricsGet() *cobra.Command {
	var last time.Duration
	id, name := clusterRef(), metricRef()
	cmd := withRefs(&cobra.Command{
		Use:   "get",
		Short: "Show a series over time",
		Long: `Show a series over time. The table has the last, least, mean and greatest value in the time that was asked for;
-o json and -o yaml have every point.`,
		Example: `  mgc kubernetes metrics get meu-cluster node_cpu_usage_ratio
  mgc kubernetes metrics get meu-cluster pod_memory_used_bytes --namespace default --last 6h
  mgc kubernetes metrics get meu-cluster --name pool_pods --pool nodepool01 --start 2026-11-22T12:00:00Z --step 5m -o json`,
		ValidArgsFunction: a.completeMetrics,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			for _, flag := range []string{"start", "end", "step", "pool", "node", "namespace", "pod"} {
				if value := cmd.Flag(flag).Value.String(); value != "" {
					query.Set(flag, value)
				}
			}
			if cmd.Flags().Changed("last") {
				if query.Has("start") || query.Has("end") {
					return usagef("give either --last, or --start and --end")
				}
				if last < time.Second {
					return usagef("--last: %s is too short\nExample: --last 1h", last)
				}
				query.Set("start", strconv.FormatInt(a.now().Add(-last).Unix(), 10))
				query.Set("end", strconv.FormatInt(a.now().Unix(), 10))
			}
			c, clusterID, err := a.onCluster(cmd.Context(), id)
			if err != nil {
				return err
			}
			path := metricsPath(clusterID) + "/" + url.PathEscape(name.value)
			if len(query) > 0 {
				path += "?" + query.Encode()
			}
			return a.showWith(cmd.Context(), c, path, "table", metricValuesView)
		},
	}, id, name)
	f := cmd.Flags()
	f.DurationVar(&last, "last", time.Hour, "the `time` until now, in place of --start and --end")
	f.String("start", "", "first `time`, as 2026-11-22T12:00:00Z or seconds since 1970")
	f.String("end", "", "last `time`, now by default")
	f.String("step", "", "`time` between two points, such as 30s or 5m")
	f.String("pool", "", "only of this node `pool`")
	f.String("node", "", "only of this `node`")
	f.String("namespace", "", "only of pods in this `namespace`")
	f.String("pod", "", "only of this `pod`")
	return cmd
}

// metricValuesView has a row for each series: its labels, and what its points come to.
func metricValuesView(_ *app, body []byte) (*grid, error) {
	var v metricValues
	if err := decode(body, &v); err != nil {
		return nil, err
	}
	var labels []string
	for _, label := range []string{"pool", "node", "namespace", "pod"} {
		for _, s := range v.Series {
			if s.Labels[label] != "" {
				labels = append(labels, label)
				break
			}
		}
	}
	g := &grid{}
	for _, label := range labels {
		g.columns = append(g.columns, column{label, true})
	}
	for _, title := range []string{"last", "min", "avg", "max"} {
		g.columns = append(g.columns, column{title, false})
	}
	for _, s := range v.Series {
		var cells []string
		for _, label := range labels {
			cells = append(cells, s.Labels[label])
		}
		g.add(append(cells, summary(s.Points, v.Unit)...)...)
	}
	return g, nil
}

// summary is the last, least, mean and greatest value.
func summary(points [][2]float64, unit string) []string {
	if len(points) == 0 {
		return []string{"", "", "", ""}
	}
	least, greatest, sum := math.Inf(1), math.Inf(-1), 0.0
	for _, p := range points {
		least, greatest, sum = min(least, p[1]), max(greatest, p[1]), sum+p[1]
	}
	var cells []string
	for _, value := range []float64{points[len(points)-1][1], least, sum / float64(len(points)), greatest} {
		cells = append(cells, amount(value, unit))
	}
	return cells
}

// amount writes a value for people.
func amount(value float64, unit string) string {
	switch unit {
	case "ratio":
		return fmt.Sprintf("%.1f%%", value*100)
	case "bytes":
		return binary(value)
	case "bytes_per_second":
		return binary(value) + "/s"
	case "seconds":
		return time.Duration(value * float64(time.Second)).Round(10 * time.Microsecond).String()
	case "per_second":
		return fmt.Sprintf("%.2f/s", value)
	case "cores":
		return fmt.Sprintf("%.3f", value)
	}
	return strconv.FormatFloat(math.Round(value*100)/100, 'f', -1, 64)
}

func binary(value float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; math.Abs(value) >= 1024 && i < len(units)-1; i++ {
		value /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", value)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}

func (a *app) completeMetrics(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.completeOfCluster(cmd, args, prefix, func(id string) ([]string, cobra.ShellCompDirective) {
		return names(a, cmd, metricsPath(id), func(m metric) string { return m.Name + "\t" + m.Unit })
	})
}
