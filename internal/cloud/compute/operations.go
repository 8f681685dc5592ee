package compute

import (
	"context"
	"database/sql"
	"net/http"
	"slices"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// operation changes the caller's instance in one transaction and wakes the reconciler up.
func (s *Service) operation(r *http.Request, change func(ctx context.Context, tx *sql.Tx, i Instance) error) error {
	var id string
	err := s.db.Tx(r.Context(), func(tx *sql.Tx) error {
		i, err := s.own(r, tx)
		if err != nil {
			return err
		}
		id = i.ID
		return change(r.Context(), tx, i)
	})
	if err != nil {
		return err
	}
	s.pool.Wake(id)
	return nil
}

// begin starts an operation with a statement, which ends in updated_at and id, on
// an instance on which none is under way and that is in one of the allowed states.
func begin(verb string, allowed []string, statement string) func(context.Context, *sql.Tx, Instance) error {
	return func(ctx context.Context, tx *sql.Tx, i Instance) error {
		if err := mayBegin(i, verb, allowed); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, statement, store.Now(), i.ID)
		return err
	}
}

// settled are the statuses in which nothing is under way on an instance that was created.
var settled = []string{statusCompleted, "starting_error", "stopping_error", "rebooting_error", "suspending_error", "retyping_error",
	"attaching_nic_error", "detaching_nic_error"}

func mayBegin(i Instance, verb string, allowed []string) error {
	if !slices.Contains(settled, i.Status) {
		return httpapi.Conflict("the instance cannot be %s now: its status is %s", verb, i.Status)
	}
	if !slices.Contains(allowed, i.State) {
		return httpapi.Conflict("the instance cannot be %s: its state is %s", verb, i.State)
	}
	return nil
}

func (s *Service) start(r *http.Request) error {
	return s.operation(r, begin("started", []string{stateStopped, stateSuspended},
		`UPDATE compute_instances SET desired = 'running', status = 'starting_pending', updated_at = ? WHERE id = ?`))
}

func (s *Service) stop(r *http.Request) error {
	return s.operation(r, begin("stopped", []string{stateRunning},
		`UPDATE compute_instances SET desired = 'stopped', status = 'stopping_pending', updated_at = ? WHERE id = ?`))
}

func (s *Service) suspend(r *http.Request) error {
	return s.operation(r, begin("suspended", []string{stateRunning},
		`UPDATE compute_instances SET desired = 'suspended', status = 'suspending_pending', updated_at = ? WHERE id = ?`))
}

func (s *Service) reboot(r *http.Request) error {
	return s.operation(r, begin("rebooted", []string{stateRunning},
		`UPDATE compute_instances SET reboot = 'stop', status = 'rebooting_pending', updated_at = ? WHERE id = ?`))
}

// retype gives an instance another machine type. One that runs is rebooted for it.
func (s *Service) retype(r *http.Request) error {
	var body struct {
		MachineType *ref `json:"machine_type"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := validateRef("machine_type", body.MachineType); err != nil {
		return err
	}
	wanted, ok := findMachineType(s.types, *body.MachineType)
	if !ok {
		return badRequest("retype_instance.machine_type.not_found", "the machine type does not exist")
	}
	return s.operation(r, func(ctx context.Context, tx *sql.Tx, i Instance) error {
		if err := mayBegin(i, "retyped", []string{stateRunning, stateStopped}); err != nil {
			return err
		}
		present, ok := findMachineType(s.types, ref{ID: i.MachineTypeID})
		if ok && wanted.hollow() != present.hollow() {
			return httpapi.Conflict("the machine type %s is of another family: an instance of type %s can only be retyped within its own", wanted.Name, present.Name)
		}
		if ok && wanted.Disk < present.Disk {
			return httpapi.Conflict("the machine type %s has a smaller disk (%d GiB) than the instance (%d GiB)", wanted.Name, wanted.Disk, present.Disk)
		}
		statement := `UPDATE compute_instances SET machine_type_id = ?, updated_at = ? WHERE id = ?`
		if i.State == stateRunning {
			statement = `UPDATE compute_instances SET machine_type_id = ?, reboot = 'stop', status = 'retyping_pending', updated_at = ? WHERE id = ?`
		}
		_, err := tx.ExecContext(ctx, statement, wanted.ID, store.Now(), i.ID)
		return err
	})
}
