package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

type status struct {
	State    string   `json:"state"`
	Message  string   `json:"message"`
	Messages []string `json:"messages"`
}

type cluster struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	Status    status    `json:"status"`
}

type autoScale struct {
	Min *int `json:"min_replicas"`
	Max *int `json:"max_replicas"`
}

type nodePool struct {
	ID               string     `json:"id"`
	Name             string     `json:"name"`
	Flavor           string     `json:"flavor"`
	Replicas         int        `json:"replicas"`
	AutoScale        *autoScale `json:"auto_scale"`
	Status           status     `json:"status"`
	InstanceTemplate struct {
		Flavor struct {
			Name string `json:"name"`
		} `json:"flavor"`
	} `json:"instance_template"`
}

type node struct {
	Name      string    `json:"name"`
	Flavor    string    `json:"flavor"`
	CreatedAt time.Time `json:"created_at"`
	Status    status    `json:"status"`
	Addresses []struct {
		Address string `json:"address"`
		Type    string `json:"type"`
	} `json:"addresses"`
	Infrastructure struct {
		KubeletVersion string `json:"kubeletVersion"`
	} `json:"infrastructure"`
}

type flavor struct {
	Name string `json:"name"`
	VCPU int    `json:"vcpu"`
	RAM  int    `json:"ram"`  // MB
	Size int    `json:"size"` // GB
}

type flavors struct {
	NodePool     []flavor `json:"nodepool"`
	ControlPlane []flavor `json:"controlplane"`
}

type kubernetesVersion struct {
	Version    string `json:"version"`
	Deprecated bool   `json:"deprecated"`
	Minimum    struct {
		Disk int `json:"disk"`
		RAM  int `json:"ram"`
		VCPU int `json:"vcpu"`
	} `json:"minimumRequirements"`
}

type quota struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Limit       int64  `json:"limit"`
	Used        int64  `json:"used"`
}

type results[T any] struct {
	Results []T `json:"results"`
}

// items reads a list answer, or a single object as a list of one.
func items[T any](body []byte) ([]T, error) {
	var shape struct {
		Results json.RawMessage `json:"results"`
	}
	if err := decode(body, &shape); err != nil {
		return nil, err
	}
	if shape.Results == nil {
		var one T
		err := decode(body, &one)
		return []T{one}, err
	}
	var list []T
	err := decode(shape.Results, &list)
	return list, err
}

// rows makes a view out of the columns' titles and the cells of one item; a title that ends in ~ may be cut short.
func rows[T any](titles []string, cells func(a *app, item T) []string) view {
	return func(a *app, body []byte) (*grid, error) {
		list, err := items[T](body)
		if err != nil {
			return nil, err
		}
		g := &grid{}
		for _, t := range titles {
			title, cut := strings.CutSuffix(t, "~")
			g.columns = append(g.columns, column{title, cut})
		}
		for _, item := range list {
			g.add(cells(a, item)...)
		}
		return g, nil
	}
}

var clusterView = rows([]string{"name~", "id", "state~", "version", "age"}, func(a *app, c cluster) []string {
	return []string{c.Name, c.ID, c.Status.State, c.Version, a.age(c.CreatedAt)}
})

var nodePoolView = rows([]string{"name~", "id", "flavor~", "nodes", "scale", "state~"}, func(_ *app, p nodePool) []string {
	return []string{p.Name, p.ID, firstOf(p.Flavor, p.InstanceTemplate.Flavor.Name), strconv.Itoa(p.Replicas), p.AutoScale.String(), p.Status.State}
})

var nodeView = rows([]string{"name~", "state~", "version", "address", "flavor~", "age"}, func(a *app, n node) []string {
	address := ""
	for _, ad := range n.Addresses {
		if ad.Type == "InternalIP" {
			address = ad.Address
			break
		}
	}
	return []string{n.Name, n.Status.State, n.Infrastructure.KubeletVersion, address, n.Flavor, a.age(n.CreatedAt)}
})

var versionView = rows([]string{"version", "deprecated", "min vcpu", "min ram gb", "min disk gb"}, func(_ *app, v kubernetesVersion) []string {
	return []string{v.Version, strconv.FormatBool(v.Deprecated), strconv.Itoa(v.Minimum.VCPU), strconv.Itoa(v.Minimum.RAM), strconv.Itoa(v.Minimum.Disk)}
})

var quotaView = rows([]string{"name", "used", "limit", "of~"}, func(_ *app, q quota) []string {
	return []string{q.Name, strconv.FormatInt(q.Used, 10), strconv.FormatInt(q.Limit, 10), q.Description}
})

// flavorView shows both lists of the answer as one.
func flavorView(_ *app, body []byte) (*grid, error) {
	list, err := items[flavors](body)
	if err != nil {
		return nil, err
	}
	g := &grid{columns: []column{{"name", false}, {"vcpu", false}, {"ram mb", false}, {"disk gb", false}, {"for", true}}}
	for _, f := range list {
		control := map[string]bool{}
		for _, c := range f.ControlPlane {
			control[c.Name] = true
		}
		for _, n := range f.NodePool {
			use := "node pools"
			if control[n.Name] {
				use = "node pools, control planes"
				delete(control, n.Name)
			}
			g.add(n.cells(use)...)
		}
		for _, c := range f.ControlPlane {
			if control[c.Name] {
				g.add(c.cells("control planes")...)
			}
		}
	}
	return g, nil
}

func (f flavor) cells(use string) []string {
	return []string{f.Name, strconv.Itoa(f.VCPU), strconv.Itoa(f.RAM), strconv.Itoa(f.Size), use}
}

func (s *autoScale) String() string {
	if s == nil || s.Min == nil || s.Max == nil || *s.Min == *s.Max {
		return ""
	}
	return fmt.Sprintf("%d-%d", *s.Min, *s.Max)
}

func (s status) text() string {
	message := s.Message
	if message == "" && len(s.Messages) > 0 {
		message = s.Messages[0]
	}
	if message == "" || message == s.State {
		return s.State
	}
	return s.State + ": " + message
}

// age is the time since t in the largest unit that fits, as kubectl writes it.
func (a *app) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := max(a.now().Sub(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
