package mkeapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mkeapi/db"
)

// Network is where a cluster lives.
type Network struct {
	VPCID   string
	Subnets []db.Subnet // one per zone, in the order of zones
}

// Subnet is a subnet with the VPC that it belongs to.
type Subnet struct {
	db.Subnet
	VPCID string
}

// Cloud is what the API asks of the cloud.
type Cloud interface {
	// DefaultNetwork returns the tenant's default VPC with its first subnet of every zone.
	DefaultNetwork(ctx context.Context, tenant string) (*Network, error)
	// Subnet returns a subnet of the tenant, nil if the cloud says that it does not exist.
	Subnet(ctx context.Context, tenant, id string) (*Subnet, error)
	// Objects returns what a cluster of the tenant made in the cloud for what runs in it.
	Objects(ctx context.Context, tenant, clusterID string) ([]CloudObject, error)
}

const (
	cloudTimeout = 10 * time.Second
	// defaultNetworkTTL bounds how long a tenant's default network is remembered; its subnets hardly ever change.
	defaultNetworkTTL = 30 * time.Second
	defaultVPCName    = "vpc_default"
)

// cloudClient asks the cloud with the platform's key on behalf of tenants.
type cloudClient struct {
	config mgc.Config
	region string

	mu       sync.Mutex
	defaults map[string]cachedNetwork
}

type cachedNetwork struct {
	network *Network
	until   time.Time
}

// CloudClient is a Cloud that can also count and tell who signs in.
type CloudClient interface {
	Cloud
	Inventory
	SignIns
}

// NewCloud returns a CloudClient that calls the cloud's products.
func NewCloud(endpoint, caFile, apiKey, region string) (CloudClient, error) {
	hc, err := mgc.NewHTTPClient(caFile)
	if err != nil {
		return nil, err
	}
	return newCloud(mgc.Config{Endpoint: endpoint, APIKey: apiKey, UserAgent: "mke-api", HTTPClient: hc}, region)
}

func newCloud(config mgc.Config, region string) (CloudClient, error) {
	if _, err := mgc.New(config); err != nil {
		return nil, err
	}
	return &cloudClient{config: config, region: region, defaults: map[string]cachedNetwork{}}, nil
}

func (c *cloudClient) client(tenant string) (*mgc.Client, error) {
	config := c.config
	config.TenantID = tenant
	return mgc.New(config)
}

func (c *cloudClient) DefaultNetwork(ctx context.Context, tenant string) (*Network, error) {
	c.mu.Lock()
	cached := c.defaults[tenant]
	c.mu.Unlock()
	if time.Now().Before(cached.until) {
		return cached.network, nil
	}
	ctx, cancel := context.WithTimeout(ctx, cloudTimeout)
	defer cancel()
	n, err := c.findDefaultNetwork(ctx, tenant)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.defaults[tenant] = cachedNetwork{n, time.Now().Add(defaultNetworkTTL)}
	return n, nil
}

func (c *cloudClient) findDefaultNetwork(ctx context.Context, tenant string) (*Network, error) {
	client, err := c.client(tenant)
	if err != nil {
		return nil, err
	}
	vpcs, err := client.Network.ListVPCs(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(vpcs, func(v mgc.VPC) bool { return v.IsDefault || v.Name == defaultVPCName })
	if i < 0 {
		return nil, errors.New("the tenant has no default VPC")
	}
	found, err := client.Network.ListSubnets(ctx, vpcs[i].ID)
	if err != nil {
		return nil, err
	}
	n := &Network{VPCID: vpcs[i].ID}
	zones := map[string]bool{}
	for _, sn := range found {
		detail, err := client.Network.GetSubnet(ctx, sn.ID) // only the detail has the zone
		if err != nil {
			return nil, err
		}
		s := c.toSubnet(detail)
		if !zones[s.Zone] {
			zones[s.Zone] = true
			n.Subnets = append(n.Subnets, s.Subnet)
		}
	}
	if len(n.Subnets) == 0 {
		return nil, errors.New("the tenant's default VPC has no subnet")
	}
	sortByZone(n.Subnets)
	return n, nil
}

func (c *cloudClient) Subnet(ctx context.Context, tenant, id string) (*Subnet, error) {
	client, err := c.client(tenant)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cloudTimeout)
	defer cancel()
	found, err := client.Network.GetSubnet(ctx, id)
	if mgc.IsNotFound(err) || isStatus(err, http.StatusForbidden) { // another tenant's subnet does not exist for this one
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.toSubnet(found), nil
}

func isStatus(err error, status int) bool {
	var e *mgc.Error
	return errors.As(err, &e) && e.StatusCode == status
}

// toSubnet gives the zone its full name; the network product uses letters.
func (c *cloudClient) toSubnet(s *mgc.Subnet) *Subnet {
	zone := s.Zone
	if !strings.Contains(zone, "-") {
		zone = c.region + "-" + zone
	}
	return &Subnet{Subnet: db.Subnet{ID: s.ID, Zone: zone, CIDR: s.CIDRBlock}, VPCID: s.VPCID}
}

func sortByZone(subnets []db.Subnet) {
	slices.SortFunc(subnets, func(a, b db.Subnet) int { return cmp.Compare(a.Zone, b.Zone) })
}
