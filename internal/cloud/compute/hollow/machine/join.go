package machine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/util/tokens"
)

// identity is what a machine has after it joined, and keeps when it is started again.
type identity struct {
	Node    string     `json:"node"`
	Server  string     `json:"server"`
	CA      []byte     `json:"ca"`
	Key     []byte     `json:"key"`
	Cert    []byte     `json:"cert"` // empty while it is asked for
	Kubelet []byte     `json:"kubelet"`
	Join    joinConfig `json:"join"`
}

func (f Folder) identity() (id identity, err error) { return id, f.read(identityFile, &id) }

// join does what kubeadm join does for a worker: discovery by token, the kubelet's configuration, and the kubelet's own TLS
// bootstrap. It may be repeated; what a former try asked for is taken up.
func (m *machine) join(ctx context.Context, config joinConfig) (identity, error) {
	id, err := m.folder.identity()
	if err != nil || id.Node != config.NodeRegistration.Name {
		id = identity{Node: config.NodeRegistration.Name, Join: config}
	}
	if id.Server, id.CA, err = m.discover(ctx, config); err != nil {
		return id, fmt.Errorf("discovery: %w", err)
	}
	pool, err := caPool(id.CA)
	if err != nil {
		return id, err
	}
	client := m.spec.httpClient(&tls.Config{RootCAs: pool})
	defer client.CloseIdleConnections()
	token := config.Discovery.TLSBootstrapToken
	if token == "" {
		token = config.Discovery.BootstrapToken.Token
	}
	withToken := &http.Client{Transport: transport.NewBearerAuthRoundTripper(token, client.Transport)}
	api, err := newAPI(id.Server, withToken)
	if err != nil {
		return id, err
	}
	var kubelet corev1.ConfigMap
	if err := api.core.Get().Namespace("kube-system").Resource("configmaps").Name("kubelet-config").Do(ctx).Into(&kubelet); err != nil {
		return id, fmt.Errorf("the kubelet's configuration: %w", err)
	}
	id.Kubelet = []byte(kubelet.Data["kubelet"])
	if len(id.Key) == 0 {
		if id.Key, err = newKey(); err != nil {
			return id, err
		}
	}
	// The key is kept before it is used: after an interruption the same request is found again.
	if err := m.folder.write(identityFile, id); err != nil {
		return id, err
	}
	if id.Cert, err = api.clientCertificate(ctx, id.Node, id.Key); err != nil {
		return id, fmt.Errorf("TLS bootstrap: %w", err)
	}
	return id, m.folder.write(identityFile, id)
}

// discover finds the cluster's address and CA, and verifies both by the token and the CA's hash.
func (m *machine) discover(ctx context.Context, config joinConfig) (server string, ca []byte, err error) {
	d := config.Discovery.BootstrapToken
	id, secret, err := tokens.ParseToken(d.Token)
	if err != nil {
		return "", nil, err
	}
	endpoint := "https://" + d.APIServerEndpoint
	// Whose answer it is, its signature tells: kubeadm asks without verification too.
	info, err := m.clusterInfo(ctx, endpoint, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return "", nil, err
	}
	text := info.Data[bootstrapapi.KubeConfigKey]
	if !signed(info.Data[bootstrapapi.JWSSignatureKeyPrefix+id], text, id, secret) {
		return "", nil, errors.New("cluster-info is not signed with this token")
	}
	kubeconfig, err := clientcmd.Load([]byte(text))
	if err != nil {
		return "", nil, fmt.Errorf("cluster-info: %w", err)
	}
	for _, cluster := range kubeconfig.Clusters {
		server, ca = cluster.Server, cluster.CertificateAuthorityData
	}
	if !d.UnsafeSkipCAVerification {
		if err := pinned(ca, d.CACertHashes); err != nil {
			return "", nil, err
		}
	}
	pool, err := caPool(ca)
	if err != nil {
		return "", nil, err
	}
	verified, err := m.clusterInfo(ctx, endpoint, &tls.Config{RootCAs: pool})
	if err == nil && verified.Data[bootstrapapi.KubeConfigKey] != text {
		err = errors.New("cluster-info is another one under the cluster's CA")
	}
	return server, ca, err
}

func (m *machine) clusterInfo(ctx context.Context, endpoint string, config *tls.Config) (*corev1.ConfigMap, error) {
	client := m.spec.httpClient(config)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/api/v1/namespaces/kube-public/configmaps/cluster-info", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cluster-info: the API server answers %s", resp.Status)
	}
	var info corev1.ConfigMap
	return &info, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&info)
}

// signed verifies a JSON web signature (RFC 7515) whose content is elsewhere.
func signed(signature, content, tokenID, tokenSecret string) bool {
	header, sum, found := strings.Cut(signature, "..")
	if !found {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return false
	}
	var h struct{ Alg, Kid string }
	if json.Unmarshal(raw, &h) != nil || h.Alg != "HS256" || h.Kid != tokenID {
		return false
	}
	got, err := base64.RawURLEncoding.DecodeString(sum)
	mac := hmac.New(sha256.New, []byte(tokenSecret))
	mac.Write([]byte(header + "." + base64.RawURLEncoding.EncodeToString([]byte(content))))
	return err == nil && hmac.Equal(got, mac.Sum(nil))
}

// pinned verifies that the CA has one of the hashes, which are of the public key.
func pinned(ca []byte, hashes []string) error {
	block, _ := pem.Decode(ca)
	if block == nil {
		return errors.New("cluster-info has no CA certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	for _, hash := range hashes {
		if strings.EqualFold(hash, "sha256:"+hex.EncodeToString(sum[:])) {
			return nil
		}
	}
	return errors.New("the cluster's CA has none of the expected hashes")
}
