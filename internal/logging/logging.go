// Package logging makes the servers' logs: JSON lines on standard error.
package logging

import (
	"fmt"
	"log/slog"
	"os"
)

// New returns the logger that --log-level asks for.
func New(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", level)
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
