package machine

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"magalu.cloud/mke/internal/testenv"
)

const (
	tokenID     = "abcdef"
	tokenSecret = "0123456789abcdef"
)

// cluster is an API server with what kubeadm init leaves in it, and a signer of certificates.
type cluster struct {
	t        testing.TB
	client   kubernetes.Interface
	endpoint string
	caHash   string

	key    *rsa.PrivateKey
	ca     *x509.Certificate
	old    atomic.Bool // certificates have most of their time behind them when they are made
	absent atomic.Bool // nobody signs
	signed atomic.Int64
}

func newCluster(t testing.TB) *cluster {
	env := testenv.Start(t, map[string]string{"authorization-mode": "Node,RBAC", "enable-admission-plugins": "NodeRestriction",
		"enable-bootstrap-token-auth": "true", "max-requests-inflight": "4000", "max-mutating-requests-inflight": "2000"})
	config := rest.CopyConfig(env.Config)
	config.QPS = -1
	c := &cluster{t: t}
	var err error
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	if server.Host == "" {
		server.Host = config.Host
	}
	c.endpoint = server.Host
	c.trustedCA(env.ControlPlane.GetAPIServer().CertDir)
	c.prepare(config.CAData)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.sign(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// trustedCA makes a CA for clients that the API server knows.
func (c *cluster) trustedCA(dir string) {
	c.key = must(rsa.GenerateKey(rand.Reader, 2048))(c.t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nodes"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &c.key.PublicKey, c.key))(c.t)
	c.ca = must(x509.ParseCertificate(der))(c.t)
	file := filepath.Join(dir, "client-cert-auth-ca.crt")
	old := must(os.ReadFile(file))(c.t)
	if err := os.WriteFile(file, append(old, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// prepare makes what kubeadm's phases make for joining nodes.
func (c *cluster) prepare(ca []byte) {
	ctx := c.t.Context()
	block, _ := pem.Decode(ca)
	served := must(x509.ParseCertificate(block.Bytes))(c.t)
	sum := sha256.Sum256(served.RawSubjectPublicKeyInfo)
	c.caHash = "sha256:" + hex.EncodeToString(sum[:])
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters[""] = &clientcmdapi.Cluster{Server: "https://" + c.endpoint, CertificateAuthorityData: ca}
	text := string(must(clientcmd.Write(*kubeconfig))(c.t))
	for _, cm := range []*corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: "cluster-info"},
			Data: map[string]string{"kubeconfig": text, "jws-kubeconfig-" + tokenID: signature(c.t, text, tokenSecret)}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubelet-config"}, Data: map[string]string{"kubelet": "kind: KubeletConfiguration\n" +
			"apiVersion: kubelet.config.k8s.io/v1beta1\nmaxPods: 64\nnodeLeaseDurationSeconds: 4\nkubeReserved: {cpu: 100m, memory: 200Mi}\n"}},
	} {
		must(c.client.CoreV1().ConfigMaps(cm.Namespace).Create(ctx, cm, metav1.CreateOptions{}))(c.t)
		role := cm.Namespace + "-" + cm.Name
		group := "system:bootstrappers"
		if cm.Namespace == "kube-public" {
			group = "system:unauthenticated"
		}
		must(c.client.RbacV1().Roles(cm.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: role},
			Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{cm.Name}}}},
			metav1.CreateOptions{}))(c.t)
		must(c.client.RbacV1().RoleBindings(cm.Namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: group}}}, metav1.CreateOptions{}))(c.t)
	}
	must(c.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:kubelet-bootstrap"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-bootstrapper"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:bootstrappers"}}}, metav1.CreateOptions{}))(c.t)
	must(c.client.CoreV1().Secrets("kube-system").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + tokenID},
		Type: corev1.SecretTypeBootstrapToken, StringData: map[string]string{"token-id": tokenID, "token-secret": tokenSecret,
			"usage-bootstrap-authentication": "true"}}, metav1.CreateOptions{}))(c.t)
}

// signature of cluster-info, as the bootstrap signer of kube-controller-manager makes it.
func signature(t testing.TB, content, secret string) string {
	header := base64.RawURLEncoding.EncodeToString(must(json.Marshal(map[string]string{"alg": "HS256", "kid": tokenID}))(t))
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", header, base64.RawURLEncoding.EncodeToString([]byte(content)))
	return header + ".." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// sign approves and signs what kubelets ask for, until ctx is done.
func (c *cluster) sign(ctx context.Context) {
	requests := c.client.CertificatesV1().CertificateSigningRequests()
	for ctx.Err() == nil {
		w, err := requests.Watch(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			continue
		}
		for event := range w.ResultChan() {
			csr, ok := event.Object.(*certificatesv1.CertificateSigningRequest)
			if !ok || len(csr.Status.Certificate) > 0 || c.absent.Load() {
				continue
			}
			if err := c.issue(ctx, csr); err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil {
				c.t.Errorf("sign %s: %v", csr.Name, err)
			}
		}
	}
}

// signRest is for what was asked while nobody signed.
func (c *cluster) signRest() {
	c.absent.Store(false)
	list := must(c.client.CertificatesV1().CertificateSigningRequests().List(c.t.Context(), metav1.ListOptions{}))(c.t)
	for _, csr := range list.Items {
		if len(csr.Status.Certificate) == 0 {
			if err := c.issue(c.t.Context(), &csr); err != nil && !apierrors.IsConflict(err) { // the other signer was quicker
				c.t.Errorf("sign %s: %v", csr.Name, err)
			}
		}
	}
}

func (c *cluster) issue(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) error {
	block, _ := pem.Decode(csr.Spec.Request)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	if len(csr.Status.Conditions) == 0 {
		csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
		if csr, err = c.client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, csr, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	from := time.Now().Add(-time.Minute)
	if c.old.Load() {
		from = from.Add(-10 * time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(c.signed.Add(1) + 1), Subject: request.Subject,
		NotBefore: from, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, c.ca, request.PublicKey, c.key)
	if err != nil {
		return err
	}
	csr.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	_, err = c.client.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, csr, metav1.UpdateOptions{})
	return err
}

// userData is what Cluster API's bootstrap provider makes for a worker.
func (c *cluster) userData() []byte {
	return []byte(`## template: jinja
#cloud-config

write_files:
-   path: /run/kubeadm/kubeadm-join-config.yaml
    owner: root:root
    permissions: '0640'
    content: |
      ---
      apiVersion: kubeadm.k8s.io/v1beta4
      discovery:
        bootstrapToken:
          apiServerEndpoint: ` + c.endpoint + `
          caCertHashes:
          - ` + c.caHash + `
          token: ` + tokenID + "." + tokenSecret + `
      kind: JoinConfiguration
      nodeRegistration:
        imagePullPolicy: IfNotPresent
        kubeletExtraArgs:
        - name: cloud-provider
          value: external
        - name: node-ip
          value: '{{ ds.meta_data.local_ipv4 }}'
        - name: provider-id
          value: magalu://{{ ds.meta_data.availability_zone }}/{{ ds.meta_data.uuid }}
        - name: max-pods
          value: "32"
        - name: node-labels
          value: tier=hollow
        name: '{{ ds.meta_data.local_hostname }}'
        taints:
        - effect: NoSchedule
          key: node.cluster.x-k8s.io/uninitialized

-   path: /run/cluster-api/placeholder
    owner: root:root
    permissions: '0640'
    content: "This placeholder file is used to create the /run/cluster-api sub directory"
runcmd:
  - kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml  && echo success > /run/cluster-api/bootstrap-success.complete
`)
}

// vm is the n-th machine of the cluster.
func (c *cluster) vm(n int) Spec {
	return Spec{ID: uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, n)).String(), Name: fmt.Sprintf("pool-%d", n), Hostname: fmt.Sprintf("pool-%d", n),
		Zone: "br-se1-b", MachineType: "HL2-4-40", VCPUs: 2, RAMMB: 4096, DiskGB: 40, Address: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}),
		UserData: c.userData(), Version: "v1.34.2"}
}

// install makes a machine's folder, which shall run.
func install(t testing.TB, dir string, s Spec) Folder {
	folder := Folder(filepath.Join(dir, s.ID))
	for _, err := range []error{os.MkdirAll(string(folder), 0o700), folder.SetSpec(s), folder.SetPhase(Running)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// open runs the machines of dir, as a new process would; close ends it.
func open(t testing.TB, dir string) (h *Host, shut func()) {
	ctx, cancel := context.WithCancel(context.Background())
	h, err := Open(ctx, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	shut = func() {
		if !closed {
			closed = true
			cancel()
			h.Close()
		}
	}
	t.Cleanup(shut)
	return h, shut
}

func quick(t testing.TB, dir string) {
	if err := SaveRules(dir, Rules{Rules: []Rule{{Behavior: Behavior{PodRunMS: 50}}}}); err != nil {
		t.Fatal(err)
	}
}
