package iam

import "magalu.cloud/mke/internal/cloud/httpapi"

const (
	inviting, addedAtOnce = "inviting people", "Members are added at once: POST /api/v1/members."
	federating, noDomains = "signing in by way of a domain", "People sign in with their e-mail address and password."
)

// unavailable are the published operations that mean nothing on one machine; docs/iam.md lists them, a test compares.
var unavailable = []httpapi.Unavailable{
	{Method: "GET", Path: "/api/v1/invitations", What: inviting, Instead: addedAtOnce},
	{Method: "DELETE", Path: "/api/v1/invitations/{invite_id}", What: inviting, Instead: addedAtOnce},
	{Method: "POST", Path: "/api/v1/invitations/{invite_id}/resend", What: inviting, Instead: addedAtOnce},
	{Method: "POST", Path: "/api/v1/groups/migrate", What: "migrating groups", Instead: "There is no older directory: create groups here."},
	{Method: "POST", Path: "/api/v1/admins/sync", What: "synchronizing administrators", Instead: "There is no other directory: change members' profiles here."},
	{Method: "GET", Path: "/api/v1/domains", What: federating, Instead: noDomains},
	{Method: "POST", Path: "/api/v1/domains", What: federating, Instead: noDomains},
	{Method: "PUT", Path: "/api/v1/domains/{domain_id}", What: federating, Instead: noDomains},
	{Method: "GET", Path: "/api/v1/domains/{domain_id}/federations", What: federating, Instead: noDomains},
	{Method: "POST", Path: "/api/v1/domains/{domain_id}/federations/oidc", What: federating, Instead: noDomains},
	{Method: "POST", Path: "/api/v1/domains/{domain_id}/federations/saml", What: federating, Instead: noDomains},
	{Method: "PATCH", Path: "/api/v1/domains/{domain_id}/federations/{federation_id}", What: federating, Instead: noDomains},
}
