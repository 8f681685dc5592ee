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
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/test/bench/benchsite"
)

// region is the region that is measured.
type region struct {
	*benchsite.Region
	bin, data  string
	product    string // base address of the Kubernetes product
	http       *http.Client
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
	return benchsite.Output(exec.CommandContext(ctx, filepath.Join(r.bin, "mke"), append([]string{verb, "--data-dir", r.data}, args...)...))
}

func (r *region) connect(ctx context.Context) (err error) {
	if r.Region, err = benchsite.OpenRegion(ctx, r.bin, r.data); err != nil {
		return err
	}
	r.product = r.Endpoint + "/" + r.Name + "/kubernetes"
	if r.http, err = mgc.NewHTTPClient(r.CAFile); err != nil {
		return err
	}
	r.http.Timeout = 30 * time.Second
	config, err := os.ReadFile(r.ManagementKubeconfig)
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
	req.Header.Set("X-Api-Key", r.Key)
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
