package mkeapi

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// results is the published envelope of lists.
type results[T any] struct {
	Results []T `json:"results" nullable:"false"`
}

type singleStatus struct {
	State   string `json:"state"`
	Message string `json:"message"`
}

type multiStatus struct {
	State    string   `json:"state"`
	Messages []string `json:"messages" nullable:"false"`
}

type platform struct {
	Version string `json:"version"`
}

type kubeAPIServer struct {
	DisableAPIServerFIP bool   `json:"disable_api_server_fip"`
	FixedIP             string `json:"fixed_ip,omitempty"`
	FloatingIP          string `json:"floating_ip,omitempty"`
	Port                int32  `json:"port,omitempty"`
}

type subnetResponse struct {
	ID               string `json:"id"`
	AvailabilityZone string `json:"availability_zone"`
	CIDR             string `json:"cidr"`
}

type networkResponse struct {
	VPCID   string           `json:"vpc_id"`
	Subnets []subnetResponse `json:"subnets" nullable:"false"`
}

type addons struct {
	LoadBalance string `json:"loadbalance"`
	Volume      string `json:"volume"`
	Secrets     string `json:"secrets"`
}

type createClusterResponse struct {
	ID               string       `json:"id"`
	Name             string       `json:"name"`
	Status           singleStatus `json:"status"`
	AllowedCIDRs     []string     `json:"allowed_cidrs" nullable:"false"`
	ClusterIPv4CIDR  string       `json:"cluster_ipv4_cidr"`
	ServicesIPv4CIDR string       `json:"services_ipv4_cidr"`
}

// ClusterResponse is an item of the list, and what the single cluster shares with it.
type ClusterResponse struct {
	ID                 string          `json:"id"`
	Name               string          `json:"name"`
	Description        string          `json:"description"`
	Status             singleStatus    `json:"status"`
	Version            string          `json:"version"`
	Region             string          `json:"region"`
	ProjectID          string          `json:"project_id" deprecated:"true"`
	CreatedAt          time.Time       `json:"created_at"`
	MachineTypesSource string          `json:"machine_types_source" enum:"external,internal"`
	Platform           platform        `json:"platform"`
	KubeAPIServer      kubeAPIServer   `json:"kube_api_server" deprecated:"true"`
	ClusterIPv4CIDR    string          `json:"cluster_ipv4_cidr"`
	ServicesIPv4CIDR   string          `json:"services_ipv4_cidr"`
	Network            networkResponse `json:"network"`
}

type clusterByIDResponse struct {
	ClusterResponse
	UpdatedAt    time.Time          `json:"updated_at" doc:"Time of creation: published clients require that it never changes"`
	AllowedCIDRs []string           `json:"allowed_cidrs" nullable:"false"`
	NodePools    []nodePoolResponse `json:"node_pools" nullable:"false"`
	ControlPlane nodePoolResponse   `json:"controlplane" deprecated:"true"`
	Addons       addons             `json:"addons" deprecated:"true"`
	Protection   bool               `json:"deletion_protection" doc:"Our extension: whether the cluster's deletion is refused"`
	Cost         *price.Estimate    `json:"estimated_cost,omitempty" doc:"Our extension: machines, the API's load balancer and address; not what workloads make"`
}

type patchClusterResponse struct {
	AllowedCIDRs []string `json:"allowed_cidrs" nullable:"false"`
	Description  string   `json:"description"`
	Version      string   `json:"version"`
	Protection   bool     `json:"deletion_protection" doc:"Our extension"`
}

// FlavorResponse is a flavor without its price.
type FlavorResponse struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	VCPU int    `json:"vcpu"`
	RAM  int    `json:"ram" doc:"MB"`
	Size int    `json:"size" doc:"GB"`
}

type instanceTemplate struct {
	Flavor    FlavorResponse `json:"flavor"`
	NodeImage string         `json:"node_image"`
	DiskSize  int            `json:"disk_size"`
	DiskType  string         `json:"disk_type"`
}

type autoScaleResponse struct {
	MinReplicas int32 `json:"min_replicas"`
	MaxReplicas int32 `json:"max_replicas"`
}

type nodePoolResponse struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	InstanceTemplate  instanceTemplate  `json:"instance_template" deprecated:"true"`
	Replicas          int32             `json:"replicas"`
	Zone              []string          `json:"zone" deprecated:"true" nullable:"false"`
	Tags              []string          `json:"tags" deprecated:"true" nullable:"false"`
	Labels            map[string]string `json:"labels"`
	Taints            []taint           `json:"taints,omitempty" doc:"Absent when there are none: Terraform takes an empty list for a difference"`
	AutoScale         autoScaleResponse `json:"auto_scale"`
	Status            multiStatus       `json:"status"`
	MaxPodsPerNode    int32             `json:"max_pods_per_node"`
	AvailabilityZones []string          `json:"availability_zones" deprecated:"true" nullable:"false"`
	Version           string            `json:"version"`
	Network           networkResponse   `json:"network"`
	CreatedAt         time.Time         `json:"created_at"`
	UpdatedAt         time.Time         `json:"updated_at"`
	Cost              *price.Estimate   `json:"estimated_cost,omitempty" doc:"Our extension, of the single node pool only"`
}

type nodePoolItem struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	Flavor            string            `json:"flavor"`
	Replicas          int32             `json:"replicas"`
	AutoScale         autoScaleResponse `json:"auto_scale"`
	Status            multiStatus       `json:"status"`
	AvailabilityZones []string          `json:"availability_zones" deprecated:"true" nullable:"false"`
}

func toStatus(c *db.Cluster) singleStatus { return singleStatus{State: c.State, Message: c.Message} }

func toClusterResponse(c *db.Cluster) ClusterResponse {
	return ClusterResponse{
		ID: c.ID.String(), Name: c.Name, Description: c.Description, Status: toStatus(c), Version: c.Version, Region: c.Region,
		ProjectID: projectID(c.TenantID), CreatedAt: c.CreatedAt.UTC(), MachineTypesSource: "external",
		Platform:        platform{Version: catalog.PlatformVersion},
		KubeAPIServer:   kubeAPIServer{FloatingIP: c.EndpointHost, Port: c.EndpointPort},
		ClusterIPv4CIDR: c.PodsCidr, ServicesIPv4CIDR: c.ServicesCidr, Network: toNetwork(c.VpcID, c.Subnets),
	}
}

func (s *Server) toClusterByID(c *record.Cluster) clusterByIDResponse {
	pools := make([]nodePoolResponse, len(c.Pools))
	for i := range c.Pools {
		pools[i] = s.toNodePool(&c.Cluster, &c.Pools[i])
	}
	return clusterByIDResponse{
		ClusterResponse: toClusterResponse(&c.Cluster), UpdatedAt: c.CreatedAt.UTC(), AllowedCIDRs: c.AllowedCidrs, NodePools: pools,
		ControlPlane: s.toControlPlane(&c.Cluster), Protection: c.DeletionProtection,
		Addons: addons{LoadBalance: "disabled", Volume: "disabled", Secrets: "disabled"},
	}
}

func toNetwork(vpcID string, subnets []db.Subnet) networkResponse {
	n := networkResponse{VPCID: vpcID, Subnets: make([]subnetResponse, len(subnets))}
	for i, sn := range subnets {
		n.Subnets[i] = subnetResponse{ID: sn.ID, AvailabilityZone: sn.Zone, CIDR: sn.CIDR}
	}
	return n
}

func (s *Server) toNodePool(c *db.Cluster, p *db.NodePool) nodePoolResponse {
	taints := make([]taint, len(p.Taints))
	for i, t := range p.Taints {
		taints[i] = taint(t)
	}
	labels := p.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	zones, letters := zonesOf(p.Subnets)
	return nodePoolResponse{
		ID: p.ID.String(), Name: p.Name, InstanceTemplate: s.template(p.Flavor, p.Version), Replicas: p.Nodes(), Zone: zones,
		Tags: p.Tags, Labels: labels, Taints: taints, AutoScale: toAutoScale(p), Status: toMultiStatus(p.State, p.Message, p.Autoscaler),
		MaxPodsPerNode: p.MaxPods, AvailabilityZones: letters, Version: p.Version, Network: toNetwork(c.VpcID, p.Subnets),
		CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.CreatedAt.UTC(),
	}
}

// toControlPlane shows the control plane in the shape of a node pool.
func (s *Server) toControlPlane(c *db.Cluster) nodePoolResponse {
	state := c.State
	if state == record.StateProvisioning || state == record.StateDeleting {
		state = record.StatePending
	}
	zones, letters := zonesOf(c.Subnets)
	n := c.ControlPlaneReplicas
	return nodePoolResponse{
		ID: uuid.NewSHA1(c.ID, []byte("control-plane")).String(), Name: c.Name + "-control-plane",
		InstanceTemplate: s.template(c.ControlPlaneFlavor, c.Version), Replicas: n, Zone: zones, Tags: []string{}, Labels: map[string]string{},
		AutoScale: autoScaleResponse{n, n}, Status: toMultiStatus(state, c.Message), MaxPodsPerNode: 110, AvailabilityZones: letters,
		Version: c.Version, Network: toNetwork(c.VpcID, c.Subnets), CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.CreatedAt.UTC(),
	}
}

func toNodePoolItem(p *db.NodePool) nodePoolItem {
	_, letters := zonesOf(p.Subnets)
	return nodePoolItem{ID: p.ID.String(), Name: p.Name, Flavor: p.Flavor, Replicas: p.Nodes(), AutoScale: toAutoScale(p),
		Status: toMultiStatus(p.State, p.Message, p.Autoscaler), AvailabilityZones: letters}
}

func toMultiStatus(state string, messages ...string) multiStatus {
	said := slices.DeleteFunc(messages, func(m string) bool { return m == "" })
	return multiStatus{State: state, Messages: append([]string{}, said...)}
}

func toAutoScale(p *db.NodePool) autoScaleResponse {
	if p.MinReplicas == nil || p.MaxReplicas == nil {
		return autoScaleResponse{p.Replicas, p.Replicas}
	}
	return autoScaleResponse{*p.MinReplicas, *p.MaxReplicas}
}

func zonesOf(subnets []db.Subnet) (zones, letters []string) {
	zones, letters = make([]string, len(subnets)), make([]string, len(subnets))
	for i, sn := range subnets {
		zones[i], letters[i] = sn.Zone, catalog.ZoneLetter(sn.Zone)
	}
	return zones, letters
}

func (s *Server) template(flavorName, version string) instanceTemplate {
	f, ok := s.catalog.Flavor(flavorName)
	if !ok { // no longer sold; the nodes still have it
		f.Name = flavorName
	}
	return instanceTemplate{Flavor: toFlavor(f), NodeImage: catalog.NodeImage(version), DiskSize: f.Disk, DiskType: "nvme"}
}

func toFlavor(f catalog.Flavor) FlavorResponse {
	return FlavorResponse{Name: f.Name, ID: f.ID, VCPU: f.VCPU, RAM: f.RAM, Size: f.Disk}
}

// projectID is the published form of the tenant's id: 32 hexadecimal digits.
func projectID(tenant string) string {
	if id, err := uuid.Parse(tenant); err == nil {
		return hexOf(id)
	}
	return tenant
}
