package loadbalancer

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// Certificate is what a listener ends TLS with: the certificate, those of its issuers and the private key.
type Certificate struct {
	Meta
	PEM     string // as HAProxy reads it; never shown
	Expires string
}

// Bounds of a certificate with its issuers, and of a key.
const (
	maxPEM   = 64 << 10 // bytes
	maxChain = 10
)

type certificateBody struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Certificate string `json:"certificate"`
	PrivateKey  string `json:"private_key"`
}

func (b certificateBody) certificate() (Certificate, error) {
	c := Certificate{Meta: newMeta(b.Name, b.Description)}
	if err := checkNames("tls_certificate", b.Name, b.Description); err != nil {
		return c, err
	}
	return c, c.setContent(b)
}

// setContent checks that certificate and key are PEM and belong together. Only
// these blocks are kept: HAProxy would read others, too.
func (c *Certificate) setContent(b certificateBody) error {
	certificates, err := blocks("certificate", b.Certificate, maxChain, func(kind string) bool { return kind == "CERTIFICATE" })
	if err != nil {
		return err
	}
	key, err := blocks("private_key", b.PrivateKey, 1, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") })
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificates, key)
	if err != nil { // its text names Go's functions
		return httpapi.Invalid("tls_certificate: certificate and private_key must be an X.509 certificate and its unencrypted RSA, ECDSA or Ed25519 key, in PEM")
	}
	if err := strong(pair.Leaf); err != nil {
		return err
	}
	c.PEM, c.Expires = string(certificates)+string(key), pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	return nil
}

// strong refuses what OpenSSL does not load any more.
func strong(leaf *x509.Certificate) error {
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		return httpapi.Invalid("private_key: RSA keys must have 2048 bits or more, this one has %d", key.N.BitLen())
	}
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		return httpapi.Invalid("certificate: signed with %s, which is not secure any more", leaf.SignatureAlgorithm)
	}
	return nil
}

// blocks decodes base64 and returns the PEM blocks of the wanted kind.
func blocks(field, text string, atMost int, wanted func(kind string) bool) ([]byte, error) {
	if text == "" {
		return nil, httpapi.Invalid("%s: Field required", field)
	}
	rest, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, httpapi.Invalid("%s: must be base64 of PEM", field)
	}
	if len(rest) > maxPEM {
		return nil, httpapi.Invalid("%s: at most %d bytes of PEM", field, maxPEM)
	}
	var found bytes.Buffer
	n := 0
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if wanted(block.Type) {
			n++
			_ = pem.Encode(&found, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // a buffer takes everything
		}
	}
	if n == 0 || n > atMost {
		return nil, httpapi.Invalid("%s: must have 1 to %d blocks of PEM of this kind, has %d", field, atMost, n)
	}
	return found.Bytes(), nil
}

func (d *Document) certificate(id string) (*Certificate, error) {
	i := slices.IndexFunc(d.Certificates, func(c Certificate) bool { return c.ID == id })
	if i < 0 {
		return nil, httpapi.NotFound("TLS certificate")
	}
	return &d.Certificates[i], nil
}

// certificateNamed returns the id of the certificate with a name; for none the name, which is nothing's id.
func (d *Document) certificateNamed(name string) string {
	for _, c := range d.Certificates {
		if c.Name == name {
			return c.ID
		}
	}
	return name
}

func (d *Document) addCertificate(c Certificate) error {
	if slices.ContainsFunc(d.Certificates, func(other Certificate) bool { return other.Name == c.Name }) {
		return httpapi.Conflict("there is already a TLS certificate named %q", c.Name)
	}
	if len(d.Certificates) >= maxParts {
		return httpapi.Invalid("tls_certificates: at most %d", maxParts)
	}
	d.Certificates = append(d.Certificates, c)
	return nil
}

func (d *Document) removeCertificate(id string) error {
	if _, err := d.certificate(id); err != nil {
		return err
	}
	for _, l := range d.Listeners {
		if l.CertificateID == id {
			return httpapi.Conflict("the TLS certificate is in use by listener %s", l.Name)
		}
	}
	d.Certificates = slices.DeleteFunc(d.Certificates, func(c Certificate) bool { return c.ID == id })
	return nil
}

// setCertificate gives a listener the certificate with the id; one that speaks TLS must have one.
func (d *Document) setCertificate(l *Listener, id string) error {
	switch {
	case !l.TLS && id != "":
		return httpapi.Invalid("tls_certificate_id: only listeners with the protocol tls have a certificate")
	case l.TLS && id == "":
		return httpapi.Invalid("tls_certificate_id: Field required for the protocol tls")
	case l.TLS:
		if _, err := d.certificate(id); err != nil {
			return httpapi.Invalid("tls_certificate_id: there is no TLS certificate %q", id)
		}
	}
	l.CertificateID, l.UpdatedAt = id, store.Now()
	return nil
}
