package mkeapi

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// newNodePool turns a checked request into a record.
func newNodePool(c *db.Cluster, req *nodePoolRequest, subnets []db.Subnet, hash []byte) db.NodePool {
	p := db.NodePool{
		ID: uuid.New(), ClusterID: c.ID, Name: req.Name, Flavor: req.Flavor, Version: c.Version,
		InitialReplicas: int32(*req.Replicas), Replicas: int32(*req.Replicas), MaxPods: int32(or(req.MaxPodsPerNode, maxMaxPods)),
		Labels: map[string]string{}, Taints: []db.Taint{}, Tags: append([]string{}, req.Tags...), Subnets: subnets,
		RequestHash: append([]byte{}, hash...), CreatedAt: record.Now(), Revision: 1,
	}
	maps.Copy(p.Labels, req.Labels)
	for _, t := range req.Taints {
		p.Taints = append(p.Taints, db.Taint(t))
	}
	setAutoScale(&p, req.AutoScale)
	return p
}

// setAutoScale takes over the bounds; null ones come from the number of nodes. Two nulls make a pool of fixed size.
func setAutoScale(p *db.NodePool, a *autoScaleRequest) {
	if a == nil {
		return
	}
	if a.MinReplicas == nil && a.MaxReplicas == nil {
		p.MinReplicas, p.MaxReplicas = nil, nil
		return
	}
	lowest, highest := int32(or(a.MinReplicas, int64(p.Replicas))), int32(or(a.MaxReplicas, int64(p.Replicas)))
	p.MinReplicas, p.MaxReplicas = &lowest, &highest
}

func (s *Server) listNodePools(ctx context.Context, in *struct {
	ClusterPath
	Page
}) (*answer[results[nodePoolItem]], error) {
	id, err := parseID(in.ClusterID, problem.ClusterNotFound)
	if err != nil {
		return nil, err
	}
	limit, offset, err := in.parse()
	if err != nil {
		return nil, err
	}
	pools, err := s.store.ListNodePools(ctx, tenantOf(ctx), id, limit, offset)
	if err != nil {
		return nil, err
	}
	items := make([]nodePoolItem, len(pools))
	for i := range pools {
		items[i] = toNodePoolItem(&pools[i])
	}
	return &answer[results[nodePoolItem]]{results[nodePoolItem]{items}}, nil
}

// parse reads both ids of a node pool's path.
func (p NodePoolPath) parse() (cluster, pool uuid.UUID, err error) {
	if cluster, err = parseID(p.ClusterID, problem.ClusterNotFound); err != nil {
		return
	}
	pool, err = parseID(p.NodePoolID, problem.NodePoolNotFound)
	return
}

func (s *Server) getNodePool(ctx context.Context, in *NodePoolPath) (*answer[nodePoolResponse], error) {
	clusterID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	c, p, err := s.store.GetNodePool(ctx, tenantOf(ctx), clusterID, id)
	if err != nil {
		return nil, err
	}
	r := s.toNodePool(c, p)
	r.Cost = s.prices.Estimate([]price.Item{poolCost(p)})
	return &answer[nodePoolResponse]{r}, nil
}

type createNodePoolInput struct {
	ClusterPath
	DryRun
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) createNodePool(ctx context.Context, in *createNodePoolInput) (*outcome, error) {
	c, err := s.cluster(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	a, err := s.attempt(in.DryRun)
	if err != nil {
		return nil, err
	}
	var l problem.List
	req, err := decode[nodePoolRequest](s.registry, in.RawBody, &l)
	if err != nil {
		return nil, err
	}
	s.checkNodePool(&l, "", req)
	subnets, err := s.poolSubnets(ctx, &l, "", c.TenantID, req, &Network{c.VpcID, c.Subnets})
	if err != nil && l.Err() == nil {
		s.log.Warn("ask the cloud for subnets", "error", err)
		return nil, problem.New(problem.CloudUnavailable)
	}
	cidrs := checkClusterCIDRs(&problem.List{}, c.PodsCidr, c.ServicesCidr)
	cidrs.checkOverlap(&l, subnets)
	cidrs.checkRoom(&l, "replicas", req.mostNodes()+db.MostNodes(c.Pools))
	if err := l.Err(); err != nil {
		for _, p := range c.Pools {
			if p.Name == req.Name {
				l.Add("name", problem.NodePoolExists, req.Name)
			}
		}
		return nil, l.Err()
	}
	pool := newNodePool(&c.Cluster, req, subnets, hashOf(in.RawBody))
	p, err := a.store.CreateNodePool(ctx, c.TenantID, &pool, a.admit)
	if err != nil {
		return nil, err
	}
	if !a.dry {
		created(ctx, p.ID)
	}
	return a.outcome(ctx, http.StatusCreated, s.toNodePool(&c.Cluster, p), func() *planResponse {
		changes, before, after := planGrowth(&c.Cluster, append(c.Pools, *p))
		return s.plan(record.CreateNodePool, append(planNodePool(planCreate, p), changes...), a.after, a.stock, before, append(after, poolCost(p)))
	})
}

type patchNodePoolInput struct {
	NodePoolPath
	DryRun
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) patchNodePool(ctx context.Context, in *patchNodePoolInput) (*outcome, error) {
	clusterID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	a, err := s.attempt(in.DryRun)
	if err != nil {
		return nil, err
	}
	var l problem.List
	req, err := decode[patchNodePoolRequest](s.registry, in.RawBody, &l, "replicas")
	if err != nil {
		return nil, err
	}
	checkReplicas(&l, "replicas", req.Replicas)
	s.checkVersion(&l, "version", req.Version)
	present, err := s.store.GetCluster(ctx, tenantOf(ctx), clusterID)
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(present.Pools, func(p db.NodePool) bool { return p.ID == id })
	var before db.NodePool
	var clusterBefore db.Cluster
	c, p, err := a.store.PatchNodePool(ctx, tenantOf(ctx), clusterID, id, a.admit, func(c *db.Cluster, p *db.NodePool) error {
		before, clusterBefore = *p, *c
		s.changeNodePool(&l, c, p, req)
		checkClusterCIDRs(&problem.List{}, c.PodsCidr, c.ServicesCidr).checkRoom(&l, "replicas", db.MostNodes(append(others, *p)))
		return l.Err()
	})
	if err != nil {
		return nil, err
	}
	return a.outcome(ctx, http.StatusOK, s.toNodePool(c, p), func() *planResponse {
		changes, was, is := planGrowth(&clusterBefore, append(others, *p))
		return s.plan(record.UpdateNodePool, append(planNodePoolUpdate(&before, p), changes...), a.after, a.stock,
			append(was, poolCost(&before)), append(is, poolCost(p)))
	})
}

func (s *Server) changeNodePool(l *problem.List, c *db.Cluster, p *db.NodePool, req *patchNodePoolRequest) {
	if f := or(req.Flavor, p.Flavor); f != p.Flavor {
		s.checkFlavor(l, "flavor", f)
		p.Flavor = f
	}
	if v := or(req.Version, p.Version); v != p.Version {
		checkPoolUpgrade(l, c, p, v)
		p.Version = v
	}
	checkAutoScale(l, "", req.AutoScale, autoScaleReplicas(p, req))
	if l.Err() != nil {
		return
	}
	setReplicas(p, req.Replicas)
	setAutoScale(p, req.AutoScale)
	if p.MinReplicas == nil {
		p.LiveReplicas = nil
		return
	}
	if req.Replicas != nil && (p.Replicas < *p.MinReplicas || p.Replicas > *p.MaxReplicas) {
		l.Add("replicas", problem.ReplicasOutOfRange, p.Replicas, *p.MinReplicas, *p.MaxReplicas)
	}
	// New bounds pull the number of nodes inside.
	p.Replicas = min(max(p.Replicas, *p.MinReplicas), *p.MaxReplicas)
}

// setReplicas starts from the number of nodes that the pool has now, which may be the autoscaler's choice. Another number that somebody
// asks for holds once: on an autoscaled pool the autoscaler goes on from there.
func setReplicas(p *db.NodePool, wanted *int64) {
	now := p.Nodes()
	p.Replicas = int32(or(wanted, int64(now)))
	if p.Replicas != now {
		p.LiveReplicas, p.ReplicasRevision = nil, p.Revision+1
	}
}

// autoScaleReplicas is the number that new bounds are compared with: the requested one, else the present one pulled inside of them.
func autoScaleReplicas(p *db.NodePool, req *patchNodePoolRequest) *int64 {
	if req.Replicas != nil || req.AutoScale == nil {
		return req.Replicas
	}
	n := int64(p.Nodes())
	n = max(n, or(req.AutoScale.MinReplicas, n))
	n = min(n, or(req.AutoScale.MaxReplicas, n))
	return &n
}

func checkPoolUpgrade(l *problem.List, c *db.Cluster, p *db.NodePool, to string) {
	switch {
	case l.Has("version"):
	case catalog.NewerThan(to, c.Version):
		l.Add("version", problem.PoolNewerThanCluster, to, c.Version)
	case !catalog.CanUpgrade(p.Version, to):
		l.Add("version", problem.UpgradePath, p.Version, to)
	}
}

func (s *Server) deleteNodePool(ctx context.Context, in *struct {
	NodePoolPath
	DryRun
}) (*outcome, error) {
	clusterID, id, err := in.parse()
	if err != nil {
		return nil, err
	}
	a, err := s.attempt(in.DryRun)
	if err != nil {
		return nil, err
	}
	if err := a.store.DeleteNodePool(ctx, tenantOf(ctx), clusterID, id); err != nil {
		return nil, err
	}
	if a.dry {
		return s.planDeletedNodePool(ctx, clusterID, id)
	}
	return &outcome{Status: http.StatusNoContent}, nil
}

func (s *Server) planDeletedNodePool(ctx context.Context, clusterID, id uuid.UUID) (*outcome, error) {
	_, p, err := s.store.GetNodePool(ctx, tenantOf(ctx), clusterID, id)
	if err != nil {
		return nil, err
	}
	usage, err := s.store.UsageWithout(ctx, tenantOf(ctx), clusterID, &id)
	if err != nil {
		return nil, err
	}
	stock, err := s.stock(ctx)
	if err != nil {
		return nil, err
	}
	return &outcome{http.StatusOK, s.plan(record.DeleteNodePool, planNodePool(planDelete, p), usage, stock, []price.Item{poolCost(p)}, nil)}, nil
}
