package compute

import "context"

// watch waits, once per instance, for the end of its VM and then records what
// happened to it. ctx is that of Run.
func (s *Service) watch(ctx context.Context, i Instance) {
	id, driver := i.ID, s.driver(i)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched[id] {
		return
	}
	s.watched[id] = true
	s.watchers.Go(func() {
		err := driver.Wait(ctx, id)
		if err == nil && ctx.Err() == nil {
			if err := s.ended(ctx, driver, id); err != nil {
				s.Logger.Error("instance: its end could not be recorded", "instance", id, "error", err)
			}
		}
		s.mu.Lock()
		delete(s.watched, id)
		s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.Logger.Error("instance: waiting for its end failed", "instance", id, "error", err)
			s.pool.RetryLate(id)
			return
		}
		s.pool.Add(id)
	})
}

// watching tells whether this daemon sees the end of the instance's VM: then the host did not go down.
func (s *Service) watching(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watched[id]
}

// ended is called when a VM that ran does not run any more. A VM that rebooted
// from inside is started again by the reconciler; one that went off, whether
// by its own will or because it broke, stays off.
func (s *Service) ended(ctx context.Context, driver Driver, id string) error {
	phase, exit, err := driver.State(ctx, id)
	if err != nil {
		return err
	}
	if phase == Running || exit == ExitReboot {
		return nil
	}
	return s.recordOff(ctx, id, exit)
}
