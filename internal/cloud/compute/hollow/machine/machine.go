package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// machine is a hollow VM that runs.
type machine struct {
	host    *Host
	folder  Folder
	spec    Spec
	console console

	changed chan struct{} // its behavior may be another one; holds one
	cancel  context.CancelFunc
	wait    sync.WaitGroup
}

func (m *machine) behavior() Behavior { return m.host.rules.Load().of(m.spec) }

// stop ends the machine, as losing power does, and waits for it.
func (m *machine) stop() {
	m.cancel()
	m.wait.Wait()
}

// run is the machine's life; cold is a start of the VM, not only of this process.
func (m *machine) run(ctx context.Context, cold bool) {
	id, err := m.folder.identity()
	if cold || err != nil {
		m.console.say("Linux boots")
		b := m.behavior()
		sleep(ctx, ms(b.BootMS, b.BootJitterMS))
		m.hang(ctx)
	}
	if err != nil || len(id.Cert) == 0 {
		if id, err = m.joinCluster(ctx); err != nil {
			m.console.say("cloud-init: %v", err)
			return
		}
	}
	k, err := newKubelet(m, id)
	if err != nil {
		m.console.say("kubelet: %v", err)
		return
	}
	k.run(ctx)
}

// hang lasts as long as the machine shall not boot.
func (m *machine) hang(ctx context.Context) {
	for m.behavior().NeverBoots && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-m.changed:
		}
	}
}

func (m *machine) joinCluster(ctx context.Context) (id identity, err error) {
	config, err := boot(m.spec)
	if err != nil {
		return id, err
	}
	m.console.say("cloud-init: kubeadm join %s as %s", config.Discovery.BootstrapToken.APIServerEndpoint, config.NodeRegistration.Name)
	// kubeadm itself gives up after some minutes, but user data calls it again.
	joined := false
	retry(ctx, m.console, "kubeadm join", func(ctx context.Context) error {
		id, err = m.join(ctx, config)
		joined = err == nil
		return err
	})
	if !joined {
		return id, fmt.Errorf("kubeadm join: %w", errors.Join(ctx.Err(), err))
	}
	return id, nil
}

// retry does it until it succeeds or ctx is done. It says each failure once.
func retry(ctx context.Context, c console, what string, do func(context.Context) error) {
	said := ""
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if said != err.Error() {
			said = err.Error()
			c.say("%s: %s; trying again", what, said)
		}
		sleep(ctx, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// console is the file with what a machine says while it boots.
type console string

func (c console) say(format string, args ...any) {
	file, err := os.OpenFile(string(c), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return // the folder is being removed
	}
	defer file.Close()
	fmt.Fprintf(file, "%s "+format+"\n", append([]any{time.Now().UTC().Format(time.RFC3339)}, args...)...)
}
