package platform

import (
	"context"
	"net/url"

	"magalu.cloud/mke/internal/platform/helm"
	"magalu.cloud/mke/internal/progress"
)

// platform installs the chart into the management cluster, or brings it up to date.
func (r *region) platform(ctx context.Context, ph *progress.Phase) error {
	values, err := r.chartValues()
	if err != nil {
		return err
	}
	return helm.InstallOrUpgrade(ctx, r.kubeconfig, values, ph.Detail)
}

func (r *region) chartValues() (map[string]any, error) {
	endpoint, err := url.Parse(r.endpoint)
	if err != nil {
		return nil, err
	}
	certPEM, keyPEM, err := r.ca.ensureCertificate(r.paths, "gateway", endpoint.Hostname())
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"region": r.Region,
		"image":  r.platformImage.Name,
		"cloud": map[string]any{
			"endpoint":       r.cloudEndpoint(),
			"caBundle":       string(r.ca.certPEM),
			"platformApiKey": r.identities.PlatformAPIKey,
		},
		"managementCIDRs": anySlice(r.cidrs),
		"api":             r.apiValues(),
		"operator":        map[string]any{"autoscalerArgs": anySlice(r.AutoscalerArgs)},
		"gateway": map[string]any{
			"replicas": r.Replicas,
			"service":  map[string]any{"nodePort": gatewayNodePort},
			"tls":      map[string]any{"certificate": string(certPEM), "privateKey": string(keyPEM)},
		},
	}, nil
}

// anySlice is a list as Helm's values have it.
func anySlice(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// apiValues: with hollow machines there is room for thousands of nodes.
func (r *region) apiValues() map[string]any {
	values := map[string]any{"hollowFlavors": r.Hollow, "replicas": r.Replicas}
	if r.Hollow {
		values["quotas"] = map[string]any{"nodes": 5000, "vcpus": 40000, "ram_gib": 160000, "disk_gib": 200000}
	}
	return values
}
