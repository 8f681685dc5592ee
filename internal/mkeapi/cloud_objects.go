package mkeapi

import (
	"context"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/owned"
	"magalu.cloud/mke/internal/mkeapi/db"
)

// CloudObject is something that a cluster made in the cloud for what runs in it.
type CloudObject struct {
	db.CloudObject
	Type     string // of a volume
	Retained bool   // stays when the cluster goes, because its Service says so
}

func (c *cloudClient) Objects(ctx context.Context, tenant, clusterID string) ([]CloudObject, error) {
	client, err := c.client(tenant)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cloudTimeout)
	defer cancel()
	balancers, err := client.LoadBalancer.List(ctx)
	if err != nil {
		return nil, err
	}
	volumes, err := client.Volume.List(ctx, "")
	if err != nil {
		return nil, err
	}
	snapshots, err := client.Volume.ListSnapshots(ctx, "")
	if err != nil {
		return nil, err
	}
	return append(balancerObjects(balancers, clusterID), storageObjects(volumes, snapshots, clusterID)...), nil
}

func balancerObjects(all []mgc.LoadBalancer, clusterID string) (objects []CloudObject) {
	for i := range all {
		lb := &all[i]
		if !owned.ServiceLoadBalancer(lb, clusterID) {
			continue
		}
		of := owned.Service(lb)
		objects = append(objects, CloudObject{CloudObject: db.CloudObject{Kind: string(mkev1.LoadBalancerObject), ID: lb.ID, Name: lb.Name, Service: of}})
		if ip := lb.PublicIP; ip != nil {
			objects = append(objects, CloudObject{
				CloudObject: db.CloudObject{Kind: string(mkev1.PublicIPObject), ID: ip.ID, Name: ip.IPAddress, Service: of},
				Retained:    owned.KeepsPublicIP(lb),
			})
		}
	}
	return objects
}

func storageObjects(volumes []mgc.Volume, snapshots []mgc.Snapshot, clusterID string) (objects []CloudObject) {
	add := func(kind mkev1.CloudObjectKind, id, name, state string, size int, of string) {
		if owned.Storage(name, clusterID) && state != mgc.StorageDeleted {
			objects = append(objects, CloudObject{CloudObject: db.CloudObject{Kind: string(kind), ID: id, Name: name, SizeGiB: int32(size)}, Type: of}) //nolint:gosec // GiB
		}
	}
	for _, v := range volumes {
		add(mkev1.VolumeObject, v.ID, v.Name, v.State, v.Size, v.Type.Name)
	}
	for _, s := range snapshots {
		add(mkev1.SnapshotObject, s.ID, s.Name, s.State, s.Size, "")
	}
	return objects
}
