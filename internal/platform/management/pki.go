package management

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	caValidity    = 10 * 365 * 24 * time.Hour
	adminValidity = 5 * 365 * 24 * time.Hour
	// clockSkew is how far the clocks of the VM and of its maker may be apart.
	clockSkew = time.Hour

	clusterName = "mke-management"
	adminName   = "mke-admin"
	// adminGroup has all permissions whatever the cluster's RBAC says, from the API server's first moment.
	adminGroup = "system:masters"
)

// PKI is a certificate authority, PEM encoded. Whoever holds the key owns the cluster: keep it with mode 0600.
type PKI struct {
	Certificate []byte
	Key         []byte
}

// NewPKI makes the authority of a management cluster, valid for ten years.
func NewPKI() (PKI, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return PKI{}, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: clusterName},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := Sign(template, template, key.Public(), key, caValidity)
	if err != nil {
		return PKI{}, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	return PKI{Certificate: certificate, Key: keyPEM}, err
}

// AdminKubeconfig returns a kubeconfig for the cluster of the authority at the endpoint (https://host:port), with a new
// client certificate of an administrator, valid for five years.
func AdminKubeconfig(ca PKI, endpoint string) ([]byte, error) {
	certs, err := cert.ParseCertsPEM(ca.Certificate)
	if err != nil {
		return nil, fmt.Errorf("management cluster: CA certificate: %w", err)
	}
	parsed, err := keyutil.ParsePrivateKeyPEM(ca.Key)
	if err != nil {
		return nil, fmt.Errorf("management cluster: CA key: %w", err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("management cluster: CA key: cannot sign with %T", parsed)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: adminName, Organization: []string{adminGroup}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	certificate, err := Sign(template, certs[0], key.Public(), signer, adminValidity)
	if err != nil {
		return nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, err
	}
	return clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			clusterName: {Server: endpoint, CertificateAuthorityData: ca.Certificate},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			adminName: {ClientCertificateData: certificate, ClientKeyData: keyPEM},
		},
		Contexts:       map[string]*clientcmdapi.Context{clusterName: {Cluster: clusterName, AuthInfo: adminName}},
		CurrentContext: clusterName,
	})
}

func Sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer, validity time.Duration) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-clockSkew)
	template.NotAfter = time.Now().Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return cert.EncodeCertificates(certificate)
}
