package network

import (
	"context"
	"database/sql"
	"net/http"
	"testing"
)

func TestInstancePorts(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	primary := f.port(PortRequest{Name: "vm", DeviceID: "i-1"})
	extra, other := f.port(PortRequest{Name: "extra"}), f.port(PortRequest{Name: "other"})
	type change = func(context.Context, *sql.Tx, string, string, string) error
	do := func(fn change, tenantID, portID, device string) error {
		return f.db.Tx(ctx, func(tx *sql.Tx) error { return fn(ctx, tx, tenantID, portID, device) })
	}
	indexes := func(device string) (all []int) {
		t.Helper()
		ports, err := f.InstancePorts(ctx, device)
		must(t, err)
		for _, port := range ports {
			all = append(all, port.DeviceIndex)
		}
		return all
	}
	must(t, do(f.AddInstancePort, testTenant, extra.ID, "i-1"))
	must(t, do(f.AddInstancePort, testTenant, extra.ID, "i-1")) // again
	must(t, do(f.AddInstancePort, testTenant, other.ID, "i-1"))
	equal(t, "interfaces", indexes("i-1"), []int{1, 2})
	for _, c := range []struct {
		fn                     change
		tenant, port, instance string
		want                   int
	}{
		{f.AddInstancePort, testTenant, extra.ID, "i-2", http.StatusConflict},
		{f.AddInstancePort, otherTenant, extra.ID, "i-2", http.StatusNotFound},
		{f.AddInstancePort, testTenant, "x", "i-1", http.StatusNotFound},
		{f.RemoveInstancePort, testTenant, primary.ID, "i-1", http.StatusConflict},
		{f.RemoveInstancePort, testTenant, extra.ID, "i-2", http.StatusConflict},
		{f.RemoveInstancePort, otherTenant, extra.ID, "i-1", http.StatusNotFound},
	} {
		if err := do(c.fn, c.tenant, c.port, c.instance); status(err) != c.want {
			t.Errorf("%s, %s, %s: %v, want %d", c.tenant, c.port, c.instance, err, c.want)
		}
	}
	must(t, f.PlugPort(ctx, extra.ID, "/run/netns/vm"))
	must(t, do(f.RemoveInstancePort, testTenant, extra.ID, "i-1"))
	equal(t, "interfaces", indexes("i-1"), []int{leaving, 2})
	must(t, f.FreeInstancePort(ctx, extra.ID))
	must(t, f.FreeInstancePort(ctx, extra.ID)) // again
	must(t, f.FreeInstancePort(ctx, primary.ID))
	if _, plugged := f.plane.plugged[short(extra.ID)]; plugged {
		t.Error("it is still plugged")
	}
	equal(t, "interfaces", indexes("i-1"), []int{2})
	must(t, do(f.AddInstancePort, testTenant, extra.ID, "i-1")) // has the place that is free
	for range maxInterfaces - 3 {
		must(t, do(f.AddInstancePort, testTenant, f.port(PortRequest{Name: "more"}).ID, "i-1"))
	}
	equal(t, "interfaces", indexes("i-1"), []int{1, 2, 3, 4, 5, 6, 7})
	if err := do(f.AddInstancePort, testTenant, f.port(PortRequest{Name: "more"}).ID, "i-1"); status(err) != http.StatusConflict {
		t.Errorf("one too many: %v", err)
	}
	if port, err := f.GetPort(ctx, testTenant, primary.ID); err != nil || port.DeviceID != "i-1" || port.DeviceIndex != 0 {
		t.Errorf("the primary port: %+v, %v", port, err)
	}
}
