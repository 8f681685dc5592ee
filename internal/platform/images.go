package platform

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"magalu.cloud/mke/internal/image"
	"magalu.cloud/mke/internal/progress"
)

// images builds what runs inside the region, as far as the cache does not have it, and puts kubectl beside mke.
func (r *region) images(ctx context.Context, ph *progress.Phase) error {
	source, err := image.FindSource()
	if err != nil {
		return err
	}
	steps, err := image.Catalogue(ctx)
	if err != nil {
		return err
	}
	out := phaseWriter(ph)
	defer out.Close()
	builder := &image.Builder{Steps: steps, Source: source, DataDir: r.DataDir, Out: out}
	if err := builder.Build(ctx); err != nil {
		return err
	}
	if r.platformImage, err = image.Platform(r.DataDir); err != nil {
		return err
	}
	return image.InstallTools(r.DataDir, r.BinDir)
}

// phaseWriter turns each line written to it into a line of the phase.
func phaseWriter(ph *progress.Phase) io.WriteCloser {
	reader, writer := io.Pipe()
	go func() {
		lines := bufio.NewScanner(reader)
		for lines.Scan() {
			ph.Line("%s", lines.Text())
		}
	}()
	return writer
}

// loadPlatformImage brings this build of our servers into a management VM that was made with an older one.
func (r *region) loadPlatformImage(ctx context.Context, ph *progress.Phase, instanceID string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	inVM := func(in io.Reader, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, exe, append([]string{"cloud", "exec", "--data-dir", r.DataDir, instanceID, "--", "ctr", "-n", "k8s.io", "images"}, args...)...)
		var out, errs bytes.Buffer // containerd's tools warn on standard error
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("cannot load this build into the management VM: %w\n%s", err, lastLines(errs.Bytes(), 5))
		}
		return out.Bytes(), nil
	}
	have, err := inVM(nil, "list", "-q", "name=="+r.platformImage.Name)
	if err != nil || len(bytes.TrimSpace(have)) > 0 {
		return err
	}
	ph.Detail("loading %s", r.platformImage.Name)
	var archive bytes.Buffer
	tar := exec.CommandContext(ctx, "tar", "-C", r.platformImage.Layout, "-cf", "-", ".")
	tar.Stdout = &archive
	if err := tar.Run(); err != nil {
		return fmt.Errorf("cannot read the platform's image: %w", err)
	}
	_, err = inVM(&archive, "import", "--local", "-")
	return err
}
