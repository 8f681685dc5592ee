package container

import (
	"context"
	"io"
	"os/exec"
)

// Exec runs a program as root inside a running VM and returns when it ends; a status other than 0 is an *exec.ExitError.
func (d *Driver) Exec(ctx context.Context, id string, in io.Reader, out, errs io.Writer, argv ...string) error {
	binary, err := d.Runc()
	if err != nil {
		return err
	}
	args := []string{"--root", d.runcRoot(), "exec", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", d.name(id)}
	cmd := exec.CommandContext(ctx, binary, append(args, argv...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	return cmd.Run()
}
