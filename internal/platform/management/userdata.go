// Package management turns one VM into the management cluster: its user data, and the credentials to reach it.
package management

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

const (
	// APIPort is where the management cluster's API server listens on the VM.
	APIPort = 6443

	// DefaultKubernetesVersion must be the one of the VM's image.
	DefaultKubernetesVersion = "v1.34.2"
	// DefaultPodCIDR and DefaultServiceCIDR are the networks inside the management cluster.
	DefaultPodCIDR     = "10.244.0.0/16"
	DefaultServiceCIDR = "10.96.0.0/12"
)

// Instance data that cloud-init fills in when it renders the user data.
const (
	nodeIP   = "{{ ds.meta_data.local_ipv4 }}"
	nodeName = "{{ ds.meta_data.local_hostname }}"
)

//go:embed files
var files embed.FS

// Options describe a management cluster.
type Options struct {
	// CA signs the certificates of the cluster's API. Required.
	CA PKI
	// SANs are the names and addresses under which the API is reached from outside of the VM.
	SANs []string
	// KubernetesVersion, PodCIDR and ServiceCIDR have the defaults above.
	KubernetesVersion string
	PodCIDR           string
	ServiceCIDR       string
}

// UserData returns the user data for the VM: cloud-config that runs kubeadm init with the given CA, on a single node that
// takes any pod. A VM that is stopped at any time goes on with it at the next boot.
func UserData(o Options) (string, error) {
	if err := o.setDefaults(); err != nil {
		return "", err
	}
	kubeadm, err := o.render("kubeadm.yaml.tmpl")
	if err != nil {
		return "", err
	}
	cni, err := o.render("cni.conflist.tmpl")
	if err != nil {
		return "", err
	}
	etcd, err := files.ReadFile("files/etcd+strategic.yaml")
	if err != nil {
		return "", err
	}
	script, err := files.ReadFile("files/init.sh")
	if err != nil {
		return "", err
	}
	unit, err := files.ReadFile("files/mke-management.service")
	if err != nil {
		return "", err
	}
	config := cloudConfig{
		WriteFiles: []file{
			{Path: "/etc/mke/pki/ca.crt", Permissions: "0644", Content: string(o.CA.Certificate)},
			{Path: "/etc/mke/pki/ca.key", Permissions: "0600", Content: string(o.CA.Key)},
			{Path: "/etc/mke/kubeadm.yaml", Permissions: "0600", Content: kubeadm},
			{Path: "/etc/mke/patches/etcd+strategic.yaml", Permissions: "0644", Content: string(etcd)},
			{Path: "/etc/cni/net.d/10-mke.conflist", Permissions: "0644", Content: cni},
			{Path: "/usr/local/sbin/mke-management-init", Permissions: "0755", Content: string(script)},
			{Path: "/etc/systemd/system/mke-management.service", Permissions: "0644", Content: string(unit)},
		},
		RunCmd: [][]string{
			{"systemctl", "daemon-reload"},
			{"systemctl", "enable", "--now", "--no-block", "mke-management.service"},
		},
	}
	body, err := yaml.Marshal(config)
	if err != nil {
		return "", err
	}
	return "## template: jinja\n#cloud-config\n" + string(body), nil
}

// cloudConfig is the part of cloud-init's configuration that is used here.
type cloudConfig struct {
	WriteFiles []file     `json:"write_files"`
	RunCmd     [][]string `json:"runcmd"`
}

type file struct {
	Path        string `json:"path"`
	Permissions string `json:"permissions"`
	Content     string `json:"content"`
}

func (o *Options) setDefaults() error {
	if len(o.CA.Certificate) == 0 || len(o.CA.Key) == 0 {
		return errors.New("management cluster: the CA is missing")
	}
	for field, def := range map[*string]string{
		&o.KubernetesVersion: DefaultKubernetesVersion, &o.PodCIDR: DefaultPodCIDR, &o.ServiceCIDR: DefaultServiceCIDR,
	} {
		if *field == "" {
			*field = def
		}
	}
	pods, err := netip.ParsePrefix(o.PodCIDR)
	if err != nil {
		return fmt.Errorf("management cluster: pod network: %w", err)
	}
	services, err := netip.ParsePrefix(o.ServiceCIDR)
	if err != nil {
		return fmt.Errorf("management cluster: service network: %w", err)
	}
	if pods.Overlaps(services) {
		return fmt.Errorf("management cluster: pod network %s and service network %s overlap", pods, services)
	}
	return nil
}

// render fills a template in. Its delimiters leave those of cloud-init's jinja alone.
func (o *Options) render(name string) (string, error) {
	t, err := template.New(name).Delims("<<", ">>").Option("missingkey=error").ParseFS(files, "files/"+name)
	if err != nil {
		return "", err
	}
	sans, err := json.Marshal(append([]string{}, o.SANs...)) // JSON is YAML
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, map[string]string{
		"NodeIP": nodeIP, "NodeName": nodeName, "KubernetesVersion": o.KubernetesVersion,
		"PodCIDR": o.PodCIDR, "ServiceCIDR": o.ServiceCIDR, "SANs": string(sans),
	})
	return out.String(), err
}
