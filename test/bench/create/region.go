package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"magalu.cloud/mke/internal/mgc"
)

// region is the region that is measured.
type region struct {
	bin, data  string
	name       string
	product    string // base address of the Kubernetes product
	key        string
	http       *http.Client
	cloud      *mgc.Client
	management *kubernetes.Clientset
}

// openRegion takes the region that is up, or brings one up and returns how to take it down.
func openRegion(ctx context.Context, bin, data string) (*region, func(), error) {
	r := &region{bin: bin, data: data}
	down := func() {}
	if _, err := r.mke(ctx, "status", "-o", "json"); err != nil {
		fmt.Println("bringing a region up")
		if out, err := r.mke(ctx, "up", "--no-demo"); err != nil {
			return nil, down, fmt.Errorf("mke up: %w\n%s", err, out)
		}
		down = func() { _, _ = r.mke(context.WithoutCancel(ctx), "down") }
	}
	err := r.connect(ctx)
	if err != nil {
		down()
	}
	return r, down, err
}

func (r *region) mke(ctx context.Context, verb string, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, filepath.Join(r.bin, "mke"), append([]string{verb, "--data-dir", r.data}, args...)...).Output()
}

func (r *region) connect(ctx context.Context) error {
	out, err := r.mke(ctx, "status", "-o", "json")
	if err != nil {
		return fmt.Errorf("mke status: %w", err)
	}
	var s struct {
		Region               string `json:"region"`
		Endpoint             string `json:"endpoint"`
		CAFile               string `json:"ca_file"`
		APIKeyFile           string `json:"api_key_file"`
		ManagementKubeconfig string `json:"management_kubeconfig"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return err
	}
	key, err := os.ReadFile(s.APIKeyFile)
	if err != nil {
		return err
	}
	r.name, r.key = s.Region, strings.TrimSpace(string(key))
	r.product = s.Endpoint + "/" + s.Region + "/kubernetes"
	if r.http, err = mgc.NewHTTPClient(s.CAFile); err != nil {
		return err
	}
	r.http.Timeout = 30 * time.Second
	if r.cloud, err = mgc.New(mgc.Config{Endpoint: "https://198.18.0.1:8443/" + s.Region, APIKey: r.key, CAFile: s.CAFile}); err != nil {
		return err
	}
	config, err := os.ReadFile(s.ManagementKubeconfig)
	if err != nil {
		return err
	}
	r.management, err = clientset(config, "")
	return err
}

// clientset makes a client from a kubeconfig. serverName, when given, is the name expected in the server's certificate.
func clientset(kubeconfig []byte, serverName string) (*kubernetes.Clientset, error) {
	config, err := restConfig(kubeconfig, serverName)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func restConfig(kubeconfig []byte, serverName string) (*rest.Config, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst, config.Timeout = 200, 400, 5*time.Second
	config.ServerName = serverName
	return config, nil
}

var errNotFound = errors.New("not found")

// call sends one request to the Kubernetes product.
func (r *region) call(ctx context.Context, method, path string, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.product+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Api-Key", r.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusNotFound:
		return nil, errNotFound
	case res.StatusCode/100 != 2:
		return nil, fmt.Errorf("%s %s: %s %s", method, path, res.Status, out)
	}
	return out, nil
}

func (r *region) get(ctx context.Context, path string, into any) error {
	out, err := r.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}
