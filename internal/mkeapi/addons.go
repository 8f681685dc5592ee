package mkeapi

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// addonResponse is a part of the platform inside a cluster. It is not part of the published contract.
type addonResponse struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Enabled     bool           `json:"enabled"`
	Essential   bool           `json:"essential" doc:"No cluster works without it, so it cannot be disabled"`
	Version     string         `json:"version"`
	Status      addonStatus    `json:"status"`
	Pods        addonPods      `json:"pods"`
	Values      map[string]any `json:"values" nullable:"false" doc:"All settings as they are wanted, defaults included"`
	Settings    []addonSetting `json:"settings" nullable:"false" doc:"What can be set"`
}

type addonStatus struct {
	State   string `json:"state" enum:"Pending,Applying,Ready,Failed,Disabled,Deleting"`
	Message string `json:"message" doc:"What is being waited for"`
}

type addonPods struct {
	Ready int32 `json:"ready"`
	Total int32 `json:"total"`
}

type addonSetting struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Type        string `json:"type" enum:"integer,texts" doc:"texts: an object whose values are texts"`
	Default     any    `json:"default"`
	Minimum     int    `json:"minimum" doc:"Least value, or number of texts"`
	Maximum     int    `json:"maximum" doc:"Greatest value, or number of texts"`
}

func (s *Server) listAddons(ctx context.Context, in *ClusterPath) (*answer[results[addonResponse]], error) {
	c, err := s.cluster(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	seen, err := s.seenAddons(ctx, c)
	if err != nil {
		return nil, err
	}
	list := make([]addonResponse, 0, len(catalog.Addons()))
	for _, a := range catalog.Addons() {
		list = append(list, toAddon(&c.Cluster, a, seen[a.Name]))
	}
	return &answer[results[addonResponse]]{results[addonResponse]{list}}, nil
}

func (s *Server) getAddon(ctx context.Context, in *AddonPath) (*answer[addonResponse], error) {
	c, err := s.cluster(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	a, err := findAddon(in.Name)
	if err != nil {
		return nil, err
	}
	seen, err := s.seenAddons(ctx, c)
	if err != nil {
		return nil, err
	}
	return &answer[addonResponse]{toAddon(&c.Cluster, a, seen[a.Name])}, nil
}

type patchAddonInput struct {
	AddonPath
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) patchAddon(ctx context.Context, in *patchAddonInput) (*answer[addonResponse], error) {
	c, err := s.cluster(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	a, err := findAddon(in.Name)
	if err != nil {
		return nil, err
	}
	var l problem.List
	req, err := decode[patchAddonRequest](s.registry, in.RawBody, &l)
	if err != nil {
		return nil, err
	}
	after, err := s.store.PatchAddons(ctx, tenantOf(ctx), c.ID, func(c *db.Cluster) error {
		changeAddon(&l, c, a, req)
		return l.Err()
	})
	if err != nil {
		return nil, err
	}
	seen, err := s.seenAddons(ctx, c)
	if err != nil {
		return nil, err
	}
	return &answer[addonResponse]{toAddon(after, a, seen[a.Name])}, nil
}

func findAddon(name string) (catalog.Addon, error) {
	a, known := catalog.FindAddon(name)
	if !known {
		return a, problem.New(problem.AddonNotFound, name, names(func(catalog.Addon) bool { return true }))
	}
	return a, nil
}

// names of the addons that are meant, for people.
func names(meant func(catalog.Addon) bool) string {
	var list []string
	for _, a := range catalog.Addons() {
		if meant(a) {
			list = append(list, a.Name)
		}
	}
	return strings.Join(list, ", ")
}

// changeAddon writes a request into the record of a cluster.
func changeAddon(l *problem.List, c *db.Cluster, a catalog.Addon, req *patchAddonRequest) {
	choice, was := c.Addons[a.Name], enabled(c, a)
	before, _ := a.Config(choice.Values)
	if req.Enabled != nil && *req.Enabled != was {
		checkSwitch(l, c, a, *req.Enabled)
		choice.Enabled = req.Enabled
	}
	values := maps.Clone(choice.Values)
	if values == nil {
		values = map[string]json.RawMessage{}
	}
	for name, value := range req.Values {
		if value == nil {
			delete(values, name)
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			panic(err) // it was JSON a moment ago
		}
		values[name] = raw
	}
	config, problems := a.Config(values)
	addSettingProblems(l, problems)
	choice.Values = values
	changed := maps.Clone(c.Addons)
	if changed == nil {
		changed = map[string]db.AddonChoice{}
	}
	changed[a.Name] = choice
	c.Addons = changed
	if !enabled(c, a) {
		return
	}
	if was {
		addSettingProblems(l, a.Shrunk(before, config))
	}
	for _, name := range a.NeedsWith(config) {
		if other, _ := catalog.FindAddon(name); !enabled(c, other) {
			l.Add(causeOf(req), problem.AddonNeeds, name)
		}
	}
}

func addSettingProblems(l *problem.List, problems map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		l.Add("values."+name, problem.InvalidSetting, problems[name])
	}
}

// causeOf is the field that made another addon necessary.
func causeOf(req *patchAddonRequest) string {
	if req.Enabled != nil {
		return "enabled"
	}
	return "values"
}

func checkSwitch(l *problem.List, c *db.Cluster, a catalog.Addon, on bool) {
	switch {
	case a.Name == catalog.Calico:
		l.Add("enabled", problem.AddonFixed)
	case a.Essential:
		l.Add("enabled", problem.AddonEssential, a.Name, names(func(a catalog.Addon) bool { return !a.Essential }))
	case !on:
		for _, other := range catalog.Addons() {
			config, _ := other.Config(c.Addons[other.Name].Values)
			if enabled(c, other) && slices.Contains(other.NeedsWith(config), a.Name) {
				l.Add("enabled", problem.AddonNeeded, other.Name)
			}
		}
	}
}

// enabled says whether a cluster is to have an addon.
func enabled(c *db.Cluster, a catalog.Addon) bool {
	if a.Name == catalog.Calico {
		return c.Cni != cniNone
	}
	if chosen := c.Addons[a.Name].Enabled; chosen != nil && !a.Essential {
		return *chosen
	}
	return a.Default
}

func (s *Server) seenAddons(ctx context.Context, c *record.Cluster) (map[string]*mkev1.MGCAddon, error) {
	list, err := s.nodes.Addons(ctx, c.ID.String())
	if err != nil {
		s.log.Warn("ask the management cluster for addons", "cluster_id", c.ID, "error", err)
		return nil, problem.New(problem.Unavailable)
	}
	seen := map[string]*mkev1.MGCAddon{}
	for i := range list {
		seen[list[i].Name] = &list[i]
	}
	return seen, nil
}

func toAddon(c *db.Cluster, a catalog.Addon, seen *mkev1.MGCAddon) addonResponse {
	config, _ := a.Config(c.Addons[a.Name].Values)
	r := addonResponse{
		Name: a.Name, Description: a.Description, Enabled: enabled(c, a), Essential: a.Essential, Version: a.Version,
		Values: config, Settings: make([]addonSetting, len(a.Options)),
		Status: addonStatus{State: string(mkev1.AddonPhasePending), Message: "waiting for the cluster"},
	}
	for i, o := range a.Options {
		r.Settings[i] = addonSetting{o.Name, o.Description, string(o.Type), o.Default, o.Min, o.Max}
	}
	if r.Version == "" {
		r.Version = c.Version
	}
	if seen == nil || seen.Status.Phase == "" {
		return r
	}
	r.Pods = addonPods{seen.Status.ReadyPods, seen.Status.Pods}
	if !upToDate(c, a, seen) {
		r.Status = addonStatus{string(mkev1.AddonPhaseApplying), "waiting for the change to be applied"}
		return r
	}
	r.Status = addonStatus{string(seen.Status.Phase), seen.Status.Message}
	if seen.Status.Version != "" {
		r.Version = seen.Status.Version
	}
	return r
}

// upToDate says whether a report speaks of what is recorded.
func upToDate(c *db.Cluster, a catalog.Addon, seen *mkev1.MGCAddon) bool {
	choice := c.Addons[a.Name]
	if seen.Status.ObservedGeneration < seen.Generation || len(choice.Values) != len(seen.Spec.Values) {
		return false
	}
	for name, value := range choice.Values {
		if !sameJSON(value, seen.Spec.Values[name].Raw) {
			return false
		}
	}
	return choice.Enabled == nil || *choice.Enabled == (seen.Spec.State == mkev1.AddonEnabled)
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	left, _ := json.Marshal(x)
	right, _ := json.Marshal(y)
	return string(left) == string(right)
}
