package compute

import "magalu.cloud/mke/internal/cloud/httpapi"

const (
	buildImages = "Build images with `mke image build`; they appear in the list of images."
	snapVolumes = "Keep data on volumes and take snapshots of those: block storage's snapshots."
	noWindows   = "No image of this cloud is Windows: log in with an SSH key."
)

// Unavailable are the published operations that this product does not offer.
var Unavailable = []httpapi.Unavailable{
	{Method: "GET", Path: "/v1/instances/config/{id}/first-windows-password", What: "a Windows password", Instead: noWindows},
	{Method: "GET", Path: "/v1/images/custom", What: "listing custom images", Instead: buildImages},
	{Method: "POST", Path: "/v1/images/custom", What: "importing a custom image", Instead: buildImages},
	{Method: "GET", Path: "/v1/images/custom/{id}", What: "getting a custom image", Instead: buildImages},
	{Method: "PATCH", Path: "/v1/images/custom/{id}", What: "changing a custom image", Instead: buildImages},
	{Method: "DELETE", Path: "/v1/images/custom/{id}", What: "deleting a custom image", Instead: buildImages},
	{Method: "GET", Path: "/v1/snapshots", What: "listing snapshots of instances", Instead: snapVolumes},
	{Method: "POST", Path: "/v1/snapshots", What: "a snapshot of an instance", Instead: snapVolumes},
	{Method: "GET", Path: "/v1/snapshots/{id}", What: "getting a snapshot of an instance", Instead: snapVolumes},
	{Method: "POST", Path: "/v1/snapshots/{id}", What: "restoring a snapshot of an instance", Instead: snapVolumes},
	{Method: "DELETE", Path: "/v1/snapshots/{id}", What: "deleting a snapshot of an instance", Instead: snapVolumes},
	{Method: "POST", Path: "/v1/snapshots/{id}/copy", What: "copying a snapshot to another region", Instead: snapVolumes},
	{Method: "PATCH", Path: "/v1/snapshots/{id}/rename", What: "renaming a snapshot of an instance", Instead: snapVolumes},
}
