package management

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/golden"
)

func TestUserDataGolden(t *testing.T) {
	tests := []struct {
		name    string
		options Options
	}{
		{"default", Options{SANs: []string{"198.18.0.10"}}},
		{"networks", Options{SANs: []string{"198.18.0.10", "mke.example"}, KubernetesVersion: "v1.35.4", PodCIDR: "10.1.0.0/16", ServiceCIDR: "10.2.0.0/20"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.CA = PKI{Certificate: []byte("CERTIFICATE\n"), Key: []byte("KEY\n")}
			got, err := UserData(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			golden.Match(t, "testdata/"+tt.name+".yaml", got)
		})
	}
}

// What cloud-init does: render the template, then read the YAML, and kubeadm after it.
func TestUserDataIsValid(t *testing.T) {
	ca, err := NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	data, err := UserData(Options{CA: ca, SANs: []string{"198.18.0.10"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 32<<10 {
		t.Errorf("user data has %d bytes", len(data))
	}
	rendered := strings.NewReplacer(nodeIP, "172.26.0.5", nodeName, "mke-management").Replace(data)
	if strings.Contains(rendered, "{{") || strings.Contains(rendered, "{%") || strings.Contains(rendered, "<<") {
		t.Error("something is left to be filled in")
	}
	var config cloudConfig
	if err := yaml.UnmarshalStrict([]byte(rendered), &config); err != nil {
		t.Fatal(err)
	}
	for _, f := range config.WriteFiles {
		switch f.Path {
		case "/etc/mke/kubeadm.yaml":
			for doc := range strings.SplitSeq(f.Content, "\n---\n") {
				var obj map[string]any
				if err := yaml.Unmarshal([]byte(doc), &obj); err != nil || obj["kind"] == nil {
					t.Errorf("%v in\n%s", err, doc)
				}
			}
		case "/etc/cni/net.d/10-mke.conflist":
			var obj map[string]any
			if err := yaml.Unmarshal([]byte(f.Content), &obj); err != nil {
				t.Error(err)
			}
		case "/etc/mke/pki/ca.key":
			if f.Permissions != "0600" || f.Content != string(ca.Key) {
				t.Errorf("CA key: mode %s", f.Permissions)
			}
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	ca := PKI{Certificate: []byte("c"), Key: []byte("k")}
	tests := []struct {
		name    string
		options Options
		want    string
	}{
		{"no CA", Options{}, "CA"},
		{"bad pod network", Options{CA: ca, PodCIDR: "10.0.0.0"}, "pod network"},
		{"bad service network", Options{CA: ca, ServiceCIDR: "x"}, "service network"},
		{"overlap", Options{CA: ca, PodCIDR: "10.96.0.0/16"}, "overlap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := UserData(tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one about %s", err, tt.want)
			}
		})
	}
}

func TestAdminKubeconfig(t *testing.T) {
	ca, err := NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	data, err := AdminKubeconfig(ca, "https://198.18.0.10:6443")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://198.18.0.10:6443" {
		t.Errorf("server %s", config.Host)
	}
	certs, err := cert.ParseCertsPEM(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Certificate)
	opts := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := certs[0].Verify(opts); err != nil {
		t.Errorf("client certificate: %v", err)
	}
	if diff := cmp.Diff([]string{adminGroup}, certs[0].Subject.Organization); diff != "" {
		t.Error(diff)
	}
	if _, err := AdminKubeconfig(PKI{}, "https://x"); err == nil {
		t.Error("an empty authority signed something")
	}
}
