package network

import "magalu.cloud/mke/internal/cloud/httpapi"

const routerTranslates = "The router of a VPC translates everything that leaves it already: nothing has to be made."

// Unavailable are the published operations that this product does not offer.
var Unavailable = []httpapi.Unavailable{
	{Method: "GET", Path: "/v1/nat_gateways", What: "listing NAT gateways", Instead: routerTranslates},
	{Method: "POST", Path: "/v1/nat_gateways", What: "a NAT gateway", Instead: routerTranslates},
	{Method: "GET", Path: "/v1/nat_gateways/{id}", What: "getting a NAT gateway", Instead: routerTranslates},
	{Method: "DELETE", Path: "/v1/nat_gateways/{id}", What: "deleting a NAT gateway", Instead: routerTranslates},
}
