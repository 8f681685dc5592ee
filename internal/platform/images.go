package platform

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

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

// loadImages brings what this build changed into a management VM that was made with an older one. New pods run it; those
// of our servers are replaced, because their image's name tells the build.
func (r *region) loadImages(ctx context.Context, ph *progress.Phase, instanceID string) error {
	images, err := image.Management(r.DataDir)
	if err != nil {
		return err
	}
	list, err := r.ctrImages(ctx, nil, instanceID, "list")
	if err != nil {
		return err
	}
	missing, err := missingImages(images, digests(list))
	if err != nil || len(missing) == 0 {
		return err
	}
	names := make([]string, len(missing))
	for i, m := range missing {
		names[i] = m.Name
	}
	ph.Detail("loading %s", strings.Join(names, ", "))
	reader, writer := io.Pipe()
	defer reader.Close()
	go func() { writer.CloseWithError(image.WriteArchive(writer, missing)) }()
	_, err = r.ctrImages(ctx, reader, instanceID, "import", "--local", "-")
	return err
}

// ctrImages calls containerd's tool for images inside the management VM.
func (r *region) ctrImages(ctx context.Context, in io.Reader, instanceID string, args ...string) ([]byte, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, append([]string{"cloud", "exec", "--data-dir", r.DataDir, instanceID, "--", "ctr", "-n", "k8s.io", "images"}, args...)...)
	var out, errs bytes.Buffer // containerd's tools warn on standard error
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot load this build into the management VM: %w\n%s", err, lastLines(errs.Bytes(), 5))
	}
	return out.Bytes(), nil
}

// digests reads the table of `ctr images list`: an image's name is its first column, its digest the third.
func digests(list []byte) map[string]string {
	have := map[string]string{}
	for line := range strings.Lines(string(list)) {
		if columns := strings.Fields(line); len(columns) > 2 {
			have[columns[0]] = columns[2]
		}
	}
	return have
}

func missingImages(images []image.ContainerImage, have map[string]string) ([]image.ContainerImage, error) {
	var missing []image.ContainerImage
	for _, img := range images {
		digest, err := img.Digest()
		if err != nil {
			return nil, fmt.Errorf("cannot read the images of the management cluster: %w", err)
		}
		if have[img.Name] != digest {
			missing = append(missing, img)
		}
	}
	return missing, nil
}
