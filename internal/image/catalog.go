package image

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Versions of what is built. Those of Kubernetes' companions are the ones that
// kubeadm of the same version asks for.
const (
	KubernetesVersion = "v1.34.2"
	pauseVersion      = "3.10.1"
	etcdVersion       = "3.6.5-0"
	coreDNSVersion    = "v1.12.1"
	calicoVersion     = "v3.28.5"
	clusterAPIVersion = "v1.13.6"
	containerdVersion = "v2.4.2"
	runcVersion       = "v1.4.3"
	cniPluginsVersion = "v1.9.1"
	postgresVersion   = "15"

	csiVersion            = "v0.1.0" // of MGC-CSI, our own
	csiProvisionerVersion = "v6.3.0" // v6.4.0 needs a release of its library that is not served as a module
	csiAttacherVersion    = "v4.13.0"
	csiResizerVersion     = "v2.3.0"
	csiSnapshotterVersion = "v8.7.0"
	metricsServerVersion  = "v0.9.0"
	nodeExporterVersion   = "v1.12.1"
	prometheusVersion     = "v3.16.0" // its module says v0.316.0

	debianSuite        = "bookworm"
	busyboxSuite       = "trixie" // has busybox 1.37
	platformArch       = runtime.GOARCH
	kubernetesBinary   = "kubernetes"
	revision           = 1 // raise to make everything but the Go programs anew
	unprivileged       = "65532:65532"
	postgresUID        = 70
	containersPath     = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	calicoModule       = "github.com/projectcalico/calico"
	cniPluginsPackages = "github.com/containernetworking/plugins/plugins/"
)

// catalogue collects the steps in an order in which inputs come first, and what
// takes longest among the equal ones.
type catalogue struct {
	steps     []*Step
	toolchain string
}

func (c *catalogue) add(kind, name, version string, r recipe) *Step {
	step := &Step{Kind: kind, Name: name, Version: version, recipe: r}
	c.steps = append(c.steps, step)
	return step
}

// Catalogue lists everything that is built from a repository.
func Catalogue(ctx context.Context) ([]*Step, error) {
	toolchain, err := goToolchain(ctx)
	if err != nil {
		return nil, err
	}
	c := &catalogue{toolchain: toolchain}
	p := c.programs()
	d := c.debianRoots()
	images := c.images(p, d)
	c.add("node", "node", KubernetesVersion, &nodeRoot{
		Revision: 2, Debian: d.node, Kubernetes: p.kubernetes, Containerd: p.containerd, Runc: p.runc, CNI: p.cni, Calico: p.calico,
		Masked: maskedUnits,
	})
	store := func(name string, base *Step, images ...*Step) *Step {
		return c.add("store", name, KubernetesVersion, &containerdStore{
			Revision: revision, Containerd: p.containerd, Base: base, Images: images,
		})
	}
	// Our own code comes last in each, so that an edit of it imports nothing else.
	customerBase := store("customer-base", nil, images.customer...)
	store("customer", customerBase, images.csi)
	managementBase := store("management-base", customerBase, images.management...)
	store("management", managementBase, images.csi, images.platform)
	return c.steps, nil
}

// csiSources are all that MGC-CSI is made of: an edit elsewhere must not change what every node carries.
var csiSources = []string{"go.mod", "go.sum", "cmd/mgc-csi", "internal/audit", "internal/csi", "internal/logging", "internal/mgc", "internal/version"}

// maskedUnits never start on a node: its console is a log, it has no encrypted or
// hibernated disks, and every generator is a process in the first 0.2 s of a boot.
var maskedUnits = []string{
	"system/console-getty.service", "system/systemd-ask-password-console.path", "system/systemd-ask-password-wall.path",
	"system/cloud-init-local.service", "system/cloud-config.service", "system/cloud-final.service",
	"system/systemd-firstboot.service", "system/systemd-sysusers.service", "system/systemd-networkd-wait-online.service",
	"system/systemd-update-utmp.service", "system/systemd-update-utmp-runlevel.service",
	"system/dev-hugepages.mount", "system/proc-sys-fs-binfmt_misc.automount", "system/sys-fs-fuse-connections.mount",
	"system/sys-kernel-config.mount", "system/sys-kernel-debug.mount", "system/sys-kernel-tracing.mount",
	"system-generators/cloud-init-generator", "system-generators/systemd-cryptsetup-generator",
	"system-generators/systemd-gpt-auto-generator", "system-generators/systemd-hibernate-resume-generator",
	"system-generators/systemd-integritysetup-generator", "system-generators/systemd-rc-local-generator",
	"system-generators/systemd-run-generator", "system-generators/systemd-system-update-generator",
	"system-generators/systemd-sysv-generator", "system-generators/systemd-veritysetup-generator",
}

func goToolchain(ctx context.Context) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("images are compiled with Go, which was not found in PATH: %w", err)
	}
	return strings.Join(strings.Fields(string(text)), " "), nil
}

type programs struct {
	kubernetes, containerd, runc, etcd, cni, coredns, calico, clusterAPI, pause *Step
	csiSidecars, metricsServer, nodeExporter, prometheus                        *Step
	mke, csi                                                                    *Step // our own code
}

func (c *catalogue) programs() programs {
	build := func(name, version string, g goBinaries) *Step {
		g.Toolchain = c.toolchain
		if g.Dir == "" {
			g.Dir = "images/" + name
		}
		return c.add("bin", name, version, &g)
	}
	self := func(names ...string) map[string]string {
		packages := map[string]string{}
		for _, name := range names {
			packages[name[strings.LastIndex(name, "/")+1:]] = name
		}
		return packages
	}
	under := func(prefix string, names ...string) map[string]string {
		for i := range names {
			names[i] = prefix + names[i]
		}
		return self(names...)
	}
	return programs{
		kubernetes: build("kubernetes", KubernetesVersion, goBinaries{
			Dir: "images/kubernetes/" + KubernetesVersion, Packages: map[string]string{kubernetesBinary: "."},
			LDFlags: kubernetesLDFlags(KubernetesVersion),
		}),
		containerd: build("containerd", containerdVersion, goBinaries{
			Packages: under("github.com/containerd/containerd/v2/cmd/", "containerd", "containerd-shim-runc-v2", "ctr"),
			Tags:     "no_btrfs no_devmapper no_zfs",
			LDFlags:  "-X github.com/containerd/containerd/v2/version.Version=" + containerdVersion,
		}),
		runc: build("runc", runcVersion, goBinaries{
			Packages: self("github.com/opencontainers/runc"), Tags: "seccomp netgo osusergo", Cgo: true,
		}),
		etcd: build("etcd", etcdVersion, goBinaries{Packages: map[string]string{"etcd": "go.etcd.io/etcd/server/v3"}}),
		cni: build("cni-plugins", cniPluginsVersion, goBinaries{
			Packages: under(cniPluginsPackages, "ipam/host-local", "main/bridge", "main/loopback", "main/ptp",
				"meta/bandwidth", "meta/portmap", "meta/tuning"),
		}),
		coredns: build("coredns", coreDNSVersion, goBinaries{Packages: self("github.com/coredns/coredns")}),
		calico: build("calico", calicoVersion, goBinaries{
			Packages: under(calicoModule+"/", "node/cmd/calico-node", "node/cmd/mountns", "cni-plugin/cmd/calico", "cni-plugin/cmd/install",
				"kube-controllers/cmd/kube-controllers", "kube-controllers/cmd/check-status"),
			LDFlags: "-X main.VERSION=" + calicoVersion + " -X " + calicoModule + "/node/pkg/lifecycle/startup.VERSION=" + calicoVersion,
			Copy:    map[string]string{"filesystem": calicoModule + " node/filesystem"},
		}),
		clusterAPI: build("cluster-api", clusterAPIVersion, goBinaries{
			Packages: map[string]string{
				"manager-core":          "sigs.k8s.io/cluster-api",
				"manager-bootstrap":     "sigs.k8s.io/cluster-api/bootstrap/kubeadm",
				"manager-control-plane": "sigs.k8s.io/cluster-api/controlplane/kubeadm",
			},
			LDFlags: versionFlags("sigs.k8s.io/cluster-api/version", clusterAPIVersion),
			Patches: clusterAPIPatches,
		}),
		csiSidecars: build("csi-sidecars", csiProvisionerVersion, goBinaries{
			Packages: self("github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner",
				"github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher",
				"github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer",
				"github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter",
				"github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller"),
			// For servers older than Kubernetes 1.24 only, and too old for the libraries of the other sidecars.
			Patches: []patch{{
				Module: "github.com/kubernetes-csi/external-provisioner/v6", File: "cmd/csi-provisioner/csi-provisioner.go",
				Old: "\t\t\tcInformer = capacity.NewV1beta1InformerBridge(factoryForNamespace.Storage().V1beta1().CSIStorageCapacities())\n",
			}},
		}),
		metricsServer: build("metrics-server", metricsServerVersion, goBinaries{
			Packages: self("sigs.k8s.io/metrics-server/cmd/metrics-server"),
			LDFlags:  "-X sigs.k8s.io/metrics-server/pkg/version.gitVersion=" + metricsServerVersion,
		}),
		nodeExporter: build("node-exporter", nodeExporterVersion, goBinaries{
			Packages: self("github.com/prometheus/node_exporter"), LDFlags: prometheusFlags(nodeExporterVersion),
		}),
		// Of the service discoveries that of Kubernetes, files and HTTP: the others bring the client of every cloud along.
		prometheus: build("prometheus", prometheusVersion, goBinaries{
			Packages: self("github.com/prometheus/prometheus/cmd/prometheus"), Tags: "remove_all_sd,enable_kubernetes_sd",
			LDFlags: prometheusFlags(prometheusVersion),
		}),
		pause: build("pause", pauseVersion, goBinaries{Packages: map[string]string{"pause": "."}}),
		mke: build("mke", "dev", goBinaries{
			Dir: ".", Packages: map[string]string{"mke": "./cmd/mke"},
			Sources: []string{"go.mod", "go.sum", "api", "cmd", "internal", "deploy"},
		}),
		csi: build("mgc-csi", csiVersion, goBinaries{
			Dir: ".", Packages: map[string]string{"mgc-csi": "./cmd/mgc-csi"}, Sources: csiSources,
		}),
	}
}

func kubernetesLDFlags(version string) string {
	return versionFlags("k8s.io/component-base/version", version) + " " + versionFlags("k8s.io/client-go/pkg/version", version)
}

func prometheusFlags(version string) string {
	return "-X github.com/prometheus/common/version.Version=" + strings.TrimPrefix(version, "v")
}

// versionFlags fill the variables that all of Kubernetes' relatives use.
func versionFlags(pkg, version string) string {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	return fmt.Sprintf("-X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean",
		pkg, version, parts[0], parts[1])
}

// imageName shortens a repository to a name: docker.io/calico/node → calico-node.
func imageName(repository string) string {
	parent, name := path.Base(path.Dir(repository)), path.Base(repository)
	if strings.Contains(parent, ".") || parent == "library" || parent == name {
		return name
	}
	return parent + "-" + name
}

type debianRoots struct{ certificates, node, net, storage, postgres, nginx, busybox *Step }

func (c *catalogue) debianRoots() debianRoots {
	extract := func(name string, commands, drop []string, packages ...string) *Step {
		return c.add("debian", name, debianSuite, &debian{
			Revision: revision, Suite: debianSuite, Variant: "extract", Packages: append(packages, "busybox"),
			Applets: true, Commands: commands,
			Drop: append(drop, "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/perl5", "usr/share/bash-completion", "etc/init.d", "var/lib/dpkg"),
		})
	}
	return debianRoots{
		certificates: extract("certificates", []string{"cat /usr/share/ca-certificates/mozilla/*.crt >/etc/ssl/certs/ca-certificates.crt"},
			nil, "ca-certificates"),
		node: c.add("debian", "node", debianSuite, &debian{
			Revision: revision, Suite: debianSuite, Variant: "minbase",
			Packages: []string{
				"systemd", "systemd-sysv", "dbus", "udev", "cloud-init", "openssh-server", "sudo", "ca-certificates",
				"iproute2", "iputils-ping", "iptables", "nftables", "ipset", "ebtables", "conntrack", "socat", "ethtool",
				"kmod", "mount", "util-linux", "e2fsprogs", "xfsprogs", "procps", "less",
			},
			// The user that cloud-init would make at each first start.
			Commands: []string{"useradd --create-home --comment Debian --groups adm,systemd-journal --shell /bin/bash debian"},
			Drop:     []string{"lib/systemd/system/multi-user.target.wants/dbus.service"}, // its socket starts it
		}),
		net: extract("net", nil, nil, "iptables", "ipset", "nftables", "conntrack", "iproute2", "kmod", "runit"),
		storage: extract("storage", nil, []string{
			// Of xfsprogs all that needs neither Python nor the database of all characters; of util-linux nothing needs the rest.
			"usr/sbin/xfs_scrub*", "usr/lib/*/libicu*", "usr/bin/python3*", "usr/lib/python3*", "usr/share/python3", "usr/bin/perl*",
			"usr/lib/*/perl*", "usr/share/perl", "usr/share/zoneinfo", "usr/lib/*/gconv", "usr/lib/*/libcrypto*", "usr/lib/*/libdb-*",
			"usr/lib/*/libsqlite3*", "usr/lib/*/libkrb5*",
		}, "e2fsprogs", "xfsprogs", "mount", "util-linux"),
		postgres: extract("postgres", nil, []string{
			// The just-in-time compiler and its 110 MiB library.
			"usr/lib/x86_64-linux-gnu/libLLVM*", "usr/lib/postgresql/*/lib/llvmjit*", "usr/lib/postgresql/*/lib/bitcode",
			"usr/share/perl", "usr/lib/*/perl*", "usr/share/postgresql-common", "usr/lib/postgresql/*/bin/vacuumlo",
		}, "postgresql-"+postgresVersion),
		nginx: extract("nginx", nil, nil, "nginx"),
		busybox: c.add("bin", "busybox", busyboxSuite, &busybox{
			Revision: revision, Suite: busyboxSuite,
			Options: map[string]bool{"STATIC": true, "TC": false}, // tc does not compile with new headers of the kernel
		}),
	}
}

type imageSet struct {
	customer   []*Step // in every node
	management []*Step // also in the management cluster's nodes
	platform   *Step   // our own servers: change at every edit
	csi        *Step   // our own volume driver: in every node
}

func (c *catalogue) images(p programs, d debianRoots) imageSet {
	newLayer := func(name, version string, l layer) *Step {
		l.Revision = revision
		return c.add("layer", name, version, &l)
	}
	base := newLayer("base", debianSuite, baseLayer(d))
	kubernetes := newLayer("kubernetes", KubernetesVersion, kubernetesLayer(p))
	net := newLayer("net", debianSuite, netLayer(d))
	newImage := func(repository, tag string, config v1.Config, layers ...*Step) *Step {
		config.Env = append([]string{containersPath}, config.Env...)
		version := tag
		if ":"+tag == keyTag {
			version = "dev"
		}
		return c.add("oci", imageName(repository), version, &ociImage{Revision: revision, Ref: repository + ":" + tag, Config: config, Layers: layers})
	}
	program := func(path ...string) v1.Config { return v1.Config{Entrypoint: path} }
	unprivilegedProgram := func(path string) v1.Config { return v1.Config{Entrypoint: []string{path}, User: unprivileged} }
	kube := func(name string, layers ...*Step) *Step {
		return newImage("registry.k8s.io/"+name, KubernetesVersion, program("/usr/local/bin/"+name), layers...)
	}
	simple := func(name, version string, bin *Step, to string) *Step {
		return newLayer(name, version, layer{Trees: []tree{{From: bin, Path: name, To: to}}})
	}
	sidecar := func(name, version string) *Step {
		return newImage("mke.local/"+name, version, program("/usr/local/bin/"+name), base, simple(name, version, p.csiSidecars, "usr/local/bin/"+name))
	}
	return imageSet{
		customer: []*Step{
			kube("kube-apiserver", base, kubernetes),
			kube("kube-controller-manager", base, kubernetes),
			kube("kube-scheduler", base, kubernetes),
			kube("kube-proxy", base, kubernetes, net),
			newImage("registry.k8s.io/pause", pauseVersion, v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"},
				simple("pause", pauseVersion, p.pause, "pause")),
			newImage("registry.k8s.io/etcd", etcdVersion, program("etcd"), base, simple("etcd", etcdVersion, p.etcd, "usr/local/bin/etcd")),
			newImage("registry.k8s.io/coredns/coredns", coreDNSVersion, program("/coredns"),
				base, simple("coredns", coreDNSVersion, p.coredns, "coredns")),
			newImage("docker.io/calico/node", calicoVersion, v1.Config{Cmd: []string{"start_runit"}, Env: []string{"SVDIR=/etc/service/enabled"}},
				base, net, newLayer("calico-node", calicoVersion, calicoNodeLayer(p))),
			newImage("docker.io/calico/cni", calicoVersion, v1.Config{Cmd: []string{"/opt/cni/bin/install"}, WorkingDir: "/opt/cni/bin"},
				base, newLayer("calico-cni", calicoVersion, calicoCNILayer(p))),
			newImage("docker.io/calico/kube-controllers", calicoVersion, v1.Config{Entrypoint: []string{"/usr/bin/kube-controllers"}, User: "999"},
				base, newLayer("calico-kube-controllers", calicoVersion, calicoControllersLayer(p))),
			newImage("docker.io/library/nginx", "latest", nginxConfig(), base, newLayer("nginx", debianSuite, nginxLayer(d))),
			newImage("docker.io/library/busybox", "latest", v1.Config{Cmd: []string{"sh"}},
				base, newLayer("busybox", busyboxSuite, busyboxLayer(d))),
			newImage("mke.local/metrics-server", metricsServerVersion, unprivilegedProgram("/usr/local/bin/metrics-server"),
				base, simple("metrics-server", metricsServerVersion, p.metricsServer, "usr/local/bin/metrics-server")),
			newImage("mke.local/node-exporter", nodeExporterVersion, unprivilegedProgram("/usr/local/bin/node_exporter"),
				base, newLayer("node-exporter", nodeExporterVersion, layer{Trees: []tree{{From: p.nodeExporter, To: "usr/local/bin"}}})),
			newImage("mke.local/prometheus", prometheusVersion, unprivilegedProgram("/usr/local/bin/prometheus"),
				base, simple("prometheus", prometheusVersion, p.prometheus, "usr/local/bin/prometheus")),
		},
		management: []*Step{
			newImage("mke.local/cluster-api", clusterAPIVersion, v1.Config{Entrypoint: []string{"/manager-core"}, User: unprivileged},
				base, newLayer("cluster-api", clusterAPIVersion, layer{Trees: []tree{{From: p.clusterAPI}}})),
			newImage("mke.local/postgres", postgresVersion, postgresConfig(), base, newLayer("postgres", postgresVersion, postgresLayer(d))),
			sidecar("csi-provisioner", csiProvisionerVersion), sidecar("csi-attacher", csiAttacherVersion), sidecar("csi-resizer", csiResizerVersion),
			sidecar("csi-snapshotter", csiSnapshotterVersion), sidecar("snapshot-controller", csiSnapshotterVersion),
		},
		platform: newImage("mke.local/mke", keyTag[1:], v1.Config{Entrypoint: []string{"/usr/local/bin/mke"}, User: unprivileged},
			base, simple("mke", "dev", p.mke, "usr/local/bin/mke")),
		csi: newImage("mke.local/mgc-csi", csiVersion, program("/usr/local/bin/mgc-csi"),
			base, newLayer("storage", debianSuite, layer{Trees: []tree{{From: d.storage, Path: "root"}}}),
			simple("mgc-csi", csiVersion, p.csi, "usr/local/bin/mgc-csi")),
	}
}
