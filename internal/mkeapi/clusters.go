package mkeapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

const controlPlaneReplicas = 1

// Network plugins.
const (
	cniCalico = "calico"
	cniNone   = "none"
)

func (s *Server) getCluster(ctx context.Context, in *ClusterPath) (*answer[clusterByIDResponse], error) {
	c, err := s.cluster(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	r := s.toClusterByID(c)
	r.Cost = s.prices.Estimate(costItems(c))
	return &answer[clusterByIDResponse]{r}, nil
}

// cluster returns the tenant's cluster of a path.
func (s *Server) cluster(ctx context.Context, id string) (*record.Cluster, error) {
	parsed, err := parseID(id, problem.ClusterNotFound)
	if err != nil {
		return nil, err
	}
	return s.store.GetCluster(ctx, tenantOf(ctx), parsed)
}

type createClusterInput struct {
	DryRun
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) createCluster(ctx context.Context, in *createClusterInput) (*outcome, error) {
	a, err := s.attempt(in.DryRun)
	if err != nil {
		return nil, err
	}
	var problems problem.List
	req, err := decode[clusterRequest](s.registry, in.RawBody, &problems)
	if err != nil {
		return nil, err
	}
	c, err := s.newCluster(ctx, &problems, req, hashOf(in.RawBody))
	if err != nil {
		return nil, err
	}
	if err := a.takeStock(ctx); err != nil {
		return nil, err
	}
	if c, err = a.store.CreateCluster(ctx, c, a.admit); err != nil {
		return nil, err
	}
	if !a.dry {
		created(ctx, c.ID)
	}
	body := createClusterResponse{
		ID: c.ID.String(), Name: c.Name, Status: toStatus(&c.Cluster), AllowedCIDRs: c.AllowedCidrs,
		ClusterIPv4CIDR: c.PodsCidr, ServicesIPv4CIDR: c.ServicesCidr,
	}
	return a.outcome(ctx, http.StatusCreated, body, func() *planResponse {
		return s.plan(record.CreateCluster, planCluster(planCreate, c), a.after, a.stock, nil, costItems(c))
	})
}

// newCluster checks a request in full and turns it into a record.
func (s *Server) newCluster(ctx context.Context, l *problem.List, req *clusterRequest, hash []byte) (*record.Cluster, error) {
	tenant, cidrs := tenantOf(ctx), s.checkCluster(l, req)
	c := &record.Cluster{Cluster: db.Cluster{
		ID: uuid.New(), TenantID: tenant, Name: req.Name, Description: or(req.Description, ""), Region: s.region,
		Version: or(req.Version, s.catalog.LatestVersion()), AllowedCidrs: append([]string{}, req.AllowedCIDRs...),
		PodsCidr: req.podsCIDR(), ServicesCidr: req.servicesCIDR(),
		ControlPlaneReplicas: controlPlaneReplicas, Cni: cniOf(req.CNI), RequestHash: hash, CreatedAt: record.Now(), Revision: 1,
		DeletionProtection: or(req.DeletionProtection, false),
	}}
	if err := s.place(ctx, l, c, req, cidrs); err != nil {
		if l.Err() != nil {
			return nil, l.Err()
		}
		s.log.Warn("ask the cloud for subnets", "error", err)
		return nil, problem.New(problem.CloudUnavailable)
	}
	if l.Err() == nil {
		c.ControlPlaneFlavor = catalog.ControlPlaneFlavor(db.MostNodes(c.Pools))
		return c, nil
	}
	// One answer names all problems, so also a taken name, which otherwise the database finds.
	if taken, err := s.store.HasCluster(ctx, tenant, req.Name); err == nil && taken {
		l.Add("name", problem.ClusterExists, req.Name)
	}
	return nil, l.Err()
}

func cniOf(requested *string) string {
	if or(requested, "") == cniNone {
		return cniNone
	}
	return cniCalico
}

// place decides about the subnets of the cluster and its pools. It returns an error only if the cloud cannot be asked.
func (s *Server) place(ctx context.Context, l *problem.List, c *record.Cluster, req *clusterRequest, cidrs clusterCIDRs) error {
	var n *Network
	var err error
	if req.Network != nil {
		n, err = s.resolveSubnets(ctx, l, "network", c.TenantID, req.Network.SubnetIDs)
	} else {
		n, err = s.cloud.DefaultNetwork(ctx, c.TenantID)
	}
	if err != nil || n == nil {
		return err
	}
	cidrs.checkOverlap(l, n.Subnets)
	c.VpcID, c.Subnets = n.VPCID, n.Subnets
	for i := range req.NodePools {
		p := &req.NodePools[i]
		subnets, err := s.poolSubnets(ctx, l, fmt.Sprintf("node_pools[%d].", i), c.TenantID, p, n)
		if err != nil {
			return err
		}
		cidrs.checkOverlap(l, subnets)
		if l.Err() == nil {
			c.Pools = append(c.Pools, newNodePool(&c.Cluster, p, subnets, nil))
		}
	}
	return nil
}

type patchClusterInput struct {
	ClusterPath
	DryRun
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) patchCluster(ctx context.Context, in *patchClusterInput) (*outcome, error) {
	id, err := parseID(in.ClusterID, problem.ClusterNotFound)
	if err != nil {
		return nil, err
	}
	a, err := s.attempt(in.DryRun)
	if err != nil {
		return nil, err
	}
	var l problem.List
	req, err := decode[patchClusterRequest](s.registry, in.RawBody, &l)
	if err != nil {
		return nil, err
	}
	checkDescription(&l, req.Description)
	s.checkVersion(&l, "version", req.Version)
	if req.AllowedCIDRs != nil {
		checkAllowedCIDRs(&l, *req.AllowedCIDRs)
	}
	var before db.Cluster
	c, err := a.store.PatchCluster(ctx, tenantOf(ctx), id, func(c *db.Cluster) error {
		before = *c
		if v := or(req.Version, c.Version); v != c.Version {
			checkClusterUpgrade(&l, c, v)
			c.Version = v
		}
		c.Description = or(req.Description, c.Description)
		c.DeletionProtection = or(req.Protection, c.DeletionProtection)
		if req.AllowedCIDRs != nil {
			c.AllowedCidrs = append([]string{}, *req.AllowedCIDRs...)
		}
		return l.Err()
	})
	if err != nil {
		return nil, err
	}
	if a.dry {
		return s.planPatchedCluster(ctx, &before, c)
	}
	return &outcome{http.StatusOK, patchClusterResponse{c.AllowedCidrs, c.Description, c.Version, c.DeletionProtection}}, nil
}

func (s *Server) planPatchedCluster(ctx context.Context, before, after *db.Cluster) (*outcome, error) {
	present, err := s.store.GetCluster(ctx, after.TenantID, after.ID)
	if err != nil {
		return nil, err
	}
	usage, err := s.store.GetUsage(ctx, after.TenantID)
	if err != nil {
		return nil, err
	}
	stock, err := s.stock(ctx)
	if err != nil {
		return nil, err
	}
	cost := costItems(present)
	return &outcome{http.StatusOK, s.plan(record.UpdateCluster, planClusterUpdate(before, after), usage, stock, cost, cost)}, nil
}

func checkClusterUpgrade(l *problem.List, c *db.Cluster, to string) {
	if l.Has("version") {
		return
	}
	if !catalog.CanUpgrade(c.Version, to) {
		l.Add("version", problem.UpgradePath, c.Version, to)
	} else if c.State != record.StateRunning {
		l.Add("version", problem.ClusterNotRunning)
	}
}

type deleteClusterInput struct {
	ClusterPath
	DryRun
	DeleteVolumes string `query:"delete_volumes" doc:"true deletes also the volumes and snapshots that the cluster made, false (the default) keeps them. Our extension; load balancers of Services always go"`
}

func (s *Server) deleteCluster(ctx context.Context, in *deleteClusterInput) (*outcome, error) {
	id, err := parseID(in.ClusterID, problem.ClusterNotFound)
	if err != nil {
		return nil, err
	}
	deleteVolumes, err := parseSwitch("delete_volumes", in.DeleteVolumes)
	if err != nil {
		return nil, err
	}
	a, err := s.attempt(in.DryRun)
	if err != nil {
		return nil, err
	}
	if err := a.store.DeleteCluster(ctx, tenantOf(ctx), id, deleteVolumes); err != nil {
		return nil, err
	}
	if a.dry {
		return s.planDeletedCluster(ctx, id, deleteVolumes)
	}
	return &outcome{Status: http.StatusNoContent}, nil
}

func (s *Server) planDeletedCluster(ctx context.Context, id uuid.UUID, deleteVolumes bool) (*outcome, error) {
	c, err := s.store.GetCluster(ctx, tenantOf(ctx), id)
	if err != nil {
		return nil, err
	}
	objects, err := s.objects(ctx, c)
	if err != nil {
		return nil, err
	}
	usage, err := s.store.UsageWithout(ctx, c.TenantID, id, nil)
	if err != nil {
		return nil, err
	}
	stock, err := s.stock(ctx)
	if err != nil {
		return nil, err
	}
	changes, before, after := planObjects(objects, deleteVolumes)
	stock.remove(changes, objects)
	changes = append(planCluster(planDelete, c), changes...)
	return &outcome{http.StatusOK, s.plan(record.DeleteCluster, changes, usage, stock, append(costItems(c), before...), after)}, nil
}
