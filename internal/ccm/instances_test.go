package ccm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cloudprovider "k8s.io/cloud-provider"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

const (
	clusterID = "5d3c1f0e-0000-4000-8000-00000000000b"
	label     = "mke.cluster-id=" + clusterID
)

// clock is a time that tests move.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newTestProvider(t *testing.T, cloud *mgctest.Cloud) (*Provider, *clock) {
	c := &clock{time.Now()}
	compute0 := cloud.Client(t).Compute
	return &Provider{instances: &instances{connect: func() (compute, error) { return compute0, nil }, label: label, now: c.now}}, c
}

func node(name, providerID string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: providerID}}
}

func TestMetadata(t *testing.T) {
	cloud := mgctest.New(t)
	i := cloud.AddInstance("node-1", "br-se1-b", "BV4-8-40", label)
	p, _ := newTestProvider(t, cloud)
	for _, n := range []*corev1.Node{node("node-1", "magalu://br-se1-b/"+i.ID), node("node-1", "")} {
		got, err := p.InstanceMetadata(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if got.ProviderID != "magalu://br-se1-b/"+i.ID || got.InstanceType != "BV4-8-40" || got.Zone != "br-se1-b" || got.Region != "br-se1" {
			t.Errorf("metadata %+v", got)
		}
		want := fmt.Sprint([]corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: i.PrivateIPv4()}, {Type: corev1.NodeHostName, Address: "node-1"}})
		if fmt.Sprint(got.NodeAddresses) != want {
			t.Errorf("addresses %v, want %s", got.NodeAddresses, want)
		}
	}
}

func TestExists(t *testing.T) {
	cloud := mgctest.New(t)
	ours := cloud.AddInstance("node-1", "br-se1-a", "BV2-4-40", label)
	stopped := cloud.AddInstance("node-2", "br-se1-a", "BV2-4-40", label)
	cloud.SetInstance(stopped.ID, mgc.InstanceStopped, mgc.InstanceCompleted)
	foreign := cloud.AddInstance("node-3", "br-se1-a", "BV2-4-40", "mke.cluster-id=other")
	for _, tt := range []struct {
		name, providerID string
		fault            *mgctest.Fault
		exists, shutdown bool
		cannotTell       bool
	}{
		{name: "running", providerID: "magalu://br-se1-a/" + ours.ID, exists: true},
		{name: "stopped", providerID: "magalu://br-se1-a/" + stopped.ID, exists: true, shutdown: true},
		{name: "gone", providerID: "magalu://br-se1-a/00000000-0000-4000-8000-000000000009"},
		{name: "another cluster's", providerID: "magalu://br-se1-a/" + foreign.ID, cannotTell: true},
		{name: "another provider's", providerID: "aws:///eu-1/i-1", cannotTell: true},
		{name: "cloud down", providerID: "magalu://br-se1-a/" + ours.ID, fault: &mgctest.Fault{Status: 500}, cannotTell: true},
		{name: "list without it, then cloud down", providerID: "magalu://br-se1-a/00000000-0000-4000-8000-000000000009",
			fault: &mgctest.Fault{Path: "instances/.+", Status: 503}, cannotTell: true},
		{name: "key refused", providerID: "magalu://br-se1-a/" + ours.ID, fault: &mgctest.Fault{Status: 401}, cannotTell: true},
		{name: "rate limited", providerID: "magalu://br-se1-a/" + ours.ID, fault: &mgctest.Fault{Status: 429}, cannotTell: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := newTestProvider(t, cloud)
			if tt.fault != nil {
				defer cloud.Inject(*tt.fault)()
			}
			exists, err := p.InstanceExists(t.Context(), node("n", tt.providerID))
			if exists != tt.exists || (err != nil) != tt.cannotTell {
				t.Errorf("exists %v, error %v", exists, err)
			}
			if tt.exists {
				if shutdown, err := p.InstanceShutdown(t.Context(), node("n", tt.providerID)); shutdown != tt.shutdown || err != nil {
					t.Errorf("shutdown %v, error %v", shutdown, err)
				}
			}
		})
	}
}

// TestManyNodesCostOneCall also covers Nodes that join after the list was read.
func TestManyNodesCostOneCall(t *testing.T) {
	cloud := mgctest.New(t)
	var ids []string
	add := func(n int) {
		for range n {
			ids = append(ids, cloud.AddInstance(fmt.Sprintf("node-%d", len(ids)), "br-se1-a", "BV2-4-40", label).ID)
		}
	}
	p, c := newTestProvider(t, cloud)
	ask := func() {
		var all sync.WaitGroup
		for _, id := range ids {
			all.Go(func() {
				if _, err := p.InstanceMetadata(t.Context(), node("", "magalu://br-se1-a/"+id)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	for _, step := range []struct {
		name  string
		do    func()
		calls int
	}{
		{"first", func() { add(100) }, 1},
		{"again", func() {}, 0},
		{"more nodes", func() { add(50); c.Time = c.Add(missTTL) }, 1},
		{"later", func() { c.Time = c.Add(listTTL) }, 1},
	} {
		step.do()
		cloud.ResetCalls()
		ask()
		if got := len(cloud.Calls()); got != step.calls {
			t.Errorf("%s: %d calls, want %d", step.name, got, step.calls)
		}
	}
}

func TestVanished(t *testing.T) {
	cloud := mgctest.New(t)
	controlPlane := cloud.AddInstance("control-plane", "br-se1-a", "BV2-4-40", label)
	i := cloud.AddInstance("node-1", "br-se1-a", "BV2-4-40", label)
	p, c := newTestProvider(t, cloud)
	n := node("node-1", "magalu://br-se1-a/"+i.ID)
	if exists, err := p.InstanceExists(t.Context(), n); !exists || err != nil {
		t.Fatal(exists, err)
	}
	cloud.RemoveInstance(i.ID)
	c.Time = c.Add(listTTL)
	if exists, err := p.InstanceExists(t.Context(), n); exists || err != nil {
		t.Error(exists, err)
	}
	if _, err := p.InstanceMetadata(t.Context(), n); !errors.Is(err, cloudprovider.InstanceNotFound) {
		t.Error(err)
	}
	cloud.RemoveInstance(controlPlane.ID)
	c.Time = c.Add(listTTL)
	if exists, err := p.InstanceExists(t.Context(), n); exists || !errors.Is(err, errNoneOfOurs) {
		t.Errorf("a view without any VM of the cluster proves something: %v, %v", exists, err)
	}
}

// TestCloudIsLeftAloneAfterErrors counts the calls of someone who asks all the time.
func TestCloudIsLeftAloneAfterErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault mgctest.Fault
		calls int // in 60 s
	}{
		{"growing pauses", mgctest.Fault{Status: 401}, 7},
		{"as long as the cloud asks for", mgctest.Fault{Status: 429, RetryAfter: 20 * time.Second}, 4},
		{"not longer than a minute", mgctest.Fault{Status: 429, RetryAfter: time.Hour}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud := mgctest.New(t)
			i := cloud.AddInstance("node-1", "br-se1-a", "BV2-4-40", label)
			p, c := newTestProvider(t, cloud)
			n := node("node-1", "magalu://br-se1-a/"+i.ID)
			remove := cloud.Inject(tt.fault)
			for range 61 {
				if _, err := p.InstanceExists(t.Context(), n); err == nil {
					t.Fatal("the fault does not strike")
				}
				c.Time = c.Add(time.Second)
			}
			if got := len(cloud.Calls()); got > tt.calls {
				t.Errorf("%d calls, want at most %d", got, tt.calls)
			}
			remove()
			c.Time = c.Add(longestRest)
			if exists, err := p.InstanceExists(t.Context(), n); !exists || err != nil {
				t.Error(exists, err)
			}
		})
	}
}

func TestCredentialsAreReadAgain(t *testing.T) {
	cloud := mgctest.New(t)
	dir := t.TempDir()
	write := func(key string) {
		if err := os.WriteFile(filepath.Join(dir, "api-key"), []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("99999999-9999-4999-8999-999999999999")
	p, err := newProvider(Options{ClusterID: clusterID, CloudEndpoint: cloud.Endpoint(), CredentialsDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	i := cloud.AddInstance("node-1", "br-se1-a", "BV2-4-40", label)
	n := node("node-1", "magalu://br-se1-a/"+i.ID)
	if _, err := p.InstanceExists(t.Context(), n); !mgc.IsUnauthorized(err) {
		t.Errorf("error %v", err)
	}
	write(mgctest.TenantKey)
	if exists, err := p.InstanceExists(t.Context(), n); !exists || err != nil {
		t.Error(exists, err)
	}
}

func TestRefusesToRunWithoutClusterID(t *testing.T) {
	if err := Run(t.Context(), Options{LogLevel: "info"}); err == nil {
		t.Error("it runs")
	}
}
