package platform

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"magalu.cloud/mke/internal/platform/management"
)

// certificateLife is long, because a local region has nobody who would renew its certificates.
const certificateLife = 5 * 365 * 24 * time.Hour

// authority is the region's own certificate authority, kept in the data folder.
type authority struct {
	cert    *x509.Certificate
	certPEM []byte
	key     crypto.Signer
	keyPEM  []byte
}

// ensureAuthority loads the authority name from the data folder, or makes it.
func ensureAuthority(p Paths, name, commonName string) (*authority, error) {
	certFile, keyFile := p.PKI(name+".crt"), p.PKI(name+".key")
	certPEM, err := os.ReadFile(certFile)
	if errors.Is(err, os.ErrNotExist) {
		return newAuthority(certFile, keyFile, commonName)
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	return parseAuthority(certPEM, keyPEM)
}

func parseAuthority(certPEM, keyPEM []byte) (*authority, error) {
	certs, err := cert.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, err
	}
	key, err := keyutil.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key of %s cannot sign", certs[0].Subject.CommonName)
	}
	return &authority{cert: certs[0], certPEM: certPEM, key: signer, keyPEM: keyPEM}, nil
}

// newAuthority writes the key first: a certificate is only there when its key is.
func newAuthority(certFile, keyFile, commonName string) (*authority, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certPEM, err := management.Sign(template, template, key.Public(), key, certificateLife)
	if err != nil {
		return nil, err
	}
	if err := writeFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := writeFile(certFile, certPEM, 0o644); err != nil {
		return nil, err
	}
	return parseAuthority(certPEM, keyPEM)
}

// ensureCertificate keeps the serving certificate name in the data folder good for host.
func (a *authority) ensureCertificate(p Paths, name, host string, more ...string) (certPEM, keyPEM []byte, err error) {
	certFile, keyFile := p.PKI(name+".crt"), p.PKI(name+".key")
	certPEM, certErr := os.ReadFile(certFile)
	keyPEM, keyErr := os.ReadFile(keyFile)
	if certErr == nil && keyErr == nil {
		if certs, err := cert.ParseCertsPEM(certPEM); err == nil && certs[0].VerifyHostname(host) == nil {
			return certPEM, keyPEM, nil
		}
	}
	if certPEM, keyPEM, err = a.issue(name, append([]string{host}, more...)...); err != nil {
		return nil, nil, err
	}
	if err := writeFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, nil, err
	}
	return certPEM, keyPEM, writeFile(certFile, certPEM, 0o644)
}

// issue makes a serving certificate for host names and addresses.
func (a *authority) issue(commonName string, hosts ...string) (certPEM, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	certPEM, err = management.Sign(template, a.cert, key.Public(), a.key, certificateLife)
	return certPEM, keyPEM, err
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	return key, keyPEM, err
}
