package machine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
)

// dials bounds how many connections are being opened: each holds a thread while it waits, see dataplane.Inside.
var dials = make(chan struct{}, 512)

// dial opens connections as the machine would: from inside of its VPC. The router's address in the machine's subnet stands for the
// machine's own, which is nowhere; access lists know the subnet.
func (s Spec) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if s.Router == "" {
		return d.DialContext(ctx, network, address)
	}
	select {
	case dials <- struct{}{}:
		defer func() { <-dials }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.LocalAddr = &net.TCPAddr{IP: s.Gateway.AsSlice()}
	var conn net.Conn
	err := dataplane.Inside(s.Router, func() (err error) {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// httpClient has one connection to one API server. client-go's own transports are kept for ever, for a machine that is soon gone.
func (s Spec) httpClient(config *tls.Config) *http.Client {
	config.MinVersion = tls.VersionTLS12
	return &http.Client{Transport: &http.Transport{
		DialContext: s.dial, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true, DisableCompression: true,
		MaxIdleConnsPerHost: 1, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, // finds a dead connection
			MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 128 << 10},
	}}
}

func caPool(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the cluster's CA certificate is not valid")
	}
	return pool, nil
}

// api has the few clients that a node needs.
type api struct {
	http         *http.Client
	core         rest.Interface
	coordination rest.Interface
	certificates rest.Interface
}

const protobuf = "application/vnd.kubernetes.protobuf"

func newAPI(server string, client *http.Client) (*api, error) {
	a := &api{http: client}
	for _, group := range []struct {
		client  *rest.Interface
		version schema.GroupVersion
		path    string
	}{{&a.core, corev1.SchemeGroupVersion, "/api"}, {&a.coordination, coordinationv1.SchemeGroupVersion, "/apis"},
		{&a.certificates, certificatesv1.SchemeGroupVersion, "/apis"}} {
		c, err := rest.RESTClientForConfigAndClient(&rest.Config{
			Host: server, APIPath: group.path, QPS: -1, UserAgent: "mke-hollow", Timeout: 0,
			ContentConfig: rest.ContentConfig{GroupVersion: &group.version, NegotiatedSerializer: scheme.Codecs.WithoutConversion(),
				ContentType: protobuf, AcceptContentTypes: protobuf + ",application/json"},
		}, client)
		if err != nil {
			return nil, err
		}
		*group.client = c
	}
	return a, nil
}

// close ends the connections.
func (a *api) close() { a.http.CloseIdleConnections() }
