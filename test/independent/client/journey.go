// Package client is a client of the Kubernetes product that was written from its published OpenAPI document alone. Every request
// that it sends and every answer that it gets is validated by that document.
package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Options of a run.
type Options struct {
	Document string        // file of the published document
	Server   string        // base URL of the product
	Key      string        // API key
	CA       []byte        // certificate authority of the server, in PEM; none for the system's
	Name     string        // of the cluster that is made
	Connect  bool          // whether the cluster that comes out can be connected to
	Pause    time.Duration // between two looks at something that changes; 2 s if 0
	Patience time.Duration // for one change; 5 min if 0
	Log      func(format string, args ...any)
}

// traveller is one run.
type traveller struct {
	*session
	Options
	version, flavor string
	cluster         string // id
	first, second   string // ids of node pools
}

// Run takes a cluster through its life and deletes it. It returns the first thing that is not as published.
func Run(ctx context.Context, o Options) error {
	c, err := newSession(o)
	if err != nil {
		return err
	}
	if o.Pause == 0 {
		o.Pause = 2 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Minute
	}
	t := &traveller{session: c, Options: o}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"choose version and flavor", t.choose}, {"create", t.create}, {"run", t.awaitRunning}, {"list", t.list}, {"kubeconfig", t.kubeconfig},
		{"pool add", t.addPool}, {"pool resize", t.resizePool}, {"pool list", t.listPools}, {"pool delete", t.deletePool},
		{"patch", t.patch}, {"refusals", t.refusals}, {"delete", t.delete},
	} {
		start := time.Now()
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, errors.Join(err, t.clean(ctx)))
		}
		o.Log("%-26s %7.2f s", step.name, time.Since(start).Seconds())
	}
	o.Log("%d requests and %d answers are valid", c.counts.requests, c.counts.answers)
	return nil
}

// clean leaves no cluster behind.
func (t *traveller) clean(ctx context.Context) error {
	if t.cluster == "" {
		return nil
	}
	_, err := t.call(ctx, http.MethodDelete, t.path(), nil, http.StatusNoContent, http.StatusNotFound, http.StatusConflict)
	return err
}

func (t *traveller) path() string          { return "/v0/clusters/" + t.cluster }
func (t *traveller) pool(id string) string { return t.path() + "/node_pools/" + id }
func (t *traveller) get(ctx context.Context, path string, into any) error {
	a, err := t.call(ctx, http.MethodGet, path, nil, http.StatusOK)
	if err != nil {
		return err
	}
	return a.into(into)
}

// until polls until done says so.
func (t *traveller) until(ctx context.Context, done func() (bool, string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, t.Patience)
	defer cancel()
	for {
		ok, state, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("still %s after %s", state, t.Patience)
		case <-time.After(t.Pause):
		}
	}
}

// cluster and node pool as far as this client looks at them; the document has looked at the rest.
type (
	status struct {
		State    string
		Message  string
		Messages []string
	}
	cluster struct {
		ID, Name, Version, Description string
		Status                         *status
		AllowedCIDRs                   []string `json:"allowed_cidrs"`
		NodePools                      []pool   `json:"node_pools"`
	}
	pool struct {
		ID, Name         string
		Status           status
		Replicas         int
		Labels           map[string]string
		Taints           []taint
		MaxPodsPerNode   int                                    `json:"max_pods_per_node"`
		InstanceTemplate struct{ Flavor struct{ Name string } } `json:"instance_template"`
	}
	taint struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Effect string `json:"effect"`
	}
)

// choose takes the newest version that is not deprecated and the smallest flavor.
func (t *traveller) choose(ctx context.Context) error {
	var versions struct {
		Results []struct {
			Version    string
			Deprecated bool
		}
	}
	if err := t.get(ctx, "/v1/versions", &versions); err != nil {
		return err
	}
	for _, v := range versions.Results {
		if !v.Deprecated && newer(v.Version, t.version) {
			t.version = v.Version
		}
	}
	type flavor struct {
		Name string
		VCPU int
		RAM  int
	}
	var flavors struct{ Results []struct{ NodePool []flavor } }
	if err := t.get(ctx, "/v1/flavors", &flavors); err != nil {
		return err
	}
	if t.version == "" || len(flavors.Results) == 0 || len(flavors.Results[0].NodePool) == 0 {
		return errors.New("there is no version or no flavor to choose")
	}
	t.flavor = slices.MinFunc(flavors.Results[0].NodePool, func(a, b flavor) int { return a.VCPU*1e6 + a.RAM - b.VCPU*1e6 - b.RAM }).Name
	return nil
}

// newer compares versions such as v1.34.2.
func newer(a, b string) bool {
	parse := func(text string) (n [3]int) {
		_, _ = fmt.Sscanf(text, "v%d.%d.%d", &n[0], &n[1], &n[2])
		return n
	}
	x, y := parse(a), parse(b)
	return slices.Compare(x[:], y[:]) > 0
}
