package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"magalu.cloud/mke/internal/logging"
)

// maxSilence is how long a leader may go without a successful look before it counts as sick.
const maxSilence = 15 * time.Minute

// reloadPeriod is how often the kubeconfigs are compared; the kubelet changes mounted ones within a minute or so.
const reloadPeriod = 5 * time.Second

// NewCommand returns `mke autoscaler`.
func NewCommand() *cobra.Command {
	var o Options
	cmd := &cobra.Command{
		Use:           "autoscaler",
		Short:         "Run the cluster autoscaler of one customer cluster",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := logging.New(o.LogLevel)
			if err != nil {
				return err
			}
			klog.SetSlogLogger(logger)
			ctrllog.SetLogger(klog.Background())
			return Run(cmd.Context(), o)
		},
	}
	cmd.Flags().AddFlagSet(newFlagSet(&o))
	for _, name := range []string{"kubeconfig", "node-group-auto-discovery"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

// server is the process around the autoscaler.
type server struct {
	opts               Options
	namespace, cluster string
	customer           *rest.Config
	management         *rest.Config
	// lastLook is when the last successful one ended, in Unix time; 0 while another process leads.
	lastLook atomic.Int64
}

// Run serves until ctx ends, the lease is lost or a configuration file changes: the process is then started again.
func Run(ctx context.Context, o Options) error {
	s, err := newServer(o)
	if err != nil {
		return err
	}
	web := &http.Server{Addr: o.Address, Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	go func() {
		if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			klog.ErrorS(err, "Cannot serve", "address", o.Address)
		}
	}()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go watchFiles(ctx, stop, reloadPeriod, o.Kubeconfig, o.CloudConfig)
	if !o.LeaderElect {
		return outcome(ctx, s.lead(ctx))
	}
	return s.elect(ctx)
}

func newServer(o Options) (*server, error) {
	s := &server{opts: o}
	var err error
	if s.namespace, s.cluster, err = o.discovery(); err != nil {
		return nil, err
	}
	if s.customer, err = clientcmd.BuildConfigFromFlags("", o.Kubeconfig); err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	if o.CloudConfig == "" {
		s.management, err = rest.InClusterConfig()
	} else {
		s.management, err = clientcmd.BuildConfigFromFlags("", o.CloudConfig)
	}
	if err != nil {
		return nil, fmt.Errorf("--cloud-config: %w", err)
	}
	for _, c := range []*rest.Config{s.customer, s.management} {
		c.UserAgent = "mke-autoscaler"
		c.QPS, c.Burst = 200, 400
	}
	return s, nil
}

// elect leads while it holds the lease.
func (s *server) elect(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(s.management)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	namespace := s.opts.LeaseNamespace
	if namespace == "" {
		namespace = s.namespace
	}
	// The lease is given back only when the last call has ended: not by ctx itself.
	electing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var leads atomic.Bool
	done := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: s.opts.LeaseName}, Client: client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("%s_%d", host, os.Getpid())},
		},
		LeaseDuration: s.opts.LeaseDuration, RenewDeadline: s.opts.RenewDeadline, RetryPeriod: s.opts.RetryPeriod,
		ReleaseOnCancel: true, Name: s.opts.LeaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) {
				leads.Store(true)
				held, end := context.WithCancel(held)
				defer context.AfterFunc(ctx, end)()
				done <- s.lead(held)
				end()
				stop()
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		if !leads.Load() {
			stop()
		}
	})()
	elector.Run(electing)
	if !leads.Load() {
		return outcome(ctx, nil)
	}
	err = <-done
	if err == nil && ctx.Err() == nil {
		err = errors.New("the lease is lost")
	}
	return outcome(ctx, err)
}

// outcome is nil when the process was asked to end.
func outcome(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errConfigChanged) {
		return cause
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

var errConfigChanged = errors.New("the configuration has changed, starting again with it")

// watchFiles stops the process when a kubeconfig is replaced, as when its certificate is renewed.
func watchFiles(ctx context.Context, stop context.CancelCauseFunc, period time.Duration, files ...string) {
	read := func() (string, error) {
		var all strings.Builder
		for _, file := range files {
			if file == "" {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			all.Write(data)
		}
		return all.String(), nil
	}
	before, _ := read()
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := read()
		switch {
		case err != nil: // being replaced at this moment
		case before == "":
			before = now
		case now != before:
			stop(errConfigChanged)
			return
		}
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	healthy := func(w http.ResponseWriter, _ *http.Request) {
		if last := s.lastLook.Load(); last != 0 && time.Since(time.Unix(last, 0)) > maxSilence {
			http.Error(w, "no successful look at the cluster for "+maxSilence.String(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte("OK"))
	}
	for _, path := range []string{"/health-check", "/healthz", "/readyz"} {
		mux.HandleFunc(path, healthy)
	}
	mux.Handle("/metrics", promhttp.HandlerFor(prometheus.Gatherers{metrics.Registry, legacyregistry.DefaultGatherer}, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	return mux
}
