//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const nginxManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx}
spec:
  replicas: 1
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
      - {name: nginx, image: "docker.io/library/nginx:latest", imagePullPolicy: IfNotPresent, ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec:
  selector: {app: nginx}
  ports: [{port: 80}]
`

// clientManifest runs one busybox on every worker, to call from.
const clientManifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: client, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: ["sleep", "100000"]}
`

func (j *journey) nginxRuns(t *testing.T) {
	j.apply(t, nginxManifest)
	j.mustKubectl(t, "rollout", "status", "deployment/nginx", "--timeout=3m")
	pods := j.pods(t, "app=nginx")
	if len(pods) != 1 || pods[0].Status.Phase != corev1.PodRunning {
		t.Fatalf("pods: %+v", pods)
	}
	t.Logf("\n%s", j.mustKubectl(t, "get", "pod", "-o", "wide"))
}

func (c *cluster) pods(t *testing.T, selector string) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := json.Unmarshal([]byte(c.mustKubectl(t, "get", "pods", "-l", selector, "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func (j *journey) execLogsPortForward(t *testing.T) {
	if out := j.mustKubectl(t, "exec", "deployment/nginx", "--", "sh", "-c", "echo hello from $(hostname)"); !strings.HasPrefix(out, "hello from nginx-") {
		t.Errorf("exec: %q", out)
	}
	address, stop := j.portForward(t, "deployment/nginx", 80)
	defer stop()
	client := &http.Client{Timeout: 10 * time.Second}
	res, err := client.Get("http://" + address + "/from-the-test")
	if err != nil {
		t.Fatalf("port-forward: %v", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.Header.Get("Server") == "" {
		t.Errorf("port-forward: %v, headers %v", err, res.Header)
	}
	eventually(t, 20*time.Second, "the request is in the logs", func() error {
		if out := j.mustKubectl(t, "logs", "deployment/nginx"); !strings.Contains(out, "/from-the-test") {
			return fmt.Errorf("logs:\n%s", lastLines(out, 10))
		}
		return nil
	})
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`)

// portForward opens a free local port to a workload's port.
func (c *cluster) portForward(t *testing.T, workload string, port int) (address string, stop func()) {
	t.Helper()
	cmd := exec.Command(filepath.Join(c.r.bin, "kubectl"), "--kubeconfig", c.kubeconfig, "port-forward", "--address=127.0.0.1", workload, fmt.Sprintf(":%d", port))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	found := forwarding.FindStringSubmatch(line)
	if found == nil {
		stop()
		t.Fatalf("kubectl port-forward said %q, %v", line, err)
	}
	return found[1], stop
}

// podsReachEachOther calls nginx from every worker by address and by both names of its service.
func (j *journey) podsReachEachOther(t *testing.T) {
	j.apply(t, clientManifest)
	j.mustKubectl(t, "rollout", "status", "daemonset/client", "--timeout=3m")
	server := j.pods(t, "app=nginx")[0]
	others := 0
	for _, client := range j.pods(t, "app=client") {
		if client.Spec.NodeName != server.Spec.NodeName {
			others++
		}
		for _, target := range []string{server.Status.PodIP, "nginx", "nginx.default.svc.cluster.local"} {
			j.eventuallyInPod(t, client.Name, "timeout", "5", "wget", "-q", "-O", "/dev/null", "http://"+target+"/")
		}
	}
	if others < 2 {
		t.Errorf("only %d clients were on other nodes than the server", others)
	}
}

func (c *cluster) eventuallyInPod(t *testing.T, pod string, command ...string) {
	t.Helper()
	eventually(t, 30*time.Second, pod+": "+strings.Join(command, " "), func() error {
		if res := c.kubectl(append([]string{"exec", pod, "--"}, command...)...); res.code != 0 {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
}
