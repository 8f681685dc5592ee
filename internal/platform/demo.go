package platform

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"magalu.cloud/mke/internal/progress"
)

const demoCluster = "meu-cluster"

//go:embed demo.yaml
var demoManifest []byte

// demo does what a customer does, with the customer's tools: create, kubeconfig, kubectl.
func (r *region) demo(ctx context.Context) error {
	known, err := r.demoClusterExists(ctx)
	if err != nil {
		return err
	}
	if !known {
		args := []string{"kubernetes", "cluster", "create", "--name", demoCluster,
			"--node-pools", `[{"flavor": "BV4-8-40", "name": "nodepool01", "replicas": 1}]`}
		fmt.Fprintf(r.Out, "\n$ mgc %s\n", shellWords(args))
		if err := r.mgc(ctx, r.Out, append(args, "--wait", "-o", "table")...); err != nil {
			return err
		}
	}
	kubeconfig := r.paths.Kubeconfig(demoCluster)
	var config bytes.Buffer
	if err := r.mgc(ctx, &config, "kubernetes", "cluster", "kubeconfig", demoCluster, "--raw"); err != nil {
		return err
	}
	if err := writeFile(kubeconfig, config.Bytes(), 0o600); err != nil {
		return err
	}
	if err := r.printer.Run(ctx, "nginx in "+demoCluster, func(ctx context.Context, _ *progress.Phase) error {
		if err := r.kubectl(ctx, bytes.NewReader(demoManifest), io.Discard, "apply", "-f", "-"); err != nil {
			return err
		}
		return r.kubectl(ctx, nil, io.Discard, "rollout", "status", "deployment/nginx", "--timeout=5m")
	}); err != nil {
		return err
	}
	fmt.Fprintf(r.Out, "\n$ kubectl get node,pod\n")
	if err := r.kubectl(ctx, nil, r.Out, "get", "node,pod"); err != nil {
		return err
	}
	r.nextCommands()
	return nil
}

func (r *region) nextCommands() {
	bin := func(name string) string { return filepath.Join(r.BinDir, name) }
	fmt.Fprintf(r.Out, `
Next:
  export KUBECONFIG=%s
  %s logs deployment/nginx
  %s kubernetes nodepool update %s nodepool01 --replicas 3 --wait
`, r.paths.Kubeconfig(demoCluster), bin("kubectl"), bin("mgc"), demoCluster)
}

func (r *region) demoClusterExists(ctx context.Context) (bool, error) {
	var out bytes.Buffer
	if err := r.mgc(ctx, &out, "kubernetes", "cluster", "list", "-o", "json", "--raw"); err != nil {
		return false, err
	}
	var list struct {
		Results []struct {
			Name string `json:"name"`
		} `json:"results"`
	}
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		return false, err
	}
	for _, c := range list.Results {
		if c.Name == demoCluster {
			return true, nil
		}
	}
	return false, nil
}

func (r *region) mgc(ctx context.Context, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(r.BinDir, "mgc"), args...)
	cmd.Env = append(os.Environ(), "MGC_CONFIG_DIR="+r.paths.MgcConfig())
	cmd.Stdout, cmd.Stderr = out, r.Out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mgc %s: %w", strings.Join(args[:3], " "), err)
	}
	return nil
}

func (r *region) kubectl(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(r.BinDir, "kubectl"), append([]string{"--kubeconfig", r.paths.Kubeconfig(demoCluster)}, args...)...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return nil
}

// shellWords shows arguments as one would type them.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if strings.ContainsAny(a, " []{}\"") {
			a = "'" + a + "'"
		}
		words[i] = a
	}
	return strings.Join(words, " ")
}
