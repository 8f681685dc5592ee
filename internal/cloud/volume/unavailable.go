package volume

import "magalu.cloud/mke/internal/cloud/httpapi"

// Unavailable are the published operations that this product does not offer.
var Unavailable = []httpapi.Unavailable{
	{Method: "POST", Path: "/v1/snapshots/{id}/copy", What: "copying a snapshot to another region",
		Instead: "There is one region here; copy it inside of the region: POST /v1/snapshots with source_snapshot."},
}
