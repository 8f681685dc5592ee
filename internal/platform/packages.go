package platform

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"magalu.cloud/mke/internal/progress"
)

// hostPackages are Debian's packages that the host needs: to build images, and to run networks and load balancers.
var hostPackages = []string{
	"bzip2",
	"ca-certificates",
	"debian-archive-keyring", // Ubuntu has only its own
	"gcc",
	"haproxy",
	"iproute2",
	"libc6-dev",
	"libseccomp-dev",
	"make",
	"mmdebstrap",
	"nftables",
	"pkg-config",
	"procps",
}

// EnsurePackages installs what is missing of hostPackages with apt-get.
func EnsurePackages(ctx context.Context, ph *progress.Phase) error {
	missing := missingPackages(ctx)
	if len(missing) == 0 {
		ph.Detail("nothing to install")
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine has no apt-get: install these programs by hand and try again: %s", strings.Join(missing, " "))
	}
	ph.Detail("installing %s", strings.Join(missing, " "))
	if err := apt(ctx, "update", "-qq"); err != nil {
		return err
	}
	return apt(ctx, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)...)
}

func missingPackages(ctx context.Context) []string {
	var missing []string
	for _, name := range hostPackages {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Status}", name).Output()
		if err != nil || !bytes.Contains(out, []byte("install ok installed")) {
			missing = append(missing, name)
		}
	}
	return missing
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	// RUNLEVEL=1 keeps invoke-rc.d from starting the packages' services, which the region does not use.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get %s failed: %w\n%s", strings.Join(args, " "), err, lastLines(out, 15))
	}
	return nil
}

func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
