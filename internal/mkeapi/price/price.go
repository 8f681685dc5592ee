// Package price estimates what the machines and other objects cost that clusters have in the cloud.
package price

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"

	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/catalog"
)

// hoursPerMonth is what clouds usually count with: 365 days in 12 months.
const hoursPerMonth = 730

//go:embed example.yaml
var example []byte

// Table has prices per hour.
type Table struct {
	Example      bool               `json:"example"` // the numbers are made up
	Currency     string             `json:"currency"`
	Flavors      map[string]float64 `json:"flavors"`      // of a machine
	VolumeTypes  map[string]float64 `json:"volume_types"` // of a GiB
	LoadBalancer float64            `json:"load_balancer"`
	PublicIP     float64            `json:"public_ip"`
}

// Load reads a table from a file, by default the example. It must have a price for every flavor that is sold;
// a hollow one costs as much as the regular one of its size unless it has a price of its own.
func Load(file string, sold []catalog.Flavor) (*Table, error) {
	raw := example
	if file != "" {
		var err error
		if raw, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return parse(raw, sold)
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

func parse(raw []byte, sold []catalog.Flavor) (*Table, error) {
	var t Table
	if err := yaml.UnmarshalStrict(raw, &t); err != nil {
		return nil, err
	}
	if !currency.MatchString(t.Currency) {
		return nil, fmt.Errorf("currency: %q is not a code of three capital letters such as BRL", t.Currency)
	}
	for _, f := range sold {
		if twin, has := t.Flavors[f.Regular()]; has && !t.has(f.Name) {
			t.Flavors[f.Name] = twin
		}
		if !t.has(f.Name) {
			return nil, fmt.Errorf("flavors: the price of %s is missing", f.Name)
		}
	}
	for name, p := range t.Flavors {
		if !valid(p) {
			return nil, fmt.Errorf("flavors.%s: %v is not a price", name, p)
		}
	}
	for name, p := range t.VolumeTypes {
		if !valid(p) {
			return nil, fmt.Errorf("volume_types.%s: %v is not a price", name, p)
		}
	}
	if !valid(t.LoadBalancer) || !valid(t.PublicIP) {
		return nil, fmt.Errorf("load_balancer and public_ip must be prices")
	}
	return &t, nil
}

func (t *Table) has(flavor string) bool {
	_, has := t.Flavors[flavor]
	return has
}

func valid(p float64) bool { return p >= 0 && !math.IsInf(p, 0) }

// Kinds of items.
const (
	ControlPlane = "ControlPlane"
	Node         = "Node"
	LoadBalancer = "LoadBalancer"
	PublicIP     = "PublicIP"
	Volume       = "Volume"
)

// Item is a part of an Estimate.
type Item struct {
	Kind       string  `json:"kind" enum:"ControlPlane,Node,LoadBalancer,PublicIP,Volume"`
	Name       string  `json:"name" doc:"Of the node pool or object"`
	Type       string  `json:"type,omitempty" doc:"Flavor, or type of the volume"`
	Quantity   int64   `json:"quantity" doc:"Number of machines or objects; GiB of a volume"`
	UnitHourly float64 `json:"unit_hourly"`
	Hourly     float64 `json:"hourly"`
}

// Estimate is what something costs.
type Estimate struct {
	Currency string   `json:"currency"`
	Hourly   float64  `json:"hourly"`
	Monthly  float64  `json:"monthly" doc:"730 hours"`
	Items    []Item   `json:"items" nullable:"false"`
	Unpriced []string `json:"unpriced,omitempty" nullable:"false" doc:"Flavors and types of volumes that have no price and are not in the sums"`
	Example  bool     `json:"example,omitempty" doc:"The prices are made up"`
}

// Estimate adds the items up; of each, kind, name, type and quantity count.
func (t *Table) Estimate(items []Item) *Estimate {
	e := &Estimate{Currency: t.Currency, Example: t.Example, Items: []Item{}}
	sum := 0.0
	for _, i := range items {
		unit, has := t.unit(i)
		if !has {
			e.Unpriced = append(e.Unpriced, i.Type)
			continue
		}
		cost := unit * float64(i.Quantity)
		i.UnitHourly, i.Hourly = unit, Round(cost, 4)
		e.Items = append(e.Items, i)
		sum += cost
	}
	e.Hourly, e.Monthly = Round(sum, 4), Round(sum*hoursPerMonth, 2)
	return e
}

func (t *Table) unit(i Item) (price float64, has bool) {
	switch i.Kind {
	case LoadBalancer:
		return t.LoadBalancer, true
	case PublicIP:
		return t.PublicIP, true
	case Volume:
		price, has = t.VolumeTypes[i.Type]
	default:
		price, has = t.Flavors[i.Type]
	}
	return price, has
}

// PerHour is the price of a machine as a decimal number, empty if there is none.
func (t *Table) PerHour(flavor string) string {
	price, has := t.Flavors[flavor]
	if !has {
		return ""
	}
	return strconv.FormatFloat(price, 'f', -1, 64)
}

// Round rounds an amount of money to a number of decimals.
func Round(x float64, decimals int) float64 {
	to := math.Pow10(decimals)
	return math.Round(x*to) / to
}
