package mkeapi

import (
	"context"
	"fmt"
	"strconv"

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
	return &answer[clusterByIDResponse]{s.toClusterByID(c)}, nil
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
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) createCluster(ctx context.Context, in *createClusterInput) (*answer[createClusterResponse], error) {
	var problems problem.List
	req, err := decode[clusterRequest](s.registry, in.RawBody, &problems)
	if err != nil {
		return nil, err
	}
	c, err := s.newCluster(ctx, &problems, req, hashOf(in.RawBody))
	if err != nil {
		return nil, err
	}
	if c, err = s.store.CreateCluster(ctx, c); err != nil {
		return nil, err
	}
	created(ctx, c.ID)
	return &answer[createClusterResponse]{createClusterResponse{
		ID: c.ID.String(), Name: c.Name, Status: toStatus(&c.Cluster), AllowedCIDRs: c.AllowedCidrs,
		ClusterIPv4CIDR: c.PodsCidr, ServicesIPv4CIDR: c.ServicesCidr,
	}}, nil
}

// newCluster checks a request in full and turns it into a record.
func (s *Server) newCluster(ctx context.Context, l *problem.List, req *clusterRequest, hash []byte) (*record.Cluster, error) {
	tenant := tenantOf(ctx)
	checkName(l, "name", req.Name)
	checkDescription(l, req.Description)
	s.checkVersion(l, "version", req.Version)
	checkAllowedCIDRs(l, req.AllowedCIDRs)
	s.checkNodePools(l, req.NodePools)
	pods, services := or(req.ClusterIPv4CIDR, defaultPodsCIDR), or(req.ServicesIPv4CIDR, defaultServicesCIDR)
	cidrs := checkClusterCIDRs(l, pods, services)
	nodes := int64(0)
	for i := range req.NodePools {
		nodes += req.NodePools[i].mostNodes()
	}
	cidrs.checkRoom(l, "cluster_ipv4_cidr", nodes)
	c := &record.Cluster{Cluster: db.Cluster{
		ID: uuid.New(), TenantID: tenant, Name: req.Name, Description: or(req.Description, ""), Region: s.region,
		Version: or(req.Version, s.catalog.LatestVersion()), AllowedCidrs: append([]string{}, req.AllowedCIDRs...),
		PodsCidr: pods, ServicesCidr: services, ControlPlaneFlavor: catalog.DefaultControlPlaneFlavor,
		ControlPlaneReplicas: controlPlaneReplicas, Cni: cniOf(req.CNI), RequestHash: hash, CreatedAt: record.Now(), Revision: 1,
	}}
	if err := s.place(ctx, l, c, req, cidrs); err != nil {
		if l.Err() != nil {
			return nil, l.Err()
		}
		s.log.Warn("ask the cloud for subnets", "error", err)
		return nil, problem.New(problem.CloudUnavailable)
	}
	if l.Err() == nil {
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
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) patchCluster(ctx context.Context, in *patchClusterInput) (*answer[patchClusterResponse], error) {
	id, err := parseID(in.ClusterID, problem.ClusterNotFound)
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
	c, err := s.store.PatchCluster(ctx, tenantOf(ctx), id, func(c *db.Cluster) error {
		if v := or(req.Version, c.Version); v != c.Version {
			checkClusterUpgrade(&l, c, v)
			c.Version = v
		}
		c.Description = or(req.Description, c.Description)
		if req.AllowedCIDRs != nil {
			c.AllowedCidrs = append([]string{}, *req.AllowedCIDRs...)
		}
		return l.Err()
	})
	if err != nil {
		return nil, err
	}
	return &answer[patchClusterResponse]{patchClusterResponse{c.AllowedCidrs, c.Description, c.Version}}, nil
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
	DeleteVolumes string `query:"delete_volumes" doc:"true deletes also the volumes and snapshots that the cluster made, false (the default) keeps them. Our extension; load balancers of Services always go"`
}

func (in *deleteClusterInput) deleteVolumes() (bool, error) {
	if in.DeleteVolumes == "" {
		return false, nil
	}
	yes, err := strconv.ParseBool(in.DeleteVolumes)
	if err != nil {
		var l problem.List
		l.Add("delete_volumes", problem.WrongType, "boolean")
		return false, l.Err()
	}
	return yes, nil
}

func (s *Server) deleteCluster(ctx context.Context, in *deleteClusterInput) (*nothing, error) {
	id, err := parseID(in.ClusterID, problem.ClusterNotFound)
	if err != nil {
		return nil, err
	}
	deleteVolumes, err := in.deleteVolumes()
	if err != nil {
		return nil, err
	}
	return nil, s.store.DeleteCluster(ctx, tenantOf(ctx), id, deleteVolumes)
}
