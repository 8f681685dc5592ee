package loadbalancer

import "magalu.cloud/mke/internal/cloud/httpapi"

const passThrough = "Use a listener with the protocol tcp and let the targets end TLS."

const certificates = "/v0beta1/network-load-balancers/{load_balancer_id}/tls-certificates"

// Unavailable are the published operations that this product does not offer.
var Unavailable = []httpapi.Unavailable{
	{Method: "GET", Path: certificates, What: "listing TLS certificates", Instead: passThrough},
	{Method: "POST", Path: certificates, What: "a TLS certificate", Instead: passThrough},
	{Method: "GET", Path: certificates + "/{tls_certificate_id}", What: "getting a TLS certificate", Instead: passThrough},
	{Method: "PUT", Path: certificates + "/{tls_certificate_id}", What: "replacing a TLS certificate", Instead: passThrough},
	{Method: "DELETE", Path: certificates + "/{tls_certificate_id}", What: "deleting a TLS certificate", Instead: passThrough},
}
