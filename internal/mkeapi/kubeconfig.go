package mkeapi

import (
	"context"
	"errors"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// errNotReady says that a cluster has no kubeconfig yet.
var errNotReady = errors.New("the cluster has no kubeconfig yet")

// Clusters reaches into customers' clusters.
type Clusters interface {
	// Kubeconfig returns the admin kubeconfig of a cluster, or errNotReady.
	Kubeconfig(ctx context.Context, clusterID, clusterName string) ([]byte, error)
	// Nodes returns the nodes of a pool; errNotReady if the cluster cannot be asked yet.
	Nodes(ctx context.Context, clusterID, clusterName, poolName string) ([]corev1.Node, error)
	// Machines returns the machines of a pool, among them those that are not nodes yet.
	Machines(ctx context.Context, clusterID, poolID, poolName string) ([]Machine, error)
	// Addons returns what is known about the addons of a cluster; those of a new one may be missing.
	Addons(ctx context.Context, clusterID string) ([]mkev1.MGCAddon, error)
	// QueryRange asks the Prometheus of the monitoring addon; errTooMuchData if it has more than is passed on, any other error
	// if it cannot be asked.
	QueryRange(ctx context.Context, clusterID, clusterName string, q rangeQuery) (model.Matrix, error)
}

// kubeconfigOutput is YAML, which published clients recognise by its content type only.
type kubeconfigOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) getKubeconfig(ctx context.Context, in *ClusterPath) (*kubeconfigOutput, error) {
	c, err := s.cluster(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	if c.State == record.StateDeleting {
		return nil, problem.New(problem.ClusterDeleting)
	}
	config, err := s.nodes.Kubeconfig(ctx, c.ID.String(), c.Name)
	if errors.Is(err, errNotReady) {
		return nil, problem.New(problem.KubeconfigNotReady)
	}
	if err != nil {
		s.log.Error("read kubeconfig", "cluster_id", c.ID, "error", err)
		return nil, problem.New(problem.Unavailable)
	}
	return &kubeconfigOutput{ContentType: "application/yaml", Body: config}, nil
}
