package volume

import (
	"context"
	"fmt"
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// thinDisk is how often the disk may be promised: volumes take only what was written to them.
const thinDisk = 4

// checkCapacity refuses more GiB for volumes and snapshots than the region has,
// and any where the disk is full. slug is the status that the published API has for it.
func (s *Service) checkCapacity(ctx context.Context, q store.Queryer, more int64, slug string) error {
	size, full, err := s.Driver.Space(ctx)
	if err != nil {
		return err
	}
	if full {
		return quota(slug, "the region's disk is full: delete volumes and snapshots, or ask the operator for more")
	}
	capacity := s.Capacity
	if capacity == 0 {
		capacity = thinDisk * size / gib
	}
	used, err := store.Count(ctx, q, `SELECT (SELECT coalesce(sum(max(size, new_size)), 0) FROM volume_volumes)
		+ (SELECT coalesce(sum(size), 0) FROM volume_snapshots)`)
	if err != nil {
		return err
	}
	if int64(used)+more > capacity {
		return quota(slug, "the region has no room for so many GiB: delete volumes and snapshots, or ask the operator for more")
	}
	return nil
}

// checkQuota refuses more volumes, or GiB of them, than the tenant may have.
func (s *Service) checkQuota(ctx context.Context, q store.Queryer, tenantID string, volumes, more int64, slug string) error {
	have, err := store.Count(ctx, q, `SELECT count(*) FROM volume_volumes WHERE tenant_id = ?`, tenantID)
	if err != nil {
		return err
	}
	if volumes > 0 && s.TenantVolumes > 0 && int64(have)+volumes > s.TenantVolumes {
		return quota(slug, fmt.Sprintf("the quota of volumes is exceeded: the tenant has %d and may have %d", have, s.TenantVolumes))
	}
	size, err := store.Count(ctx, q, `SELECT coalesce(sum(max(size, new_size)), 0) FROM volume_volumes WHERE tenant_id = ?`, tenantID)
	if err == nil && s.TenantGiB > 0 && int64(size)+more > s.TenantGiB {
		return quota(slug, fmt.Sprintf("the quota of GiB of volumes is exceeded: the tenant has %d and may have %d", size, s.TenantGiB))
	}
	return err
}

func quota(slug, message string) *httpapi.Error {
	return &httpapi.Error{Status: http.StatusConflict, Slug: slug, Message: message}
}
