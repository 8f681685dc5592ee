package mkeapi

import (
	"context"

	"golang.org/x/sync/errgroup"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/owned"
	"magalu.cloud/mke/internal/problem"
)

// Inventory counts what is in the cloud.
type Inventory interface {
	Stock(ctx context.Context, tenant string) (*Stock, error)
}

// Stock is what a tenant has in the cloud, whoever made it.
type Stock struct {
	APIs          int64 // load balancers of clusters' API servers, each with its public IP
	LoadBalancers int64 // others
	PublicIPs     int64 // others
	Volumes       int64
	VolumeGiB     int64
}

// stock asks the cloud. It returns nil if there is nobody to ask.
func (s *Server) stock(ctx context.Context) (*Stock, error) {
	if s.inventory == nil {
		return nil, nil
	}
	stock, err := s.inventory.Stock(ctx, tenantOf(ctx))
	if err != nil {
		s.log.Warn("ask the cloud what a tenant has", "error", err)
		return nil, problem.New(problem.CloudUnavailable)
	}
	return stock, nil
}

// Stock lists the tenant's load balancers, public IPs and volumes at the same time.
func (c *cloudClient) Stock(ctx context.Context, tenant string) (*Stock, error) {
	client, err := c.client(tenant)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cloudTimeout)
	defer cancel()
	var balancers []mgc.LoadBalancer
	var addresses []mgc.PublicIP
	var volumes []mgc.Volume
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { balancers, err = client.LoadBalancer.List(ctx); return err })
	group.Go(func() (err error) { addresses, err = client.Network.ListPublicIPs(ctx); return err })
	group.Go(func() (err error) { volumes, err = client.Volume.List(ctx, ""); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return count(balancers, addresses, volumes), nil
}

func count(balancers []mgc.LoadBalancer, addresses []mgc.PublicIP, volumes []mgc.Volume) *Stock {
	var s Stock
	ofAPIs, others := map[string]bool{}, map[string]bool{} // public IPs, of which the network may list those of load balancers
	for i := range balancers {
		lb, list := &balancers[i], others
		switch {
		case lb.Status == mgc.LoadBalancerDeleted:
			continue
		case owned.APILoadBalancer(lb):
			s.APIs++
			list = ofAPIs
		default:
			s.LoadBalancers++
		}
		if lb.PublicIP != nil {
			list[lb.PublicIP.ID] = true
		}
	}
	for _, ip := range addresses {
		if !ofAPIs[ip.ID] {
			others[ip.ID] = true
		}
	}
	s.PublicIPs = int64(len(others))
	for _, v := range volumes {
		if v.State != mgc.StorageDeleted {
			s.Volumes++
			s.VolumeGiB += int64(v.Size)
		}
	}
	return &s
}

// remove takes out what the deletion of a cluster takes.
func (s *Stock) remove(changes []planChange, objects []CloudObject) {
	if s == nil {
		return
	}
	s.APIs = max(0, s.APIs-1)
	for i, o := range objects { // each has a change, in the same order
		switch {
		case changes[i].Action != planDelete:
		case o.Kind == kindBalancer:
			s.LoadBalancers--
		case o.Kind == kindPublicIP:
			s.PublicIPs--
		case o.Kind == kindVolume:
			s.Volumes--
			s.VolumeGiB -= int64(o.SizeGiB)
		}
	}
}
