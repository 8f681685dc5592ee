package hollow

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/compute/hollow/machine"
)

// The driver starts its own program, which here is that of the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "cloud" && os.Args[2] == Command {
		root := &cobra.Command{Use: "cloud"}
		root.AddCommand(NewCommand())
		root.SetArgs(os.Args[2:])
		if err := root.Execute(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const id = "11111111-1111-4111-8111-111111111111"

// daemon is a driver with its supervision, until the returned function is called.
func daemon(t *testing.T, dir string) (*Driver, func()) {
	d := New(dir, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return d, end
}

func TestDriver(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(20 * time.Second)
	ctx, dir := t.Context(), t.TempDir()
	d, end := daemon(t, dir)
	t.Cleanup(func() { g.Expect(New(dir, slog.Default()).Teardown(context.Background())).To(Succeed()) })
	g.Expect(d.SetRules(ctx, machine.Rules{Rules: []machine.Rule{{}}})).To(Succeed())

	netns, err := d.Attach(ctx, id)
	g.Expect(netns, err).To(BeEmpty())
	vm := compute.VM{ID: id, Name: "vm", Hostname: "vm", VCPUs: 2, RAMMB: 4096, MachineType: "HL2-4-40", Address: netip.MustParseAddr("10.0.0.9"),
		UserData: []byte("#cloud-config\nruncmd: [\"echo nothing\"]\n")}
	is := func(want compute.Phase) {
		t.Helper()
		phase, _, err := d.State(ctx, id)
		g.Expect(phase, err).To(Equal(want))
	}
	is(compute.Absent)
	g.Expect(d.Create(ctx, vm)).To(Succeed())
	is(compute.Created)
	g.Expect(d.process.pid()).To(BeZero(), "the first VM that starts needs a process")
	g.Expect(d.Start(ctx, id)).To(Succeed())
	is(compute.Running)
	logs := func() string {
		lines, err := d.Logs(ctx, id, 10)
		g.Expect(err).NotTo(HaveOccurred())
		return strings.Join(lines, "\n")
	}
	g.Eventually(logs).Should(ContainSubstring("the user data has no `kubeadm join`"))

	pid := d.process.pid()
	g.Expect(pid).NotTo(BeZero())
	end()
	d, _ = daemon(t, dir)
	is(compute.Running)
	g.Expect(d.List(ctx)).To(Equal([]string{id}))
	g.Expect(d.process.pid()).To(Equal(pid), "it outlives the daemon")

	g.Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
	g.Eventually(d.process.pid).Should(And(Not(BeZero()), Not(Equal(pid))), "it is started again")
	g.Eventually(func() int { return strings.Count(logs(), "no `kubeadm join`") }).Should(Equal(2))

	for range 2 {
		g.Expect(d.Pause(ctx, id)).To(Succeed())
		is(compute.Running)
	}
	g.Expect(d.Resume(ctx, id)).To(Succeed())

	stopped := make(chan error)
	go func() { stopped <- d.Wait(ctx, id) }()
	g.Consistently(stopped).WithTimeout(50 * time.Millisecond).ShouldNot(Receive())
	g.Expect(d.Stop(ctx, id)).To(Succeed())
	g.Eventually(stopped).Should(Receive(Succeed()))
	is(compute.Stopped)
	g.Expect(d.Create(ctx, vm)).To(Succeed())
	g.Expect(d.Start(ctx, id)).To(Succeed())
	is(compute.Running)
	for range 2 {
		g.Expect(d.Delete(ctx, id)).To(Succeed())
		is(compute.Absent)
	}
	g.Expect(d.List(ctx)).To(BeEmpty())
}
