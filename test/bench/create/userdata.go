package main

import (
	"crypto/x509"
	"fmt"
	"strings"

	"magalu.cloud/mke/internal/platform/management"
)

func publicKeyInfo(der []byte) ([]byte, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return cert.RawSubjectPublicKeyInfo, nil
}

const registration = `nodeRegistration:
  name: "{{ ds.meta_data.local_hostname }}"
  imagePullPolicy: IfNotPresent
  ignorePreflightErrors: [NumCPU, Mem, Swap, SystemVerification]
  kubeletExtraArgs:
  - {name: node-ip, value: "{{ ds.meta_data.local_ipv4 }}"}
`

// initUserData is what one types on the first machine.
func initUserData(pki management.PKI) string {
	config := `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: ` + joinToken + `
localAPIEndpoint: {advertiseAddress: "{{ ds.meta_data.local_ipv4 }}", bindPort: 6443}
skipPhases: [addon/kube-proxy]
` + registration + `---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: ` + version + `
encryptionAlgorithm: ECDSA-P256
controlPlaneEndpoint: "{{ ds.meta_data.local_ipv4 }}:6443"
networking: {podSubnet: "` + podsCIDR + `"}
`
	return cloudConfig("kubeadm init --config /run/kubeadm.yaml", map[string]string{
		"/run/kubeadm.yaml":          config,
		"/etc/kubernetes/pki/ca.crt": string(pki.Certificate),
		"/etc/kubernetes/pki/ca.key": string(pki.Key),
	})
}

// joinUserData is what one types on the second machine.
func joinUserData(pki management.PKI, controlPlane string) (string, error) {
	hash, err := caHash(pki)
	if err != nil {
		return "", err
	}
	config := fmt.Sprintf(`apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken: {token: %s, apiServerEndpoint: "%s:%d", caCertHashes: ["%s"]}
%s`, joinToken, controlPlane, apiPort, hash, registration)
	return cloudConfig("kubeadm join --config /run/kubeadm.yaml", map[string]string{"/run/kubeadm.yaml": config}), nil
}

func cloudConfig(command string, files map[string]string) string {
	var b strings.Builder
	b.WriteString("## template: jinja\n#cloud-config\nwrite_files:\n")
	for path, content := range files {
		fmt.Fprintf(&b, "- path: %s\n  permissions: \"0600\"\n  content: |\n    %s\n", path, strings.ReplaceAll(strings.TrimSpace(content), "\n", "\n    "))
	}
	fmt.Fprintf(&b, "runcmd:\n- %s\n", command)
	return b.String()
}
