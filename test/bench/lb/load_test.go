package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDrive(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("hello"))
	}))
	defer server.Close()
	dial := func(ctx context.Context, _ int) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", strings.TrimPrefix(server.URL, "http://"))
	}
	got, err := drive(t.Context(), 3, 50*time.Millisecond, dial)
	if err != nil || got.perSecond < 10 || got.p50 > got.p99 {
		t.Errorf("%+v, %v", got, err)
	}
	status = http.StatusBadGateway
	if _, err := drive(t.Context(), 1, 50*time.Millisecond, dial); err == nil {
		t.Error("failures are counted as answers")
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	report{
		{answered: 2 * time.Second, floor: loaded{1000, time.Millisecond, 4 * time.Millisecond}, balanced: loaded{900, time.Millisecond, 5 * time.Millisecond}},
		{answered: time.Second, floor: loaded{1000, time.Millisecond, 4 * time.Millisecond}, balanced: loaded{800, time.Millisecond, 6 * time.Millisecond}},
		{answered: 3 * time.Second, floor: loaded{1000, time.Millisecond, 4 * time.Millisecond}, balanced: loaded{950, time.Millisecond, 8 * time.Millisecond}},
	}.print(&out)
	for _, want := range []string{"RESULT lb_create first_answer_s=2.00 ", "RESULT lb_requests ratio=0.90 per_s=900 floor_per_s=1000 ", "RESULT lb_p99 ratio=1.50 ms=6.00 floor_ms=4.00 "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}
