package volume

import "magalu.cloud/mke/internal/cloud/httpapi"

const takeSnapshots = "Take snapshots with POST /v1/snapshots, from cron for example."

// Unavailable are the published operations that this product does not offer.
var Unavailable = []httpapi.Unavailable{
	{Method: "POST", Path: "/v1/snapshots/{id}/copy", What: "copying a snapshot to another region",
		Instead: "There is one region here; copy it inside of the region: POST /v1/snapshots with source_snapshot."},
	{Method: "GET", Path: "/v1/schedulers", What: "listing schedulers of snapshots", Instead: takeSnapshots},
	{Method: "POST", Path: "/v1/schedulers", What: "scheduling snapshots", Instead: takeSnapshots},
	{Method: "GET", Path: "/v1/schedulers/{id}", What: "getting a scheduler of snapshots", Instead: takeSnapshots},
	{Method: "DELETE", Path: "/v1/schedulers/{id}", What: "deleting a scheduler of snapshots", Instead: takeSnapshots},
	{Method: "POST", Path: "/v1/schedulers/{id}/attach", What: "scheduling snapshots of a volume", Instead: takeSnapshots},
	{Method: "POST", Path: "/v1/schedulers/{id}/detach", What: "ending the scheduling of snapshots of a volume", Instead: takeSnapshots},
}
