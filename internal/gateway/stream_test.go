package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// eventServer sends an event every 20 ms until the client leaves.
func eventServer(t *testing.T) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 1; r.Context().Err() == nil; n++ {
			fmt.Fprintf(w, "id: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestStreamsOutliveTheLimitsOfAnswersAndEndWithTheGateway(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var options Options
	w := newWorld(t, func(o *Options) { o.APIURL = eventServer(t); options = *o })
	w.gateway = New(ctx, options)
	server := newServer("", w.gateway, quiet)
	server.ReadTimeout, server.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	req, err := http.NewRequest(http.MethodGet, "http://"+listen(t, server)+"/v0/clusters/x/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", goodKey)
	begin := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for line := ""; !strings.HasPrefix(line, "id: 15"); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatalf("the stream was cut after %s: %v", time.Since(begin), err)
		}
	}
	if took := time.Since(begin); took < server.WriteTimeout {
		t.Fatalf("15 events came within %s: too soon to tell anything", took)
	}
	end()
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Errorf("the stream must end properly: %v", err)
	}
}
