package catalog

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Names of the addons.
const (
	KubeProxy          = "kube-proxy"
	Calico             = "calico"
	CoreDNS            = "coredns"
	CSI                = "csi"
	SnapshotController = "snapshot-controller"
	MetricsServer      = "metrics-server"
	Monitoring         = "monitoring"
)

// Addon is a part of the platform inside every cluster.
type Addon struct {
	Name        string
	Description string
	// Version of what it runs; empty means the cluster's version of Kubernetes.
	Version string
	// Default says whether clusters have it unless they are told otherwise.
	Default bool
	// Essential addons are always on, and a new cluster is not Running before they are applied.
	Essential bool
	// Needs are addons that must be enabled with it.
	Needs []string
	// Options are what may be set.
	Options []AddonOption
}

// OptionType is what values an option takes.
type OptionType string

const (
	IntegerOption OptionType = "integer"
	// TextsOption is an object whose values are texts.
	TextsOption OptionType = "texts"
)

// AddonOption is one setting of an addon.
type AddonOption struct {
	Name        string
	Description string
	Type        OptionType
	Default     any
	// Min and Max bound an integer, and the number of texts.
	Min, Max int
	// OrZero allows 0 below Min: without what the option is about.
	OrZero bool
	// OnlyGrows forbids a smaller value, other than 0, while the addon is enabled.
	OnlyGrows bool
	// Needs is an addon that any value but the default needs.
	Needs string
	// Key and Value are what a text's key and the text itself must match.
	Key, Value *regexp.Regexp
}

var (
	dnsZone     = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$`)
	ipAddresses = regexp.MustCompile(`^(\d{1,3}\.){3}\d{1,3}( (\d{1,3}\.){3}\d{1,3}){0,14}$`)
)

var addons = []Addon{
	{Name: KubeProxy, Essential: true, Default: true, Description: "Services inside the cluster, by nftables"},
	{Name: Calico, Version: "v3.28.5", Essential: true, Default: true, Description: "network of the pods and network policies"},
	{
		Name: CoreDNS, Version: "v1.12.1", Essential: true, Default: true, Description: "names of services and pods",
		Options: []AddonOption{
			{Name: "replicas", Type: IntegerOption, Default: 2, Min: 1, Max: 10, Description: "number of servers"},
			{Name: "forward", Type: TextsOption, Default: map[string]any{}, Max: 20, Key: dnsZone, Value: ipAddresses,
				Description: "domains that other servers answer for, with the servers' addresses separated by spaces"},
		},
	},
	{Name: SnapshotController, Version: "v8.7.0", Default: true, Description: "snapshots of volumes"},
	{Name: CSI, Version: "v0.1.0", Default: true, Needs: []string{SnapshotController}, Description: "volumes of Magalu Cloud's block storage"},
	{
		Name: MetricsServer, Version: "v0.9.0", Default: true, Description: "use of CPU and memory, for kubectl top and the HorizontalPodAutoscaler",
		Options: []AddonOption{
			{Name: "resolutionSeconds", Type: IntegerOption, Default: 15, Min: 10, Max: 300, Description: "seconds between two measurements of a node"},
		},
	},
	{
		Name: Monitoring, Version: "v3.16.0", Description: "Prometheus with the series of nodes, pods, node pools and the control plane",
		Options: []AddonOption{
			{Name: "scrapeSeconds", Type: IntegerOption, Default: 15, Min: 10, Max: 120, Description: "seconds between two measurements"},
			{Name: "retentionHours", Type: IntegerOption, Default: 24, Min: 1, Max: 720, Description: "hours for which measurements are kept"},
			{Name: "storageGiB", Type: IntegerOption, Default: 0, Min: 10, Max: 1000, OrZero: true, OnlyGrows: true, Needs: CSI,
				Description: "size of the volume for measurements; 0 for none: they are lost when the pod moves to another node"},
			{Name: "memoryMiB", Type: IntegerOption, Default: 512, Min: 256, Max: 32768, Description: "memory that Prometheus may use at most"},
		},
	},
}

// Addons returns all addons in the order in which they are shown.
func Addons() []Addon { return addons }

// FindAddon returns the addon of that name.
func FindAddon(name string) (Addon, bool) {
	i := slices.IndexFunc(addons, func(a Addon) bool { return a.Name == name })
	if i < 0 {
		return Addon{}, false
	}
	return addons[i], true
}

// NeedsWith returns the addons that must be enabled with it when it has these settings.
func (a Addon) NeedsWith(config map[string]any) []string {
	needs := slices.Clone(a.Needs)
	for _, o := range a.Options {
		if o.Needs != "" && !reflect.DeepEqual(config[o.Name], o.Default) && !slices.Contains(needs, o.Needs) {
			needs = append(needs, o.Needs)
		}
	}
	return needs
}

// Shrunk are problems of settings that may only grow, by name of the option.
func (a Addon) Shrunk(before, after map[string]any) map[string]string {
	problems := map[string]string{}
	for _, o := range a.Options {
		if !o.OnlyGrows {
			continue
		}
		if was, is := before[o.Name].(int), after[o.Name].(int); is < was && is != 0 {
			problems[o.Name] = fmt.Sprintf("must be at least %d, which it is, or 0", was)
		}
	}
	return problems
}

// Config returns the settings that result from the values: the defaults, replaced by what is valid of the values. Problems
// are sentences about the others, by name of the option.
func (a Addon) Config(values map[string]json.RawMessage) (config map[string]any, problems map[string]string) {
	config, problems = map[string]any{}, map[string]string{}
	known := make([]string, 0, len(a.Options))
	for _, o := range a.Options {
		config[o.Name] = o.Default
		known = append(known, o.Name)
	}
	for name, raw := range values {
		i := slices.Index(known, name)
		if i < 0 {
			problems[name] = "is not a setting of " + a.Name + "; it has " + orNone(known)
			continue
		}
		value, problem := a.Options[i].parse(raw)
		if problem != "" {
			problems[name] = problem
			continue
		}
		config[name] = value
	}
	return config, problems
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (o AddonOption) parse(raw json.RawMessage) (value any, problem string) {
	if o.Type == TextsOption {
		return o.parseTexts(raw)
	}
	var n float64
	err := json.Unmarshal(raw, &n)
	switch {
	case err == nil && n == 0 && o.OrZero:
		return 0, ""
	case err == nil && n == math.Trunc(n) && n >= float64(o.Min) && n <= float64(o.Max):
		return int(n), ""
	case o.OrZero:
		return nil, fmt.Sprintf("must be 0 or a whole number from %d to %d", o.Min, o.Max)
	}
	return nil, fmt.Sprintf("must be a whole number from %d to %d", o.Min, o.Max)
}

func (o AddonOption) parseTexts(raw json.RawMessage) (value any, problem string) {
	var texts map[string]string
	if json.Unmarshal(raw, &texts) != nil {
		return nil, "must be an object with texts"
	}
	if len(texts) > o.Max {
		return nil, fmt.Sprintf("must not have more than %d entries", o.Max)
	}
	config := map[string]any{}
	for k, v := range texts {
		if !o.Key.MatchString(k) {
			return nil, fmt.Sprintf("%q is not valid as a name", k)
		}
		if !o.Value.MatchString(v) {
			return nil, fmt.Sprintf("%q is not valid for %s", v, k)
		}
		config[k] = v
	}
	return config, ""
}
