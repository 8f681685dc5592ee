package ccm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/klog/v2"
)

// reloadPeriod is how often mounted files are compared; the kubelet changes them within a minute or so.
const reloadPeriod = 5 * time.Second

// whileUnchanged calls run until ctx ends, with a context that ends when the content of one of the files changes: what was built from
// them is then built anew. Files that cannot be read for a moment, as while a Secret is being replaced, are no change.
func whileUnchanged(ctx context.Context, period time.Duration, files []string, run func(context.Context) error) error {
	for ctx.Err() == nil {
		before, err := readAll(files)
		if err != nil {
			return err
		}
		round, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			awaitChange(round, period, files, before)
		}()
		err = run(round)
		changed := round.Err() != nil
		cancel()
		if err != nil && !changed {
			return err
		}
	}
	return nil
}

// awaitChange returns when the files' content differs from before or ctx ends.
func awaitChange(ctx context.Context, period time.Duration, files []string, before []byte) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := readAll(files)
		switch {
		case err != nil:
			klog.ErrorS(err, "Cannot see whether the configuration has changed")
		case !bytes.Equal(now, before):
			klog.InfoS("The configuration has changed, starting again with it", "files", files)
			return
		}
	}
}

func readAll(files []string) ([]byte, error) {
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		all = append(append(all, data...), 0)
	}
	return all, nil
}
