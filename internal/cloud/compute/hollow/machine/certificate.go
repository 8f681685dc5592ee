package machine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/keyutil"
)

// newKey returns a private key in PEM.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return keyutil.MarshalPrivateKeyToPEM(key)
}

// clientCertificate asks for the kubelet's client certificate and waits for it. The request's name comes from the key, so that asking
// again finds it.
func (a *api) clientCertificate(ctx context.Context, node string, keyPEM []byte) ([]byte, error) {
	parsed, err := keyutil.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the kubelet's key is of an unexpected kind")
	}
	subject := pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + node}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(append(public, subject.String()...))
	csr := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "node-csr-" + base64.RawURLEncoding.EncodeToString(digest[:])},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
			SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}
	err = a.certificates.Post().Resource("certificatesigningrequests").Body(csr).Do(ctx).Error()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	return a.awaitCertificate(ctx, csr.Name)
}

// awaitCertificate follows a request until it is signed or refused.
func (a *api) awaitCertificate(ctx context.Context, name string) ([]byte, error) {
	for {
		var csr certificatesv1.CertificateSigningRequest
		if err := a.certificates.Get().Resource("certificatesigningrequests").Name(name).Do(ctx).Into(&csr); err != nil {
			return nil, err
		}
		if cert, err := issued(&csr); cert != nil || err != nil {
			return cert, err
		}
		cert, err := a.watchCertificate(ctx, name, csr.ResourceVersion)
		if cert != nil || err != nil {
			return cert, err
		}
	}
}

// watchCertificate returns nothing when the watch ended before anything was decided.
func (a *api) watchCertificate(ctx context.Context, name, version string) ([]byte, error) {
	options := &metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: version, Watch: true}
	w, err := a.certificates.Get().Resource("certificatesigningrequests").VersionedParams(options, scheme.ParameterCodec).Watch(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		csr, ok := event.Object.(*certificatesv1.CertificateSigningRequest)
		if !ok {
			break
		}
		if cert, err := issued(csr); cert != nil || err != nil {
			return cert, err
		}
	}
	return nil, ctx.Err()
}

func issued(csr *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	for _, c := range csr.Status.Conditions {
		if c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed {
			return nil, fmt.Errorf("the certificate was refused: %s: %s", c.Reason, c.Message)
		}
	}
	return csr.Status.Certificate, nil
}

// connect makes the clients of a node that has its certificate.
func (id identity) connect(s Spec) (*api, error) {
	cert, err := tls.X509KeyPair(id.Cert, id.Key)
	if err != nil {
		return nil, err
	}
	pool, err := caPool(id.CA)
	if err != nil {
		return nil, err
	}
	return newAPI(id.Server, s.httpClient(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}))
}

// renewAt is when the kubelet would ask for the next certificate: after some 70 to 90 % of the time.
func (id identity) renewAt(jitter float64) (time.Time, error) {
	block, _ := pem.Decode(id.Cert)
	if block == nil {
		return time.Time{}, errors.New("the kubelet's certificate is not valid")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	life := cert.NotAfter.Sub(cert.NotBefore)
	return cert.NotBefore.Add(time.Duration((0.7 + 0.2*jitter) * float64(life))), nil
}
