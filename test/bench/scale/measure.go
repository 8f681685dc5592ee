package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	mkev1 "magalu.cloud/mke/api/v1"
)

// process is what one process has used.
type process struct {
	name    string
	seconds float64
	mib     int
}

// ticksPerSecond of /proc/<pid>/stat.
const ticksPerSecond = 100

// processes of the whole host, VMs among them, by process id.
func processes() map[string]process {
	out := map[string]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(rest))
		if len(fields) < 22 {
			continue
		}
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		pages, _ := strconv.Atoi(fields[21])
		out[dir] = process{nameOf(dir), (user + system) / ticksPerSecond, pages * os.Getpagesize() >> 20}
	}
	return out
}

// nameOf is the program, for ours its subcommand, and the host name of the VM or Pod that it is in.
func nameOf(dir string) string {
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	words := strings.Split(string(cmdline), "\x00")
	if err != nil || words[0] == "" {
		return "kernel"
	}
	name := filepath.Base(strings.Fields(words[0])[0])
	if name == "mke" && len(words) > 1 {
		name += " " + words[1]
	}
	host, _ := os.ReadFile(filepath.Join(dir, "root/etc/hostname"))
	return name + " @" + strings.TrimSpace(string(host))
}

// printProcesses shows who used most CPU time.
func printProcesses(w io.Writer, before, after map[string]process, took time.Duration) {
	byName := map[string]*process{}
	for pid, p := range after {
		if was, known := before[pid]; known && was.name == p.name {
			p.seconds -= was.seconds
		}
		if byName[p.name] == nil {
			byName[p.name] = &process{name: p.name}
		}
		byName[p.name].seconds += p.seconds
		byName[p.name].mib += p.mib
	}
	var list []process
	for _, p := range byName {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b process) int { return int(math.Round(100 * (b.seconds - a.seconds))) })
	for _, p := range list[:min(20, len(list))] {
		fmt.Fprintf(w, "RESULT scale process=%q cpu_s=%.1f of_a_core=%.2f rss_mib=%d\n", p.name, p.seconds, p.seconds/took.Seconds(), p.mib)
	}
}

// calls are histograms of API servers: cumulative counts by upper bound, by kind of call.
type calls map[string]map[float64]float64

// readCalls reads what the API servers of the customer's cluster and of the management cluster have measured. A watch lasts as long as it
// likes and does not count.
func readCalls(ctx context.Context, s *site) calls {
	out := calls{}
	for name, kube := range map[string]*kubernetes.Clientset{"customer": s.kube, "management": s.management} {
		raw, err := kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
		if err != nil {
			continue
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
		if err != nil {
			continue
		}
		for _, m := range families["apiserver_request_duration_seconds"].GetMetric() {
			verb := ""
			for _, l := range m.GetLabel() {
				if l.GetName() == "verb" {
					verb = l.GetValue()
				}
			}
			kind := kindOf(verb)
			if kind == "" {
				continue
			}
			key := name + " " + kind
			if out[key] == nil {
				out[key] = map[float64]float64{}
			}
			for _, b := range m.GetHistogram().GetBucket() {
				out[key][b.GetUpperBound()] += float64(b.GetCumulativeCount())
			}
		}
	}
	return out
}

func kindOf(verb string) string {
	switch verb {
	case "GET":
		return "get"
	case "LIST":
		return "list"
	case "POST", "PUT", "PATCH", "DELETE", "APPLY":
		return "change"
	}
	return ""
}

// print shows the 99th percentile since before, as an upper bound.
func (c calls) print(w io.Writer, before calls) {
	for _, key := range []string{"customer get", "customer list", "customer change", "management get", "management list", "management change"} {
		var bounds []float64
		for bound := range c[key] {
			bounds = append(bounds, bound)
		}
		slices.Sort(bounds)
		if len(bounds) == 0 {
			continue
		}
		total := c[key][bounds[len(bounds)-1]] - before[key][bounds[len(bounds)-1]]
		for _, bound := range bounds {
			if c[key][bound]-before[key][bound] >= 0.99*total {
				fmt.Fprintf(w, "RESULT scale api=%q calls=%.0f p99_s_below=%g\n", key, total, bound)
				break
			}
		}
	}
}

// machines that Cluster API still has in the pool, -1 if it cannot be told.
func (s *site) machines(ctx context.Context) int {
	raw, err := s.management.Discovery().RESTClient().Get().
		AbsPath("/apis", clusterv1.GroupVersion.Group, clusterv1.GroupVersion.Version, "namespaces", mkev1.ClusterNamespace(s.clusterID), "machines").
		Param("labelSelector", mkev1.NodePoolLabel+"="+poolName).SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").DoRaw(ctx)
	if err != nil {
		return -1
	}
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal(raw, &list); err != nil {
		return -1
	}
	return len(list.Items)
}
