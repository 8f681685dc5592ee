package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kubeconfig is what the published SDK keeps of one: whatever else a file has in it is lost on the way through it.
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Clusters       []struct {
		Cluster struct {
			CA     string `yaml:"certificate-authority-data"`
			Server string
		}
	}
	Users []struct {
		User struct {
			Certificate string `yaml:"client-certificate-data"`
			Key         string `yaml:"client-key-data"`
		}
	}
}

func (t *traveller) kubeconfig(ctx context.Context) error {
	a, err := t.call(ctx, http.MethodGet, t.path()+"/kubeconfig", nil, http.StatusOK)
	if err != nil {
		return err
	}
	if kind := a.header.Get("Content-Type"); !strings.Contains(kind, "application/yaml") {
		return fmt.Errorf("content type %q: published clients read YAML only as application/yaml", kind)
	}
	var file kubeconfig
	if err := yaml.Unmarshal(a.body, &file); err != nil {
		return err
	}
	if file.CurrentContext == "" || len(file.Clusters) != 1 || len(file.Users) != 1 {
		return errors.New("it has not one cluster, user and context")
	}
	if !t.Connect {
		return nil
	}
	return t.askCluster(ctx, &file)
}

// askCluster asks the cluster for its version, with the certificate of the file.
func (t *traveller) askCluster(ctx context.Context, file *kubeconfig) error {
	roots := x509.NewCertPool()
	user := file.Users[0].User
	if !roots.AppendCertsFromPEM(fromBase64(file.Clusters[0].Cluster.CA)) {
		return errors.New("it has no certificate authority in it")
	}
	pair, err := tls.X509KeyPair(fromBase64(user.Certificate), fromBase64(user.Key))
	if err != nil {
		return fmt.Errorf("its client certificate: %w", err)
	}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}}}
	defer hc.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, file.Clusters[0].Cluster.Server+"/version", nil)
	if err != nil {
		return err
	}
	res, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var version struct{ GitVersion string }
	if err := json.NewDecoder(res.Body).Decode(&version); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || version.GitVersion != t.version {
		return fmt.Errorf("the cluster answers %d, version %s", res.StatusCode, version.GitVersion)
	}
	return nil
}

// fromBase64 decodes; what is no base64 is no certificate either.
func fromBase64(text string) []byte {
	data, _ := base64.StdEncoding.DecodeString(text)
	return data
}
