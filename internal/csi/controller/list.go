package controller

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/mgc"
)

// ListVolumes returns the cluster's volumes, and attached ones of others: the attacher compares what Kubernetes takes for attached
// with this list, and volumes that were made by hand are used, too.
func (c *Controller) ListVolumes(ctx context.Context, req *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	all, err := c.storage.Volumes(ctx)
	if err != nil {
		return nil, translate(err)
	}
	all = slices.DeleteFunc(all, func(v mgc.Volume) bool { return !c.names.own(v.Name) && v.AttachedTo() == "" })
	slices.SortFunc(all, func(a, b mgc.Volume) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	page, next, err := cut(all, req.GetStartingToken(), req.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	res := &csi.ListVolumesResponse{NextToken: next}
	for _, v := range page {
		res.Entries = append(res.Entries, &csi.ListVolumesResponse_Entry{
			Volume: volume(&v), Status: &csi.ListVolumesResponse_VolumeStatus{PublishedNodeIds: publishedTo(&v)}})
	}
	return res, nil
}

// ControllerGetVolume returns one volume.
func (c *Controller) ControllerGetVolume(ctx context.Context, req *csi.ControllerGetVolumeRequest) (*csi.ControllerGetVolumeResponse, error) {
	if req.GetVolumeId() == "" {
		return nil, invalid("the volume's id is needed")
	}
	v, err := c.storage.Volume(ctx, req.GetVolumeId())
	if err != nil {
		return nil, translate(err)
	}
	return &csi.ControllerGetVolumeResponse{Volume: volume(v),
		Status: &csi.ControllerGetVolumeResponse_VolumeStatus{PublishedNodeIds: publishedTo(v)}}, nil
}

func volume(v *mgc.Volume) *csi.Volume {
	return &csi.Volume{VolumeId: v.ID, CapacityBytes: int64(v.Size) * driver.GiB,
		AccessibleTopology: []*csi.Topology{driver.Topology(v.AvailabilityZone)}}
}

func publishedTo(v *mgc.Volume) []string {
	if v.AttachedTo() == "" {
		return nil
	}
	return []string{v.AttachedTo()}
}

// cut returns one page. Tokens are positions: new objects come last.
func cut[T any](all []T, token string, most int32) (page []T, next string, err error) {
	start := 0
	if token != "" {
		if start, err = strconv.Atoi(token); err != nil || start < 0 {
			return nil, "", status.Errorf(codes.Aborted, "the token %q is not one of ours", token)
		}
	}
	if most < 0 {
		return nil, "", invalid("the number of entries must not be negative")
	}
	start = min(start, len(all))
	end := len(all)
	if most > 0 && start+int(most) < end {
		end = start + int(most)
		next = strconv.Itoa(end)
	}
	return all[start:end], next, nil
}
