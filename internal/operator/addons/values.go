package addons

import (
	"encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"magalu.cloud/mke/internal/catalog"
)

// Values are what the manifests may use, as {{ .Name }}.
type Values struct {
	// ClusterID is a UUID; ClusterIDShort are its first 8 characters.
	ClusterID, ClusterIDShort, ClusterName, TenantID, Region string
	// Namespace of the cluster in the management cluster.
	Namespace string
	// CloudEndpoint is the cloud's regional base URL. HasCloudCA says that the credentials have a ca.crt to trust.
	CloudEndpoint string
	HasCloudCA    bool
	// Host and Port of the API server. Addons use it in place of the service address, which works only after kube-proxy.
	Host string
	Port int32
	// PodsCIDR and ServicesCIDR are where Pods and Services get their addresses from; DNSAddress is the tenth of the latter.
	PodsCIDR, ServicesCIDR, DNSAddress string
	// KubernetesVersion that the whole control plane runs, with leading v.
	KubernetesVersion string
	// Image of the platform's own components, and of the CSI driver.
	Image, CSIImage string
	// KubeconfigSecret (key value) and CredentialsSecret (keys api-key, tenant-id, endpoint, ca.crt) in Namespace.
	KubeconfigSecret, CredentialsSecret string
	// Config holds every option of the addon: the customer's choice or the default.
	Config map[string]any
}

// WithConfig returns the values with the addon's settings. Settings that the addon does not know are left out: the public API
// has refused them.
func (v Values) WithConfig(a catalog.Addon, settings map[string]apiextensionsv1.JSON) Values {
	raw := make(map[string]json.RawMessage, len(settings))
	for name, s := range settings {
		raw[name] = s.Raw
	}
	v.Config, _ = a.Config(raw)
	return v
}

// Version of the addon in a cluster with these values.
func Version(a catalog.Addon, v Values) string {
	if a.Version == "" {
		return v.KubernetesVersion
	}
	return a.Version
}
