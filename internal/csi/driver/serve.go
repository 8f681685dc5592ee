package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// stopLimit is how long calls under way may take once the server is told to stop.
const stopLimit = 10 * time.Second

// Serve answers on a unix socket (unix:///path or a path) until ctx ends, and lets calls under way finish.
func Serve(ctx context.Context, endpoint string, register func(*grpc.Server), more ...grpc.UnaryServerInterceptor) error {
	listener, err := Listen(endpoint)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(append(more, logCalls)...))
	register(server)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		force := time.AfterFunc(stopLimit, server.Stop)
		defer force.Stop()
		server.GracefulStop()
	}()
	slog.Info("serving", "endpoint", endpoint)
	if err := server.Serve(listener); err != nil {
		return err
	}
	<-stopped
	return nil
}

// Listen opens a unix socket and replaces the one that a process before left behind.
func Listen(endpoint string) (net.Listener, error) {
	path, ok := strings.CutPrefix(endpoint, "unix://")
	if !ok && strings.Contains(endpoint, "://") {
		return nil, fmt.Errorf("endpoint %q is not a unix socket", endpoint)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

// logCalls also makes sure that every error has a code: one without is nobody's fault but ours.
func logCalls(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	res, err := handler(ctx, req)
	if err != nil {
		if _, ok := status.FromError(err); !ok {
			err = status.Error(codes.Internal, err.Error())
		}
	}
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	attrs := []any{"method", method, "duration", time.Since(start).Round(time.Millisecond).String()}
	if r, ok := req.(interface{ GetVolumeId() string }); ok {
		attrs = append(attrs, "volume", r.GetVolumeId())
	} else if r, ok := req.(interface{ GetName() string }); ok {
		attrs = append(attrs, "name", r.GetName())
	}
	switch {
	case err != nil:
		slog.Warn("call failed", append(attrs, "code", status.Code(err).String(), "error", status.Convert(err).Message())...)
	case method == "Probe" || strings.HasPrefix(method, "Get") || strings.HasSuffix(method, "Capabilities") || strings.HasSuffix(method, "Stats"):
		slog.Debug("call", attrs...)
	default:
		slog.Info("call", attrs...)
	}
	return res, err
}
