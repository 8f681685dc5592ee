package benchsite

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Registration is the part of kubeadm's configuration that init and join share, as one types it on a VM of the local cloud.
const Registration = `nodeRegistration:
  name: "{{ ds.meta_data.local_hostname }}"
  imagePullPolicy: IfNotPresent
  ignorePreflightErrors: [NumCPU, Mem, Swap, SystemVerification]
  kubeletExtraArgs:
  - {name: node-ip, value: "{{ ds.meta_data.local_ipv4 }}"}
`

// Join is how a VM made by hand joins a cluster.
type Join struct {
	CA       []byte // the cluster's certificate authority, PEM
	Endpoint string // of the API server, host:port
	Token    string
	Labels   string // of the node, as the kubelet's flag takes them; empty for none
}

// UserData of the VM.
func (j Join) UserData() (string, error) {
	hash, err := caHash(j.CA)
	if err != nil {
		return "", err
	}
	config := fmt.Sprintf(`apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken: {token: %s, apiServerEndpoint: "%s", caCertHashes: ["%s"]}
%s`, j.Token, j.Endpoint, hash, Registration)
	if j.Labels != "" {
		config += fmt.Sprintf("  - {name: node-labels, value: %q}\n", j.Labels)
	}
	return CloudConfig("kubeadm join --config /run/kubeadm.yaml", map[string]string{"/run/kubeadm.yaml": config}), nil
}

// CloudConfig is user data that writes files, given by their paths, and then runs the command.
func CloudConfig(command string, files map[string]string) string {
	var b strings.Builder
	b.WriteString("## template: jinja\n#cloud-config\nwrite_files:\n")
	for path, content := range files {
		fmt.Fprintf(&b, "- path: %s\n  permissions: \"0600\"\n  content: |\n    %s\n", path, strings.ReplaceAll(strings.TrimSpace(content), "\n", "\n    "))
	}
	fmt.Fprintf(&b, "runcmd:\n- %s\n", command)
	return b.String()
}

// caHash is how kubeadm join recognises the authority.
func caHash(ca []byte) (string, error) {
	block, _ := pem.Decode(ca)
	if block == nil {
		return "", errors.New("the authority's certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
