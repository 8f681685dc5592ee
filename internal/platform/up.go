package platform

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/image"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/platform/management"
	"magalu.cloud/mke/internal/progress"
)

// Options of `mke up`.
type Options struct {
	DataDir string
	Region  string
	// BinDir holds mke, mgc and kubectl.
	BinDir string
	// ManagementKubeconfig, when set, is a Kubernetes cluster to use instead of the region's first VM.
	ManagementKubeconfig string
	// AutoscalerArgs are further flags of customers' cluster autoscalers.
	AutoscalerArgs []string
	// Replicas of the gateway and of the API.
	Replicas int
	// Demo makes meu-cluster with nginx in it at the end.
	Demo bool
	// Hollow offers flavors of hollow VMs too.
	Hollow bool
	// HollowBehavior is a file with how they behave.
	HollowBehavior string
	// Quotas are what each tenant may have in the local cloud, by name; nil: as before.
	Quotas map[string]int64
	Out    io.Writer
}

// region is one run of `mke up`.
type region struct {
	Options
	paths   Paths
	printer *progress.Printer
	daemon  daemon

	identities *bootstrap
	ca         *authority
	cloud      *mgc.Client // as the platform's tenant
	endpoint   string      // the gateway's address
	kubeconfig []byte      // of the management cluster
	// platformImage is this build of our servers.
	platformImage image.ContainerImage
	cidrs         []string // from which the management cluster calls
}

// Up brings a region up. It is safe to run again at any time: what exists is kept, what is missing or half made is completed.
func Up(ctx context.Context, o Options) error {
	if err := Preflight(o.DataDir); err != nil {
		return err
	}
	r := &region{Options: o, paths: Paths{Data: o.DataDir}, printer: progress.New(o.Out)}
	r.daemon = daemon{paths: r.paths, region: o.Region}
	unlock, err := lock(r.paths)
	if err != nil {
		return err
	}
	defer unlock()

	start := time.Now()
	phases := []struct {
		name string
		work func(context.Context, *progress.Phase) error
	}{
		{"Debian packages", EnsurePackages},
		{"Images", r.images},
		{"Host limits, identities, certificates", r.prepare},
		{"Local Magalu Cloud", r.localCloud},
		{"Management cluster", r.managementCluster},
		{"Platform", r.platform},
		{"Gateway", r.gateway},
	}
	for _, p := range phases {
		if err := r.printer.Run(ctx, p.name, p.work); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	fmt.Fprintf(o.Out, "Region %s is up (%s): %s\n", o.Region, progress.Seconds(time.Since(start)), r.endpoint)
	if !o.Demo {
		return nil
	}
	if err := r.demo(ctx); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "\nFrom nothing to this in %s.\n", progress.Seconds(time.Since(start)))
	return nil
}

// lock keeps two runs from working on one data folder; the kernel drops it when the process dies.
func lock(p Paths) (func(), error) {
	if err := os.MkdirAll(p.Data, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	f, err := os.OpenFile(p.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another `mke up` or `mke down` works on %s: wait for it or stop it", p.Data)
	}
	return func() { f.Close() }, nil
}

// prepare raises limits of the host and makes identities and certificates once per data folder.
func (r *region) prepare(ctx context.Context, _ *progress.Phase) error {
	err := sysctls{root: "/proc/sys"}.raise(hostLimits, r.paths.HostLimits())
	if err != nil {
		return err
	}
	if r.identities, err = ensureBootstrap(r.paths); err != nil {
		return err
	}
	if r.ca, err = ensureAuthority(r.paths, "ca", "MKE region "+r.Region); err != nil {
		return err
	}
	if _, _, err := r.ca.ensureCertificate(r.paths, "cloud", cloudHost(), "localhost", "127.0.0.1"); err != nil {
		return err
	}
	r.cloud, err = mgc.New(mgc.Config{
		Endpoint: r.cloudEndpoint(),
		APIKey:   r.identities.PlatformAPIKey,
		TenantID: r.identities.tenant(platformTenant).ID,
		CAFile:   r.paths.CAFile(),
	})
	return err
}

// localCloud starts the daemon and tells it how hollow VMs behave.
func (r *region) localCloud(ctx context.Context, ph *progress.Phase) (err error) {
	if r.daemon.quotas, err = rememberQuotas(r.paths, r.Quotas); err != nil {
		return err
	}
	if err := r.daemon.ensure(ctx, ph); err != nil || r.HollowBehavior == "" {
		return err
	}
	rules, err := os.ReadFile(r.HollowBehavior)
	if err != nil {
		return fmt.Errorf("--hollow-behavior: %w", err)
	}
	if err := r.daemon.put(ctx, "/internal/v1/hollow", rules); err != nil {
		return fmt.Errorf("--hollow-behavior: %w", err)
	}
	return nil
}

func (r *region) cloudEndpoint() string { return "https://" + CloudAddress + "/" + r.Region }

// managementCluster makes the region's first VM a Kubernetes cluster, or takes the given one.
func (r *region) managementCluster(ctx context.Context, ph *progress.Phase) error {
	if r.ManagementKubeconfig != "" {
		return r.adoptManagementCluster(ctx, ph)
	}
	infra := managementInfra{cloud: r.cloud, region: r.Region}
	vpcID, subnet, err := infra.network(ctx)
	if err != nil {
		return err
	}
	group, err := infra.securityGroup(ctx)
	if err != nil {
		return err
	}
	lb, err := infra.loadBalancer(ctx, vpcID)
	if err != nil {
		return err
	}
	r.endpoint = "https://" + lb.PublicIP.IPAddress
	authority, err := ensureAuthority(r.paths, "management-ca", "kubernetes")
	if err != nil {
		return err
	}
	pki := management.PKI{Certificate: authority.certPEM, Key: authority.keyPEM}
	userData, err := management.UserData(management.Options{CA: pki, SANs: []string{lb.PublicIP.IPAddress}})
	if err != nil {
		return err
	}
	inst, err := infra.instance(ctx, ph, subnet, vpcID, group, userData)
	if err != nil {
		return err
	}
	if err := infra.target(ctx, lb, inst.PrimaryInterface().ID); err != nil {
		return err
	}
	r.cidrs = []string{inst.PrimaryInterface().AssociatedPublicIPv4 + "/32"}
	if r.kubeconfig, err = management.AdminKubeconfig(pki, fmt.Sprintf("https://%s:%d", lb.PublicIP.IPAddress, kubernetesPort)); err != nil {
		return err
	}
	if err := writeFile(r.paths.ManagementKubeconfig(), r.kubeconfig, 0o600); err != nil {
		return err
	}
	ph.Detail("waiting for its API server")
	if err := waitAPIServer(ctx, r.kubeconfig); err != nil {
		return fmt.Errorf("%w\nthe VM's last words:\n%s", err, r.consoleOf(ctx, inst.ID))
	}
	return r.loadImages(ctx, ph, inst.ID)
}

func (r *region) consoleOf(ctx context.Context, instanceID string) string {
	lines, err := r.cloud.Compute.InitLogs(ctx, instanceID, 20)
	if err != nil {
		return err.Error()
	}
	text := ""
	for _, l := range lines {
		text += l + "\n"
	}
	return text
}

func cloudHost() string {
	host, _, _ := net.SplitHostPort(CloudAddress)
	return host
}
