package progress

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestPrinterOnAPlainStream(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	err := p.Run(context.Background(), "boot", func(_ context.Context, ph *Phase) error {
		ph.Detail("waiting for %s", "systemd")
		ph.Detail("waiting for %s", "systemd")
		ph.Line("address 1.2.3.4")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^  \.\.\. boot\n      waiting for systemd\n      address 1\.2\.3\.4\n  ok  boot \(\d\.\ds\)\n$`)
	if !want.MatchString(out.String()) {
		t.Fatalf("unexpected output:\n%s", out.String())
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Fatal("escape sequences on a stream that is no terminal")
	}
}

func TestPrinterMarksFailure(t *testing.T) {
	var out bytes.Buffer
	wanted := errors.New("no")
	err := New(&out).Run(context.Background(), "boot", func(context.Context, *Phase) error { return wanted })
	if !errors.Is(err, wanted) || !strings.Contains(out.String(), "  ERR boot") {
		t.Fatalf("err %v, output %q", err, out.String())
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{1234 * time.Millisecond: "1.2s", 61 * time.Second: "1m1s"} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%v) = %q, want %q", d, got, want)
		}
	}
}
