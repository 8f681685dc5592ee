package machine

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// errNothingToJoin is a VM whose user data has no kubeadm join: it runs and does nothing.
var errNothingToJoin = errors.New("the user data has no `kubeadm join`")

// cloudConfig is the part of cloud-init's configuration that makes a VM a node.
type cloudConfig struct {
	WriteFiles []struct {
		Path     string `json:"path"`
		Content  string `json:"content"`
		Encoding string `json:"encoding"`
	} `json:"write_files"`
	RunCmd []json.RawMessage `json:"runcmd"` // each a line for the shell or a list of words
}

// joinConfig is what a kubeadm JoinConfiguration says about a worker.
type joinConfig struct {
	Kind             string          `json:"kind"`
	ControlPlane     json.RawMessage `json:"controlPlane"`
	NodeRegistration struct {
		Name             string         `json:"name"`
		Taints           []corev1.Taint `json:"taints"`
		KubeletExtraArgs kubeletArgs    `json:"kubeletExtraArgs"`
	} `json:"nodeRegistration"`
	Discovery struct {
		TLSBootstrapToken string `json:"tlsBootstrapToken"`
		BootstrapToken    *struct {
			Token                    string   `json:"token"`
			APIServerEndpoint        string   `json:"apiServerEndpoint"`
			CACertHashes             []string `json:"caCertHashes"`
			UnsafeSkipCAVerification bool     `json:"unsafeSkipCAVerification"`
		} `json:"bootstrapToken"`
	} `json:"discovery"`
}

// kubeletArgs are the kubelet's flags: a map up to v1beta3 of kubeadm's API, a list from v1beta4 on.
type kubeletArgs map[string]string

// UnmarshalJSON takes both forms.
func (a *kubeletArgs) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		return json.Unmarshal(data, (*map[string]string)(a))
	}
	var list []struct{ Name, Value string }
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*a = kubeletArgs{}
	for _, arg := range list {
		(*a)[arg.Name] = arg.Value
	}
	return nil
}

// boot does what cloud-init does with the user data, and returns how the machine joins a cluster.
func boot(s Spec) (joinConfig, error) {
	text, err := render(string(s.UserData), s)
	if err != nil {
		return joinConfig{}, err
	}
	if !strings.Contains(text, "#cloud-config") {
		return joinConfig{}, errNothingToJoin
	}
	var config cloudConfig
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return joinConfig{}, fmt.Errorf("user data: %w", err)
	}
	path, err := config.joinPath()
	if err != nil {
		return joinConfig{}, err
	}
	for _, file := range config.WriteFiles {
		if file.Path == path {
			content, err := decode(file.Content, file.Encoding)
			if err != nil {
				return joinConfig{}, fmt.Errorf("user data: write_files: %s: %w", path, err)
			}
			return parseJoin(content)
		}
	}
	return joinConfig{}, fmt.Errorf("user data: no file %s for kubeadm join", path)
}

const jinjaHeader = "## template: jinja"

var variable = regexp.MustCompile(`\{\{-?\s*([\w.]+)\s*-?\}\}`)

// render fills in the instance data, as cloud-init does for user data that begins with its header.
func render(text string, s Spec) (string, error) {
	if !strings.HasPrefix(text, jinjaHeader) {
		return text, nil
	}
	if strings.Contains(text, "{%") {
		return "", errors.New("user data: a hollow VM knows variables of jinja only, no statements")
	}
	data := map[string]string{"local_hostname": s.Hostname, "hostname": s.Hostname, "name": s.Name, "local_ipv4": s.Address.String(),
		"uuid": s.ID, "instance_id": s.ID, "availability_zone": s.Zone}
	var unknown error
	rendered := variable.ReplaceAllStringFunc(text, func(match string) string {
		name := variable.FindStringSubmatch(match)[1]
		for _, prefix := range []string{"ds.meta_data.", "v1."} {
			if value, ok := data[strings.TrimPrefix(name, prefix)]; ok && strings.HasPrefix(name, prefix) {
				return value
			}
		}
		unknown = fmt.Errorf("user data: a hollow VM does not know %s", name)
		return match
	})
	return rendered, unknown
}

// joinPath finds the configuration file of kubeadm join among the commands.
func (c cloudConfig) joinPath() (string, error) {
	for _, raw := range c.RunCmd {
		var line string
		var words []string
		if json.Unmarshal(raw, &line) == nil {
			words = strings.Fields(line)
		} else if err := json.Unmarshal(raw, &words); err != nil {
			return "", fmt.Errorf("user data: runcmd: %w", err)
		}
		if !strings.Contains(strings.Join(words, " "), "kubeadm join") {
			continue
		}
		for i, word := range words {
			if value, ok := strings.CutPrefix(word, "--config="); ok {
				return value, nil
			}
			if word == "--config" && i+1 < len(words) {
				return words[i+1], nil
			}
		}
		return "", errors.New("user data: kubeadm join without --config")
	}
	return "", errNothingToJoin
}

// decode is for write_files' encodings.
func decode(content, encoding string) ([]byte, error) {
	data := []byte(content)
	if strings.Contains(encoding, "b64") || strings.Contains(encoding, "base64") {
		var err error
		if data, err = base64.StdEncoding.DecodeString(content); err != nil {
			return nil, err
		}
	}
	if !strings.HasPrefix(encoding, "gz") {
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, 1<<20))
}

func parseJoin(content []byte) (joinConfig, error) {
	for _, document := range bytes.Split(content, []byte("\n---")) {
		var c joinConfig
		if err := yaml.Unmarshal(document, &c); err != nil {
			return c, fmt.Errorf("kubeadm's configuration: %w", err)
		}
		if c.Kind != "JoinConfiguration" {
			continue
		}
		switch {
		case len(c.ControlPlane) > 0:
			return c, errors.New("a hollow VM cannot be a control plane")
		case c.Discovery.BootstrapToken == nil:
			return c, errors.New("kubeadm's configuration: discovery.bootstrapToken is missing, and a hollow VM knows no other way")
		case c.NodeRegistration.Name == "":
			return c, errors.New("kubeadm's configuration: nodeRegistration.name is missing")
		}
		return c, nil
	}
	return joinConfig{}, errors.New("kubeadm's configuration: there is no JoinConfiguration")
}
