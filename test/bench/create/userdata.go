package main

import (
	"magalu.cloud/mke/internal/platform/management"
	"magalu.cloud/mke/test/bench/benchsite"
)

// initUserData is what one types on the first machine.
func initUserData(pki management.PKI) string {
	config := `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: ` + joinToken + `
localAPIEndpoint: {advertiseAddress: "{{ ds.meta_data.local_ipv4 }}", bindPort: 6443}
skipPhases: [addon/kube-proxy]
` + benchsite.Registration + `---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: ` + version + `
encryptionAlgorithm: ECDSA-P256
controlPlaneEndpoint: "{{ ds.meta_data.local_ipv4 }}:6443"
networking: {podSubnet: "` + podsCIDR + `"}
`
	return benchsite.CloudConfig("kubeadm init --config /run/kubeadm.yaml", map[string]string{
		"/run/kubeadm.yaml":          config,
		"/etc/kubernetes/pki/ca.crt": string(pki.Certificate),
		"/etc/kubernetes/pki/ca.key": string(pki.Key),
	})
}
