package metadata

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// listenIn opens the listener inside of the network namespace at path. A socket
// belongs for ever to the namespace in which it was made.
func listenIn(ctx context.Context, path string) (net.Listener, error) {
	type result struct {
		listener net.Listener
		err      error
	}
	done := make(chan result, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine and takes the namespace along.
		runtime.LockOSThread()
		var r result
		if r.err = enter(path); r.err == nil {
			var config net.ListenConfig
			r.listener, r.err = config.Listen(ctx, "tcp4", Address)
		}
		done <- r
	}()
	r := <-done
	return r.listener, r.err
}

func enter(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	return nil
}
