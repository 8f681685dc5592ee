package compute

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"strings"

	"magalu.cloud/mke/internal/cloud/store"
)

// Instance is a row of the table of instances.
type Instance struct {
	ID, TenantID, Name                     string
	MachineTypeID, ImageID, ImageName      string
	AvailabilityZone                       string
	SSHKeyName, SSHPublicKey               string
	UserData                               string // base64, as it came
	Labels                                 []string
	PortID                                 string
	Desired, Reboot                        string
	DeletePublicIP                         bool
	Status, State, ErrorSlug, ErrorMessage string
	CreatedAt, UpdatedAt                   string
	Hostname                               string // made of the first name
}

// Where an instance shall go.
const (
	desiredRunning   = "running"
	desiredStopped   = "stopped"
	desiredSuspended = "suspended"
	desiredDeleted   = "deleted"
	desiredFailed    = "failed" // creation was given up: stays until it is deleted
)

// States, as published.
const (
	stateNew       = "new"
	stateRunning   = "running"
	stateStopped   = "stopped"
	stateSuspended = "suspended"
	stateError     = "error"
)

// Suspended tells whether the instance's processes are, or will be, paused at the user's will.
func (i Instance) Suspended() bool { return i.Desired == desiredSuspended }

// statusCompleted is the status of an instance on which no operation is under way.
const statusCompleted = "completed"

// hostname makes the name of a host out of an instance's: letters, digits and dashes.
func hostname(name, id string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, name)
	name = strings.Trim(name[:min(63, len(name))], "-")
	return cmp.Or(name, "instance-"+id[:8])
}

const columns = `id, tenant_id, name, machine_type_id, image_id, image_name, availability_zone, ssh_key_name, ssh_public_key,
	user_data, labels, port_id, desired, reboot, delete_public_ip, status, state, error_slug, error_message, created_at, updated_at, hostname`

// listColumns are without the user data, which lists do not show.
var listColumns = strings.Replace(columns, "user_data", "''", 1)

func (i *Instance) fields(labels *string) []any {
	return []any{&i.ID, &i.TenantID, &i.Name, &i.MachineTypeID, &i.ImageID, &i.ImageName, &i.AvailabilityZone, &i.SSHKeyName, &i.SSHPublicKey,
		&i.UserData, labels, &i.PortID, &i.Desired, &i.Reboot, &i.DeletePublicIP, &i.Status, &i.State, &i.ErrorSlug, &i.ErrorMessage,
		&i.CreatedAt, &i.UpdatedAt, &i.Hostname}
}

func scanInstance(row store.Scanner) (Instance, error) {
	var i Instance
	var labels string
	if err := row.Scan(i.fields(&labels)...); err != nil {
		return i, err
	}
	i.Hostname = cmp.Or(i.Hostname, hostname(i.Name, i.ID)) // rows from before the column
	return i, json.Unmarshal([]byte(labels), &i.Labels)
}

func insertInstance(ctx context.Context, tx *sql.Tx, i Instance) error {
	labels, err := json.Marshal(append([]string{}, i.Labels...))
	if err != nil {
		return err
	}
	encoded := string(labels)
	_, err = tx.ExecContext(ctx, `INSERT INTO compute_instances (`+columns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, i.fields(&encoded)...)
	return err
}

// Find returns an instance, whoever it belongs to; store.ErrNotFound when there is none.
func Find(ctx context.Context, q store.Queryer, id string) (Instance, error) {
	return store.Row(ctx, q, scanInstance, `SELECT `+columns+` FROM compute_instances WHERE id = ?`, id)
}

// FindAll returns those of the instances that exist, by id, whoever they belong to.
func FindAll(ctx context.Context, q store.Queryer, ids ...string) (map[string]Instance, error) {
	instances, err := queryInstances(ctx, q, `WHERE id IN (SELECT value FROM json_each(?))`, store.Set(ids))
	found := map[string]Instance{}
	for _, i := range instances {
		found[i.ID] = i
	}
	return found, err
}

func queryInstances(ctx context.Context, q store.Queryer, tail string, args ...any) ([]Instance, error) {
	return store.Rows(ctx, q, scanInstance, `SELECT `+columns+` FROM compute_instances `+tail, args...)
}

// InstanceByPort finds the instance that has the port; the metadata service asks it.
func (s *Service) InstanceByPort(ctx context.Context, portID string) (Instance, error) {
	return store.Row(ctx, s.db, scanInstance, `SELECT `+columns+` FROM compute_instances WHERE port_id = ?`, portID)
}
