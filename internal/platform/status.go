package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/platform/helm"
)

// Status is what `mke status -o json` prints; scripts may rely on its fields.
type Status struct {
	Region               string            `json:"region"`
	Endpoint             string            `json:"endpoint"`
	CAFile               string            `json:"ca_file"`
	APIKeyFile           string            `json:"api_key_file"`
	ManagementKubeconfig string            `json:"management_kubeconfig"`
	Components           []Component       `json:"components"`
	Versions             map[string]string `json:"versions"`
}

// Component is one part of the region.
type Component struct {
	Name    string `json:"name"`
	Healthy bool   `json:"healthy"`
	Message string `json:"message"`
}

// ReadStatus asks every part of the region how it is. A region that is down is no error: its components say so.
func ReadStatus(ctx context.Context, dataDir, version string) (*Status, error) {
	p := Paths{Data: dataDir}
	s := &Status{
		CAFile:               p.CAFile(),
		APIKeyFile:           p.APIKeyFile(),
		ManagementKubeconfig: p.ManagementKubeconfig(),
		Versions:             map[string]string{"mke": version},
		Components:           []Component{},
	}
	file, err := loadRegion(p)
	if err != nil {
		return nil, err
	}
	if file != nil {
		s.Region, s.Endpoint = file.Region, file.Endpoint
	}
	s.add("cloud", (daemon{paths: p}).healthy(ctx), "runs")
	s.management(ctx)
	s.gateway(ctx)
	return s, nil
}

func (s *Status) add(name string, err error, healthy string) {
	c := Component{Name: name, Healthy: err == nil, Message: healthy}
	if err != nil {
		c.Message = firstLine(err.Error())
	}
	s.Components = append(s.Components, c)
}

// management lists the API server and every Deployment and StatefulSet of the platform.
func (s *Status) management(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	const name = "management cluster"
	config, err := os.ReadFile(s.ManagementKubeconfig)
	if err != nil {
		s.add(name, fmt.Errorf("there is none: run `mke up`"), "")
		return
	}
	kube, err := clientset(config)
	if err != nil {
		s.add(name, err, "")
		return
	}
	v, err := kube.Discovery().ServerVersion()
	s.add(name, err, "runs")
	if err != nil {
		return
	}
	s.Versions["management-kubernetes"] = v.GitVersion
	deployments, err := kube.AppsV1().Deployments(helm.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		s.add("platform", err, "")
		return
	}
	for _, d := range deployments.Items {
		s.add(d.Name, replicasReady(d.Status.ReadyReplicas, *d.Spec.Replicas), "runs")
	}
	sets, err := kube.AppsV1().StatefulSets(helm.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		s.add("database", err, "")
		return
	}
	for _, d := range sets.Items {
		s.add(d.Name, replicasReady(d.Status.ReadyReplicas, *d.Spec.Replicas), "runs")
	}
}

func replicasReady(ready, wanted int32) error {
	if ready < wanted {
		return fmt.Errorf("%d of %d pods are ready", ready, wanted)
	}
	return nil
}

func (s *Status) gateway(ctx context.Context) {
	const name = "gateway endpoint"
	if s.Endpoint == "" {
		s.add(name, fmt.Errorf("not known yet: run `mke up`"), "")
		return
	}
	key, err := os.ReadFile(s.APIKeyFile)
	if err != nil {
		s.add(name, err, "")
		return
	}
	client, err := mgc.NewHTTPClient(s.CAFile)
	if err != nil {
		s.add(name, err, "")
		return
	}
	client.Timeout = 5 * time.Second
	s.add(name, askVersions(ctx, client, s.Endpoint+"/"+s.Region+"/kubernetes", firstLine(string(key))), "answers")
}

// Healthy is true when every component is.
func (s *Status) Healthy() bool {
	for _, c := range s.Components {
		if !c.Healthy {
			return false
		}
	}
	return true
}

// Print writes the status as a table or, with format "json", as JSON.
func (s *Status) Print(out io.Writer, format string) error {
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Region\t%s\nEndpoint\t%s\nCA file\t%s\nAPI key file\t%s\nManagement kubeconfig\t%s\n\n", s.Region, s.Endpoint, s.CAFile, s.APIKeyFile, s.ManagementKubeconfig)
	for _, c := range s.Components {
		state := "healthy"
		if !c.Healthy {
			state = "UNHEALTHY"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Name, state, c.Message)
	}
	return w.Flush()
}
