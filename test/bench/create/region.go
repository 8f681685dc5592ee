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
	data       string
	product    string // base address of the Kubernetes product
	http       *http.Client
	management *kubernetes.Clientset
}

// openRegion takes the region that is up, or brings one up and returns how to take it down.
func openRegion(ctx context.Context, bin, data string) (*region, func(), error) {
	up, down, err := benchsite.BringUp(ctx, bin, data)
	if err != nil {
		return nil, down, err
	}
	r := &region{Region: up, data: data}
	if err = r.connect(); err != nil {
		down()
	}
	return r, down, err
}

// until asks less often than others do: each look at a cluster that comes up is several requests to it.
func until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	return benchsite.UntilEvery(ctx, 50*time.Millisecond, what, done)
}

func (r *region) connect() (err error) {
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
