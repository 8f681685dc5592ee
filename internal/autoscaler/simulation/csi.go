package simulation

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/labels"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// csiNodes shows the cluster's CSINodes, and those of nodes that exist only here.
type csiNodes struct {
	cluster  storagelisters.CSINodeLister
	imagined map[string]*storagev1.CSINode
}

var (
	_ fwk.CSIManager    = &csiNodes{}
	_ fwk.CSINodeLister = &csiNodes{}
)

func (c *csiNodes) CSINodes() fwk.CSINodeLister { return c }

func (c *csiNodes) Get(name string) (*storagev1.CSINode, error) {
	if node, ok := c.imagined[name]; ok {
		return node, nil
	}
	return c.cluster.Get(name)
}

func (c *csiNodes) List() ([]*storagev1.CSINode, error) {
	all, err := c.cluster.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, node := range c.imagined {
		all = append(all, node)
	}
	return all, nil
}
