package image

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// baseLayer holds what programs expect in any container: user names, a /tmp and
// the certificates of public authorities.
func baseLayer(d debianRoots) layer {
	return layer{
		Trees: []tree{{From: d.certificates, Path: "root/etc/ssl/certs/ca-certificates.crt", To: "etc/ssl/certs/ca-certificates.crt"}},
		Texts: map[string]string{
			"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n" +
				fmt.Sprintf("postgres:x:%[1]d:%[1]d:postgres:/var/lib/postgresql:/bin/sh\n", postgresUID) +
				"nobody:x:65534:65534:nobody:/nonexistent:/bin/false\nnonroot:x:65532:65532:nonroot:/nonexistent:/bin/false\n",
			"etc/group": "root:x:0:\nadm:x:4:\nwww-data:x:33:\n" + fmt.Sprintf("postgres:x:%d:\n", postgresUID) +
				"nogroup:x:65534:\nnonroot:x:65532:\n",
			"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		},
		Dirs: []ownedDir{{Path: "tmp", Mode: 0o1777}, {Path: "root", Mode: 0o700}, {Path: "var/tmp", Mode: 0o1777}},
	}
}

func kubernetesLayer(p programs) layer {
	links := map[string]string{}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl", "kubeadm"} {
		links["usr/local/bin/"+name] = kubernetesBinary
	}
	return layer{Trees: []tree{{From: p.kubernetes, Path: kubernetesBinary, To: "usr/local/bin/" + kubernetesBinary}}, Links: links}
}

// netLayer is what kube-proxy and Calico call: nft, iptables on nftables, ipset,
// conntrack, ip. Debian makes the links when it configures the packages.
func netLayer(d debianRoots) layer {
	links := map[string]string{}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			links["usr/sbin/"+family+suffix] = family + "-nft" + suffix
		}
	}
	return layer{Trees: []tree{{From: d.net, Path: "root"}}, Links: links}
}

// calicoNodeLayer adds Calico's service folder. Module archives lose the
// executable bit.
func calicoNodeLayer(p programs) layer {
	return layer{
		Trees: []tree{
			{From: p.calico, Path: "filesystem/etc", To: "etc"},
			{From: p.calico, Path: "filesystem/sbin", To: "usr/sbin"},
			{From: p.calico, Path: "calico-node", To: "usr/bin/calico-node"},
			{From: p.calico, Path: "mountns", To: "usr/bin/mountns"},
		},
		Exec: []string{"etc/rc.local", "usr/sbin/*", "etc/service/available/*/run", "etc/service/available/*/log/run"},
	}
}

// calicoCNILayer carries all plugins of Calico's chain, as its installer expects.
func calicoCNILayer(p programs) layer {
	const dir = "opt/cni/bin"
	return layer{
		Trees: []tree{
			{From: p.cni, To: dir},
			{From: p.calico, Path: "calico", To: dir + "/calico"},
			{From: p.calico, Path: "install", To: dir + "/install"},
		},
		Links: map[string]string{dir + "/calico-ipam": "calico"},
	}
}

func calicoControllersLayer(p programs) layer {
	return layer{
		Trees: []tree{
			{From: p.calico, Path: "kube-controllers", To: "usr/bin/kube-controllers"},
			{From: p.calico, Path: "check-status", To: "usr/bin/check-status"},
		},
		// It reports its health in files.
		Dirs: []ownedDir{{Path: "status", Mode: 0o755, UID: 999}, {Path: "profiles", Mode: 0o755, UID: 999}},
	}
}

// busyboxLayer has all commands in one folder, whatever path they are called by.
func busyboxLayer(d debianRoots) layer {
	return layer{
		Trees: []tree{{From: d.busybox, Path: "root"}},
		Links: map[string]string{"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin"},
	}
}

func nginxLayer(d debianRoots) layer {
	return layer{
		Trees: []tree{{From: d.nginx, Path: "root"}, {Path: "images/nginx/files"}},
		Links: map[string]string{"var/log/nginx/access.log": "/dev/stdout", "var/log/nginx/error.log": "/dev/stderr"},
		Dirs:  []ownedDir{{Path: "run", Mode: 0o755}, {Path: "var/lib/nginx", Mode: 0o755}},
	}
}

func nginxConfig() v1.Config {
	return v1.Config{
		Entrypoint: []string{"nginx"}, Cmd: []string{"-g", "daemon off;"}, StopSignal: "SIGQUIT",
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
	}
}

const postgresData = "/var/lib/postgresql/data"

func postgresLayer(d debianRoots) layer {
	const entrypoint = "usr/local/bin/postgres-entrypoint"
	return layer{
		Trees: []tree{{From: d.postgres, Path: "root"}, {Path: "images/postgres/files"}},
		Dirs: []ownedDir{
			{Path: "var/lib/postgresql", Mode: 0o755, UID: postgresUID}, {Path: postgresData, Mode: 0o700, UID: postgresUID},
			{Path: "run/postgresql", Mode: 0o755, UID: postgresUID},
		},
		Exec: []string{entrypoint},
	}
}

func postgresConfig() v1.Config {
	return v1.Config{
		Entrypoint: []string{"/usr/local/bin/postgres-entrypoint"}, StopSignal: "SIGINT",
		User:         fmt.Sprintf("%[1]d:%[1]d", postgresUID),
		Env:          []string{"PGDATA=" + postgresData + "/pgdata"},
		ExposedPorts: map[string]struct{}{"5432/tcp": {}},
		Volumes:      map[string]struct{}{postgresData: {}},
	}
}
