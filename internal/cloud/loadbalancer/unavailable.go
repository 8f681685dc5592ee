package loadbalancer

import "magalu.cloud/mke/internal/cloud/httpapi"

// Unavailable are the published operations that this product does not offer: none.
var Unavailable []httpapi.Unavailable
