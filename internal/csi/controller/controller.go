// Package controller is the half of MGC-CSI that talks to the cloud. It translates between gRPC and cloud.Storage.
package controller

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
)

// Controller implements CSI's controller service for one cluster.
type Controller struct {
	csi.UnimplementedControllerServer
	storage cloud.Storage
	names   names
	locks   driver.Locks
	janitor *janitor
}

// New returns the controller of a cluster. storage must be idempotent.
func New(storage cloud.Storage, clusterID string) *Controller {
	c := &Controller{storage: storage, names: newNames(clusterID)}
	c.janitor = &janitor{storage: storage, names: c.names, locks: &c.locks, wake: make(chan struct{}, 1)}
	return c
}

var capabilities = []csi.ControllerServiceCapability_RPC_Type{
	csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
	csi.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME,
	csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
	csi.ControllerServiceCapability_RPC_LIST_VOLUMES_PUBLISHED_NODES,
	csi.ControllerServiceCapability_RPC_GET_VOLUME,
	csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
	csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
	csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
	csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
	csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
}

// ControllerGetCapabilities tells what the controller can do.
func (c *Controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	res := &csi.ControllerGetCapabilitiesResponse{}
	for _, t := range capabilities {
		res.Capabilities = append(res.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: t}}})
	}
	return res, nil
}
