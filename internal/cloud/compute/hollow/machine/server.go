package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// SocketPath is where the process of a folder answers.
func SocketPath(dir string) string { return filepath.Join(dir, "hollow.sock") }

// LockPath is the file that the process holds locked.
func LockPath(dir string) string { return filepath.Join(dir, "lock") }

// Serve runs the machines of a folder, and does what the driver says over the socket, until ctx is done.
func Serve(ctx context.Context, dir string, logger *slog.Logger) error {
	lock, err := lock(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	host, err := Open(ctx, dir, logger)
	if err != nil {
		return err
	}
	defer host.Close()
	if err := os.Remove(SocketPath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", SocketPath(dir))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: host.handler(), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	logger.Info("hollow VMs are up", "dir", dir, "running", host.Count())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func lock(dir string) (*os.File, error) {
	file, err := os.OpenFile(LockPath(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process runs the hollow VMs of %s", dir), file.Close())
	}
	return file, nil
}

func (h *Host) handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
	mux.HandleFunc("POST /machines/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, h.Sync(r.PathValue("id"), r.URL.Query().Get("start") == "cold"))
	})
	mux.HandleFunc("POST /behavior", func(w http.ResponseWriter, _ *http.Request) { answer(w, h.LoadRules()) })
	// Whoever waits here learns at once that the process ended: the connection breaks.
	mux.HandleFunc("GET /wait", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // the client may be gone
		<-r.Context().Done()
	})
	return mux
}
