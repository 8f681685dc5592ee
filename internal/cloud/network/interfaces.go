package network

import (
	"context"
	"database/sql"
	"slices"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// maxInterfaces is how many ports an instance can have.
const maxInterfaces = 8

// leaving is the index of a port that is to be taken out of its VM.
const leaving = -1

// Leaving tells whether the port is to be taken out of its VM.
func (p Port) Leaving() bool { return p.DeviceIndex == leaving }

// InstancePorts returns the ports of an instance besides its primary one, in the order of their interfaces.
func (s *Service) InstancePorts(ctx context.Context, deviceID string) ([]Port, error) {
	ports, err := portsWhere(ctx, s.db, `p.device_id = ? AND p.device_id <> '' AND p.device_index <> 0`, deviceID)
	slices.SortStableFunc(ports, func(a, b Port) int { return a.DeviceIndex - b.DeviceIndex })
	return ports, err
}

// PortsOf returns all ports of many instances, by instance and in the order of their interfaces. (Only with the second condition
// SQLite takes the index.)
func (s *Service) PortsOf(ctx context.Context, deviceIDs ...string) (map[string][]Port, error) {
	ports, err := portsWhere(ctx, s.db, `p.device_id IN (SELECT value FROM json_each(?)) AND p.device_id <> ''`, store.Set(deviceIDs))
	slices.SortStableFunc(ports, func(a, b Port) int { return a.DeviceIndex - b.DeviceIndex })
	of := map[string][]Port{}
	for _, port := range ports {
		of[port.DeviceID] = append(of[port.DeviceID], port)
	}
	return of, err
}

// AddInstancePort makes a free port of the tenant an instance's next interface. Doing it again succeeds.
func (s *Service) AddInstancePort(ctx context.Context, tx *sql.Tx, tenantID, portID, deviceID string) error {
	port, err := tenantPort(ctx, tx, tenantID, portID)
	switch {
	case err != nil:
		return err
	case port.DeviceID == deviceID && !port.Leaving():
		return nil
	case port.DeviceID != "":
		return httpapi.Conflict("the port is in use by instance %s", port.DeviceID)
	}
	taken, err := portsWhere(ctx, tx, `p.device_id = ? AND p.device_id <> ''`, deviceID)
	if err != nil {
		return err
	}
	for index := 1; index < maxInterfaces; index++ {
		if slices.ContainsFunc(taken, func(p Port) bool { return p.DeviceIndex == index }) {
			continue
		}
		return exec(ctx, tx, `UPDATE network_ports SET device_id = ?, device_index = ?, updated_at = ? WHERE id = ?`, deviceID, index, store.Now(), port.ID)
	}
	return httpapi.Conflict("the instance has %d network interfaces already, and cannot have more", maxInterfaces)
}

// RemoveInstancePort marks an interface of an instance to be taken out; FreeInstancePort does it.
func (s *Service) RemoveInstancePort(ctx context.Context, tx *sql.Tx, tenantID, portID, deviceID string) error {
	port, err := tenantPort(ctx, tx, tenantID, portID)
	switch {
	case err != nil:
		return err
	case port.DeviceID != deviceID:
		return httpapi.Conflict("the port is not a network interface of the instance")
	case port.DeviceIndex == 0:
		return httpapi.Conflict("the port is the instance's primary network interface, which cannot be detached")
	}
	return exec(ctx, tx, `UPDATE network_ports SET device_index = ?, updated_at = ? WHERE id = ?`, leaving, store.Now(), port.ID)
}

// FreeInstancePort takes a port out of its VM and gives it back to the tenant. Doing it again succeeds.
func (s *Service) FreeInstancePort(ctx context.Context, portID string) error {
	further, err := store.Count(ctx, s.db, `SELECT count(*) FROM network_ports WHERE id = ? AND device_index <> 0`, portID)
	if err != nil || further == 0 {
		return err
	}
	if err := s.UnplugPort(ctx, portID); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		return exec(ctx, tx, `UPDATE network_ports SET device_id = '', device_index = 0, updated_at = ? WHERE id = ? AND device_index <> 0`, store.Now(), portID)
	})
}
