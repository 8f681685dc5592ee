package ccm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWhileUnchanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	broken := errors.New("broken")
	runs := 0
	err := whileUnchanged(t.Context(), time.Millisecond, []string{file}, func(ctx context.Context) error {
		switch runs++; runs {
		case 1:
			if err := os.Remove(file); err != nil { // unreadable is not changed
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			if ctx.Err() != nil {
				t.Error("a file that cannot be read for a moment counts as changed")
			}
			write("two")
			<-ctx.Done()
			return ctx.Err()
		default:
			return broken
		}
	})
	if runs != 2 || !errors.Is(err, broken) {
		t.Errorf("%d runs, %v", runs, err)
	}
	if err := whileUnchanged(t.Context(), time.Millisecond, []string{file + ".missing"}, nil); err == nil {
		t.Error("it runs without its configuration")
	}
}
