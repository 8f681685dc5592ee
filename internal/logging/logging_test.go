package logging

import (
	"log/slog"
	"strings"
	"testing"
)

func TestLevels(t *testing.T) {
	for name, level := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		log, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		if !log.Enabled(t.Context(), level) || log.Enabled(t.Context(), level-1) {
			t.Errorf("%s does not begin at %s", name, level)
		}
	}
	if _, err := New("loud"); err == nil || !strings.Contains(err.Error(), `--log-level: "loud"`) {
		t.Errorf("got %v", err)
	}
}
