package mgc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// server answers every call with handler and returns a client of it.
func server(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	c, err := New(Config{Endpoint: s.URL + "/br-se1", APIKey: "key", TenantID: "tenant", HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefusesBadEndpoints(t *testing.T) {
	for _, endpoint := range []string{"", "api.magalu.cloud", "ftp://x", "://"} {
		if _, err := New(Config{Endpoint: endpoint}); err == nil {
			t.Errorf("%q is taken", endpoint)
		}
	}
	if _, err := New(Config{Endpoint: "https://x", CAFile: "/does/not/exist"}); err == nil {
		t.Error("a missing CA file is taken")
	}
}

func TestRequests(t *testing.T) {
	var got *http.Request
	var body map[string]any
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		got, body = r, nil
		_ = json.NewDecoder(r.Body).Decode(&body)
		fmt.Fprint(w, `{"id":"1","uuid":"1","api_key":"secret","results":[],"instances":[]}`)
	})
	ctx := t.Context()
	for _, tt := range []struct {
		name   string
		call   func() error
		method string
		uri    string
		header map[string]string
		body   string
	}{
		{"create instance", func() error {
			_, err := c.Compute.CreateInstance(ctx, InstanceCreate{Name: "n", MachineType: Ref{Name: "BV2-4-40"}, Image: Ref{ID: "i"}, UserData: []byte("hello")})
			return err
		}, "POST", "/br-se1/compute/v1/instances", nil, `{"image":{"id":"i"},"machine_type":{"name":"BV2-4-40"},"name":"n","network":{"associate_public_ip":false},"user_data":"aGVsbG8="}`},
		{"get instance", func() error { _, err := c.Compute.GetInstance(ctx, "a/b"); return err }, "GET",
			"/br-se1/compute/v1/instances/a%2Fb?expand=network%2Clabels%2Cmachine-type", map[string]string{"X-Api-Version": "1.1"}, ""},
		{"stop instance", func() error { return c.Compute.StopInstance(ctx, "1") }, "POST", "/br-se1/compute/v1/instances/1/stop", nil, ""},
		{"create subnet", func() error {
			_, err := c.Network.CreateSubnet(ctx, "v", "a", SubnetCreate{Name: "s", CIDRBlock: "10.0.0.0/24", IPVersion: 4})
			return err
		}, "POST", "/br-se1/network/v0/vpcs/v/subnets", map[string]string{"X-Zone": "a"}, `{"cidr_block":"10.0.0.0/24","ip_version":4,"name":"s"}`},
		{"attach public IP", func() error { return c.Network.AttachPublicIP(ctx, "ip", "port") }, "POST", "/br-se1/network/v0/public_ips/ip/attach/port", nil, ""},
		{"delete load balancer", func() error { return c.LoadBalancer.Delete(ctx, "1", true) }, "DELETE",
			"/br-se1/load-balancer/v0beta1/network-load-balancers/1?delete_public_ip=true", nil, ""},
		{"no ACLs", func() error { return c.LoadBalancer.ReplaceACLs(ctx, "1", nil) }, "PUT",
			"/br-se1/load-balancer/v0beta1/network-load-balancers/1/acls", nil, `{"acls":[]}`},
		{"no targets", func() error { return c.LoadBalancer.ReplaceBackendTargets(ctx, "1", "2", TargetsInstance, nil, "") }, "PUT",
			"/br-se1/load-balancer/v0beta1/network-load-balancers/1/backends/2/targets", nil, `{"targets":[],"targets_type":"instance"}`},
		{"create key, beside the region", func() error {
			_, err := c.IAM.CreateServiceAccountKey(ctx, "sa", APIKeyCreate{Name: "k", Scopes: []string{"a"}})
			return err
		}, "POST", "/iam/api/v1/service-accounts/sa/api-keys", nil, `{"name":"k","scopes":["a"]}`},
		{"introspect", func() error { _, err := c.IAM.Introspect(ctx, "k"); return err }, "POST", "/iam/internal/v1/introspect", nil, `{"api_key":"k"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(); err != nil {
				t.Fatal(err)
			}
			if got.Method != tt.method || got.RequestURI != tt.uri {
				t.Errorf("%s %s", got.Method, got.RequestURI)
			}
			if got.Header.Get("X-Api-Key") != "key" || got.Header.Get("X-Tenant-Id") != "tenant" {
				t.Errorf("headers %v", got.Header)
			}
			for k, v := range tt.header {
				if got.Header.Get(k) != v {
					t.Errorf("header %s is %q", k, got.Header.Get(k))
				}
			}
			have := ""
			if body != nil {
				data, _ := json.Marshal(body)
				have = string(data)
			}
			if have != tt.body {
				t.Errorf("body %s", have)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  int
		header  map[string]string
		body    string
		slug    string
		message string
		class   string
		wait    time.Duration
	}{
		{"object", 404, nil, `{"message":"instance not found","slug":"not_found"}`, "not_found", "instance not found", "not found", 0},
		{"object with details", 409, nil, `{"slug":"in_use","message":"port in use","details":[{"a":1}]}`, "in_use", "port in use", "conflict", 0},
		{"array", 422, nil, `[{"slug":"a","message":"first","detail":{}},{"slug":"b","message":"second"}]`, "a", "first; second", "invalid", 0},
		{"RFC 7807", 400, nil, `{"type":"about:blank","title":"Bad Request","status":400,"detail":"wrong","code":"bad","errors":[{"detail":"too long","pointer":"/name"}]}`, "bad", "wrong; /name: too long", "invalid", 0},
		{"IAM", 403, nil, `{"origin":"permissionsAPI","permission":"x","message":"not authorized"}`, "", "not authorized", "unauthorized", 0},
		{"FastAPI", 401, nil, `{"detail":"bad key"}`, "", "bad key", "unauthorized", 0},
		{"FastAPI list", 422, nil, `{"detail":[{"loc":["body"]}]}`, "", "Unprocessable Entity", "invalid", 0},
		{"rate limit", 429, map[string]string{"Retry-After": "7"}, `{"message":"slow down","slug":"rate"}`, "rate", "slow down", "rate limited", 7 * time.Second},
		{"page of a proxy", 502, nil, `<html>bad gateway</html>`, "", "Bad Gateway", "transient", 0},
		{"empty", 503, nil, ``, "", "Service Unavailable", "transient", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "r-1")
				for k, v := range tt.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			})
			err := c.Network.DeleteVPC(t.Context(), "1")
			var e *Error
			if !errors.As(fmt.Errorf("wrapped: %w", err), &e) {
				t.Fatalf("error %v", err)
			}
			if e.StatusCode != tt.status || e.Slug != tt.slug || e.Message != tt.message || e.RequestID != "r-1" || e.RetryAfter != tt.wait {
				t.Errorf("%+v", e)
			}
			if got := class(err); got != tt.class {
				t.Errorf("class %q, want %q", got, tt.class)
			}
			if !strings.Contains(err.Error(), "r-1") {
				t.Errorf("text %q has no request id", err)
			}
		})
	}
}

func class(err error) string {
	for name, is := range map[string]func(error) bool{"not found": IsNotFound, "conflict": IsConflict, "invalid": IsInvalid, "unauthorized": IsUnauthorized, "rate limited": IsRateLimited} {
		if is(err) {
			return name
		}
	}
	if IsTransient(err) {
		return "transient"
	}
	return ""
}

// TestCannotTell: answers that say nothing about the object are transient and never "not found".
func TestCannotTell(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
	}{
		{"connection cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"answer cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"id":"1"`)
		}},
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }},
		{"no id", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := server(t, tt.handle)
			_, err := c.Network.CreateVPC(t.Context(), VPCCreate{Name: "v"})
			if err == nil || !IsTransient(err) || IsNotFound(err) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("cancelled by the caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := server(t, func(http.ResponseWriter, *http.Request) { cancel() })
		cancel()
		if _, err := c.Network.CreateVPC(ctx, VPCCreate{Name: "v"}); err == nil || IsTransient(err) {
			t.Errorf("error %v", err)
		}
	})
}

func TestRetries(t *testing.T) {
	before := getRetries
	getRetries = []time.Duration{0, 0}
	t.Cleanup(func() { getRetries = before })
	for _, tt := range []struct {
		name   string
		status int
		call   func(context.Context, *Client) error
		calls  int32
	}{
		{"reads after 5xx", 500, func(ctx context.Context, c *Client) error { _, err := c.Network.GetVPC(ctx, "1"); return err }, 3},
		{"reads after a cut", 0, func(ctx context.Context, c *Client) error { _, err := c.Network.GetVPC(ctx, "1"); return err }, 3},
		{"no reads after 404", 404, func(ctx context.Context, c *Client) error { _, err := c.Network.GetVPC(ctx, "1"); return err }, 1},
		{"no reads after 429", 429, func(ctx context.Context, c *Client) error { _, err := c.Network.GetVPC(ctx, "1"); return err }, 1},
		{"no writes", 500, func(ctx context.Context, c *Client) error { return c.Network.DeleteVPC(ctx, "1") }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			c := server(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				if tt.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(tt.status)
			})
			if err := tt.call(t.Context(), c); err == nil {
				t.Error("no error")
			}
			// The transport itself repeats a GET once on a connection that the server closed before any answer.
			if got := calls.Load(); got < tt.calls || got > tt.calls+1 {
				t.Errorf("%d calls, want %d", got, tt.calls)
			}
		})
	}
}

// TestPages: a server may give shorter pages than asked for; only the total or an empty page is the end.
func TestPages(t *testing.T) {
	for _, tt := range []struct {
		name  string
		total bool
	}{{"with total", true}, {"without total", false}} {
		t.Run(tt.name, func(t *testing.T) {
			c := server(t, func(w http.ResponseWriter, r *http.Request) {
				var offset int
				_, _ = fmt.Sscan(r.URL.Query().Get("_offset"), &offset)
				out := map[string]any{}
				var items []map[string]any
				for n := offset; n < min(offset+3, 8); n++ {
					items = append(items, map[string]any{"id": fmt.Sprint(n), "name": "vm", "labels": []string{fmt.Sprint("odd=", n%2)}})
				}
				out["instances"] = items
				if tt.total {
					out["meta"] = map[string]any{"page": map[string]any{"total": 8}}
				}
				_ = json.NewEncoder(w).Encode(out)
			})
			all, err := c.Compute.ListInstances(t.Context(), ListInstancesOptions{})
			if err != nil || len(all) != 8 {
				t.Errorf("%d instances, error %v", len(all), err)
			}
			odd, err := c.Compute.ListInstances(t.Context(), ListInstancesOptions{Name: "vm", Label: "odd=1"})
			if err != nil || len(odd) != 4 {
				t.Errorf("%d odd instances, error %v", len(odd), err)
			}
		})
	}
}

func TestPagesOfPorts(t *testing.T) {
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		ports := map[string]string{"1": `{"id":"a"},{"id":"b"}`, "2": `{"id":"b"},{"id":"c"}`}[r.URL.Query().Get("_offset")]
		fmt.Fprintf(w, `{"ports":[%s]}`, ports)
	})
	ports, err := c.Network.ListPorts(t.Context(), "v")
	if err != nil || len(ports) != 3 {
		t.Errorf("%v, error %v", ports, err)
	}
}

func TestFailedPageFailsTheList(t *testing.T) {
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("_offset") != "0" {
			w.WriteHeader(429)
			return
		}
		fmt.Fprint(w, `{"results":[{"id":"1"}],"meta":{"page":{"total":2}}}`)
	})
	if all, err := c.LoadBalancer.List(t.Context()); err == nil {
		t.Errorf("half a list counts as whole: %v", all)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-1": 0, "soon": 0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Thu, 01 Jan 2025 00:01:00 GMT": 0,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}
