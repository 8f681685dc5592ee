package mkeapi

import (
	"context"
	"time"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/mgc"
)

// SignIns tells who signed in at the cloud directly, which the gateway does not see.
type SignIns interface {
	// AuditRecords returns the oldest records that wait.
	AuditRecords(ctx context.Context) (audit.Waiting, error)
	// ForgetAuditRecords removes the records up to the last one that is kept.
	ForgetAuditRecords(ctx context.Context, last int64) error
}

const (
	signInsInterval = 2 * time.Second
	// maxSignInsPause bounds the pause while the cloud or the database is away.
	maxSignInsPause = time.Minute
)

// CollectSignIns keeps audit records of the cloud until ctx ends. They wait there until they are kept, and their ids keep replicas that
// collect at once from doubling them.
func (s *Server) CollectSignIns(ctx context.Context, from SignIns) error {
	for pause := signInsInterval; ; {
		if err := s.collectSignIns(ctx, from); err == nil {
			pause = signInsInterval
		} else {
			pause = min(2*pause, maxSignInsPause)
			if ctx.Err() == nil && !mgc.IsNotFound(err) { // else we end, or it is a cloud that keeps no such records
				s.log.Warn("collect audit records of the cloud; they wait", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// collectSignIns keeps all that wait.
func (s *Server) collectSignIns(ctx context.Context, from SignIns) error {
	for {
		waiting, err := from.AuditRecords(ctx)
		if err != nil || len(waiting.Records) == 0 {
			return err
		}
		for i := range waiting.Records {
			waiting.Records[i].Clean()
		}
		if err := s.store.KeepAudit(ctx, waiting.Records); err != nil {
			return err
		}
		if err := from.ForgetAuditRecords(ctx, waiting.Last); err != nil {
			return err
		}
	}
}

func (c *cloudClient) AuditRecords(ctx context.Context) (audit.Waiting, error) {
	client, err := c.client("")
	if err != nil {
		return audit.Waiting{}, err
	}
	return client.IAM.AuditRecords(ctx)
}

func (c *cloudClient) ForgetAuditRecords(ctx context.Context, last int64) error {
	client, err := c.client("")
	if err != nil {
		return err
	}
	return client.IAM.ForgetAuditRecords(ctx, last)
}
