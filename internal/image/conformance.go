package image

import (
	"context"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Names and tags of the test images are those of test/utils/image/manifest.go in
// our version of Kubernetes.
const (
	testRegistry     = "registry.k8s.io/e2e-test-images/"
	testImageSources = "k8s.io/kubernetes test/images/"
	testEtcdTag      = "3.6.4-0"
	sampleAPITag     = "1.29.2"
)

// ConformanceCatalogue lists the official end-to-end suite of our Kubernetes
// version with its runner, the images that its specs run, and what they are made
// of. None of it is part of a node.
func ConformanceCatalogue(ctx context.Context) ([]*Step, error) {
	steps, err := Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	toolchain, err := goToolchain(ctx)
	if err != nil {
		return nil, err
	}
	c := &catalogue{toolchain: toolchain}
	byName := map[string]*Step{}
	for _, step := range steps {
		byName[step.String()] = step
	}
	wanted := c.conformance(byName)
	return needed(append(steps, c.steps...), wanted), nil
}

// needed keeps, in their order, the steps that these are made of.
func needed(steps, wanted []*Step) []*Step {
	need := map[*Step]bool{}
	var visit func(s *Step)
	visit = func(s *Step) {
		need[s] = true
		for _, input := range s.recipe.inputs() {
			visit(input)
		}
	}
	for _, step := range wanted {
		visit(step)
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s *Step) bool { return !need[s] })
}

// conformance adds the steps of the suite and returns what it is used by.
func (c *catalogue) conformance(ours map[string]*Step) []*Step {
	suite, sample := c.suite(), c.add("bin", "sample-apiserver", sampleAPITag, &goBinaries{
		Toolchain: c.toolchain, Dir: "test/conformance/sample-apiserver", Packages: map[string]string{"sample-apiserver": "k8s.io/sample-apiserver"},
	})
	newLayer := func(name string, l layer) *Step {
		l.Revision = revision
		return c.add("layer", "test-"+name, KubernetesVersion, &l)
	}
	wanted := []*Step{suite}
	newImage := func(repository, tag string, config v1.Config, layers ...*Step) {
		config.Env = []string{containersPath}
		layers = append([]*Step{ours["layer/base"]}, layers...)
		wanted = append(wanted, c.add("oci", "test-"+imageName(repository)+"-"+tag, tag,
			&ociImage{Revision: revision, Ref: repository + ":" + tag, Config: config, Layers: layers}))
	}

	tools := newLayer("tools", layer{Trees: []tree{
		{From: c.testRoot("test-tools", "bash", "curl", "netcat-openbsd", "iproute2", "iperf", "bind9-dnsutils", "libc-bin"), Path: "root"},
		// Debian's own drops environment variables with dots in their names.
		{From: ours["bin/busybox"], Path: "root/usr/bin/busybox", To: "usr/bin/busybox"},
	}, Links: map[string]string{"usr/bin/nc": "nc.openbsd"}}) // Debian makes this link when it configures the package
	agnhost := []*Step{tools, ours["layer/coredns"], newLayer("agnhost", agnhostLayer(suite))}
	program := v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}}
	newImage(testRegistry+"agnhost", "2.56", program, agnhost...)
	program.Cmd = []string{"test-webserver"}
	for _, name := range []string{"kitten", "nautilus"} {
		newImage(testRegistry+name, "1.7", program, append(agnhost, newLayer(name, layer{Trees: []tree{{From: suite, Path: name}}}))...)
	}
	shell := v1.Config{Cmd: []string{"sh"}}
	newImage(testRegistry+"jessie-dnsutils", "1.7", shell, tools)
	newImage(testRegistry+"busybox", "1.37.0-1", shell, ours["layer/busybox"])
	newImage(testRegistry+"nonroot", "1.4", v1.Config{Cmd: shell.Cmd, User: "1234"}, tools)
	newImage(testRegistry+"nonewprivs", "1.3", v1.Config{Cmd: []string{"nnp"}}, newLayer("nonewprivs", layer{
		Trees: []tree{{From: suite, Path: "nnp", To: "usr/local/bin/nnp"}}, Modes: map[string]int64{"usr/local/bin/nnp": 0o6755},
	}))
	httpd := newLayer("httpd", httpdLayer(c.testRoot("test-httpd", "apache2-bin")))
	for _, tag := range []string{"2.4.38-4", "2.4.39-4"} {
		newImage(testRegistry+"httpd", tag, v1.Config{Cmd: []string{"apache2", "-D", "FOREGROUND", "-f", httpdConfig}, StopSignal: "SIGWINCH"}, httpd)
	}
	for _, tag := range []string{"1.14-4", "1.15-4"} {
		newImage(testRegistry+"nginx", tag, nginxConfig(), ours["layer/nginx"])
	}
	newImage("registry.k8s.io/etcd", testEtcdTag, v1.Config{Entrypoint: []string{"etcd"}}, ours["layer/etcd"])
	newImage(testRegistry+"sample-apiserver", sampleAPITag, v1.Config{Entrypoint: []string{"/sample-apiserver"}},
		newLayer("sample-apiserver", layer{Trees: []tree{{From: sample}}}))
	return wanted
}

func (c *catalogue) suite() *Step {
	return c.add("bin", "conformance", KubernetesVersion, &goBinaries{
		Toolchain: c.toolchain, Dir: "test/conformance/suite", LDFlags: kubernetesLDFlags(KubernetesVersion),
		Packages: map[string]string{
			"e2e.test": "k8s.io/kubernetes/test/e2e",
			"ginkgo":   "github.com/onsi/ginkgo/v2/ginkgo",
			"agnhost":  "k8s.io/kubernetes/test/images/agnhost",
			"nnp":      "k8s.io/kubernetes/test/images/nonewprivs",
		},
		Copy: map[string]string{
			"porter":   testImageSources + "agnhost/porter",
			"kitten":   testImageSources + "kitten/html",
			"nautilus": testImageSources + "nautilus/html",
		},
	})
}

func (c *catalogue) testRoot(name string, packages ...string) *Step {
	return c.add("debian", name, debianSuite, &debian{
		Revision: revision, Suite: debianSuite, Variant: "extract", Packages: append(packages, "busybox"), Applets: true,
		Drop: []string{"usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/perl", "usr/lib/*/perl*", "var/lib/apt", "var/lib/dpkg", "var/cache"},
	})
}

// agnhostLayer has the second name and the user that specs look for.
func agnhostLayer(suite *Step) layer {
	return layer{
		Trees: []tree{
			{From: suite, Path: "agnhost", To: "agnhost"},
			{From: suite, Path: "porter/localhost.crt", To: "localhost.crt"},
			{From: suite, Path: "porter/localhost.key", To: "localhost.key"},
		},
		Links: map[string]string{"agnhost-2": "agnhost"},
		Texts: map[string]string{
			"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
			"etc/group":  "root:x:0:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\nnogroup:x:65534:\n",
		},
		Dirs: []ownedDir{{Path: "uploads", Mode: 0o755}},
	}
}

const httpdConfig = "/etc/apache2/httpd.conf"

// httpdLayer serves the folder that specs move files into and out of.
func httpdLayer(root *Step) layer {
	const folder = "/usr/local/apache2/htdocs"
	return layer{
		Trees: []tree{{From: root, Path: "root"}},
		Texts: map[string]string{
			httpdConfig: `ServerName localhost
ServerRoot /usr/lib/apache2
PidFile /tmp/httpd.pid
Listen 80
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
User www-data
Group www-data
DocumentRoot ` + folder + `
DirectoryIndex index.html
ErrorLog /dev/stderr
LogFormat "%h %t \"%r\" %>s %b" common
CustomLog /dev/stdout common
`,
			folder + "/index.html": "<html><body><h1>It works!</h1></body></html>\n",
		},
	}
}

// Path is the folder of a finished artefact, named as kind/name.
func (b *Builder) Path(name string) (string, error) {
	keys, err := keys(b.Steps, b.Source)
	if err != nil {
		return "", err
	}
	steps, err := selectSteps(b.Steps, []string{name})
	if err != nil {
		return "", err
	}
	return cacheOf(b.DataDir).path(steps[0], keys[steps[0]]), nil
}

// WriteImages writes all finished images as one archive, as `ctr images import` reads it.
func (b *Builder) WriteImages(out io.Writer) error {
	keys, err := keys(b.Steps, b.Source)
	if err != nil {
		return err
	}
	var layouts []string
	for _, step := range b.Steps {
		if step.Kind == "oci" {
			layouts = append(layouts, cacheOf(b.DataDir).path(step, keys[step]))
		}
	}
	return writeArchive(out, layouts)
}
