package platform

import (
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

// TestMain lets the test's own program stand for a daemon: it runs until its input ends.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "cloud" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestQuotasAreRemembered(t *testing.T) {
	p := Paths{Data: t.TempDir()}
	given := map[string]int64{"volumes": 50, "instances": 20}
	for _, c := range []struct {
		name      string
		now, want map[string]int64
	}{
		{"none yet", nil, nil},
		{"given", given, given},
		{"not given", nil, given},
		{"others", map[string]int64{"instances": 30}, map[string]int64{"instances": 30}},
		{"not given again", nil, map[string]int64{"instances": 30}},
		{"taken away", map[string]int64{"instances": 0}, map[string]int64{"instances": 0}},
	} {
		if got, err := rememberQuotas(p, c.now); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if err := os.WriteFile(p.Quotas(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rememberQuotas(p, nil); err == nil {
		t.Error("a damaged file is no quotas")
	}
}

// Quotas that the cloud would not start with are refused before anything is touched.
func TestUpRefusesQuotas(t *testing.T) {
	refused := errors.New("there is no such quota")
	dir := t.TempDir()
	up := NewCommands("test", func(q map[string]int64) error {
		if q["disks"] == 1 && q["volumes"] == 2 {
			return refused
		}
		return nil
	})[0]
	up.SetArgs([]string{"--data-dir", dir, "--quotas", "disks=1,volumes=2"})
	up.SilenceErrors, up.SilenceUsage = true, true
	if err := up.ExecuteContext(t.Context()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("in the data folder are %v, %v", entries, err)
	}
}

// The daemon that runs is kept if it has the flags that are wanted, and only then.
func TestDaemonIsKnownByItsFlags(t *testing.T) {
	d := daemon{paths: Paths{Data: t.TempDir()}, region: "br-se1", quotas: map[string]int64{"volumes": 50, "instances": 20}}
	if args := d.args(); !slices.Equal(args[len(args)-2:], []string{"--quotas", "instances=20,volumes=50"}) {
		t.Errorf("got %q", args)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, d.args()...)
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		err = writeFile(d.paths.CloudPID(), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(input.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
		if d.pid() != 0 || d.sameFlags(cmd.Process.Pid) {
			t.Error("it has ended")
		}
	}()
	pid := d.pid()
	if pid != cmd.Process.Pid || !sameProgram(pid) || !d.sameFlags(pid) {
		t.Errorf("process %d is not known as %d", cmd.Process.Pid, pid)
	}
	other := d
	other.quotas = nil
	if other.pid() != pid || other.sameFlags(pid) {
		t.Error("with other quotas it is the same daemon with other flags")
	}
	other.paths.Data += "-other"
	if other.pid() != 0 {
		t.Error("another region's daemon is not ours")
	}
}
