package products

// IAM is `mgc iam`.
var IAM = Product{
	Name: "iam", Path: "iam", Short: "Members, groups, roles, service accounts and their API keys", Global: true,
	Calls: []Call{
		{Use: "members list", Request: "GET /api/v1/members", Noun: "member", Short: "List the members of the organization", List: ".", Columns: "email~ uuid name~ profile", Fields: []Field{
			{Flag: "email", Help: "only of this e-mail address"},
		}},
		{Use: "members create", Request: "POST /api/v1/members", Noun: "member", Short: "Add a person to the organization", Fields: []Field{
			{Flag: "email", Required: true, Help: "e-mail address"},
			{Flag: "roles", Kind: Strings, Help: "names of roles"},
			{Flag: "permissions", Kind: Strings, Help: "names of permissions"},
		}},
		{Use: "members delete", Request: "DELETE /api/v1/members/{uuid}", Noun: "member", Short: "Remove a person from the organization"},
		{Use: "members grants list", Request: "GET /api/v1/members/{uuid}/grants", Noun: "member", Short: "Show the roles and permissions of a member or group"},
		{Use: "members grants update", Request: "PATCH /api/v1/members/{uuid}/grants", Noun: "member", Short: "Give or take roles and permissions", Fields: []Field{
			{Flag: "operation", Required: true, OneOf: []string{"add", "remove"}, Help: "give or take"},
			{Flag: "roles", Kind: Strings, Help: "names of roles"},
			{Flag: "permissions", Kind: Strings, Help: "names of permissions"},
		}},
		{Use: "members grants batch", Request: "PATCH /api/v1/members/grants/batch", Noun: "member", Short: "Give or take roles and permissions of several members, for all or for none", Fields: []Field{
			{Flag: "member-ids", Kind: Strings, Required: true, Help: "ids of members"},
			{Flag: "operation", Required: true, OneOf: []string{"add", "remove"}, Help: "give or take"},
			{Flag: "role-names", Kind: Strings, Help: "names of roles"},
			{Flag: "permission-names", Kind: Strings, Help: "names of permissions"},
		}},
		{Use: "members organizations list", Request: "GET /api/v1/members/organizations", Noun: "member", Short: "Show the organizations of your groups"},
		{Use: "members organizations get", Request: "GET /api/v1/members/{member_id}/organizations", Noun: "member", Short: "Show the organizations of a member"},
		{Use: "groups list", Request: "GET /api/v1/groups", Noun: "group", Short: "List the groups", List: "items", Columns: "name~ id email~ description~", Fields: []Field{
			{Flag: "email", Help: "only of this e-mail address"},
		}},
		{Use: "groups get", Request: "GET /api/v1/groups/{group_id}", Noun: "group", Short: "Show one group"},
		{Use: "groups get-by-email", Request: "GET /api/v1/groups/exists", Noun: "group", Short: "Tell whether a group has this address", Fields: []Field{
			{Flag: "email", Required: true, Help: "only of this e-mail address"},
		}},
		{Use: "groups create", Request: "POST /api/v1/groups", Noun: "group", Short: "Create a group", Fields: []Field{
			{Flag: "identifier", Required: true, Help: "first part of its address"},
			{Flag: "name", Required: true, Help: "name of the group"},
			{Flag: "description", Help: "free text"},
		}},
		{Use: "groups update", Request: "PATCH /api/v1/groups/{group_id}", Noun: "group", Short: "Change the description of a group", Fields: []Field{
			{Flag: "description", Help: "free text"},
		}},
		{Use: "groups delete", Request: "DELETE /api/v1/groups/{group_id}", Noun: "group", Short: "Delete a group"},
		{Use: "groups organizations", Request: "GET /api/v1/groups/{group_id}/organizations", Noun: "group", Short: "List the organizations of a group", List: "items", Columns: "name~=legal_name uuid email~"},
		{Use: "groups members list", Request: "GET /api/v1/groups/{group_id}/members", Noun: "member", Short: "List the members of a group", List: "items", Columns: "email~ id=member_id name~ profile", Fields: []Field{
			{Flag: "page", Kind: Number, Min: 1, Help: "page, from 1"},
			{Flag: "per-page", Kind: Number, Min: 1, Max: 20, Help: "results of one page"},
		}},
		{Use: "groups members create", Request: "POST /api/v1/groups/{group_id}/members", Noun: "member", Short: "Put a member into a group", Fields: []Field{
			{Flag: "member-email", Required: true, Help: "e-mail address of the member"},
			{Flag: "profile", Required: true, Help: "what the member is in the group"},
		}},
		{Use: "groups members update", Request: "PATCH /api/v1/groups/{group_id}/members/{member_id}", Noun: "member", Short: "Change what a member is in a group", Fields: []Field{
			{Flag: "profile", Required: true, Help: "what the member is in the group"},
		}},
		{Use: "groups members delete", Request: "DELETE /api/v1/groups/{group_id}/members/{member_id}", Noun: "member", Short: "Take a member out of a group"},
		{Use: "roles list", Request: "GET /api/v1/roles", Noun: "role", Short: "List the roles", List: ".", Columns: "name~ origin description~", Fields: []Field{
			{Flag: "role-name", Help: "only the role of this name"},
		}},
		{Use: "roles create", Request: "POST /api/v1/roles", Noun: "role", Short: "Create a role", Fields: []Field{
			{Flag: "name", Required: true, Help: "name of the role"},
			{Flag: "description", Help: "free text"},
			{Flag: "permissions", Kind: Strings, Help: "names of permissions"},
			{Flag: "based-role", Help: "role to begin with"},
		}},
		{Use: "roles delete", Request: "DELETE /api/v1/roles/{role_name}", Noun: "role", Short: "Delete a role"},
		{Use: "roles permissions list", Request: "GET /api/v1/roles/{role_name}/permissions", Noun: "role", Short: "Show the permissions of a role"},
		{Use: "roles permissions update", Request: "PATCH /api/v1/roles/{role_name}/permissions", Noun: "role", Short: "Change the permissions of a role", Fields: []Field{
			{Flag: "add", Kind: Strings, Help: "permissions to add"},
			{Flag: "remove", Kind: Strings, Help: "permissions to take"},
		}},
		{Use: "roles members", Request: "GET /api/v1/roles/{role_name}/members", Noun: "role", Short: "List the members that have a role", List: ".", Columns: "email~ uuid=member_uuid name~ roles~"},
		{Use: "permissions list", Request: "GET /api/v1/permissions", Noun: "permission", Short: "List the permissions of every product", List: ".", Columns: "product=name permissions~=permissions.name", Fields: []Field{
			{Flag: "product-name", Help: "only of this product"},
			{Flag: "partial-match", Kind: Bool, Help: "also products that contain the name"},
			{Flag: "case-sensitive", Kind: Bool, Help: "upper and lower case differ (the server says yes)"},
		}},
		{Use: "access-control list", Request: "GET /api/v1/access-control", Noun: "access control", Short: "Show whether permissions are asked for"},
		{Use: "access-control create", Request: "POST /api/v1/access-control", Noun: "access control", Short: "Have permissions asked for, for the first time", Fields: []Field{
			{Flag: "name", Help: "name of the access control"},
			{Flag: "description", Help: "free text"},
		}},
		{Use: "access-control update", Request: "PATCH /api/v1/access-control", Noun: "access control", Short: "Change whether permissions are asked for", Fields: []Field{
			{Flag: "status", Kind: Bool, Help: "whether permissions are asked for"},
			{Flag: "enforce-mfa", Kind: Bool, Help: "ask for a second factor"},
		}},
		{Use: "service-accounts list", Request: "GET /api/v1/service-accounts", Noun: "service account", Short: "List the service accounts", List: ".", Columns: "name~ uuid email~ description~"},
		{Use: "service-accounts create", Request: "POST /api/v1/service-accounts", Noun: "service account", Short: "Create a service account", Fields: []Field{
			{Flag: "name", Required: true, Help: "name of the service account"},
			{Flag: "description", Required: true, Help: "free text"},
			{Flag: "email", Required: true, Help: "e-mail address"},
		}},
		{Use: "service-accounts update", Request: "PATCH /api/v1/service-accounts/{sa_uuid}", Noun: "service account", Short: "Change the name or description of a service account", Fields: []Field{
			{Flag: "name", Help: "name of the service account"},
			{Flag: "description", Help: "free text"},
		}},
		{Use: "service-accounts delete", Request: "DELETE /api/v1/service-accounts/{sa_uuid}", Noun: "service account", Short: "Delete a service account with its keys"},
		{Use: "service-accounts api-keys list", Request: "GET /api/v1/service-accounts/{sa_uuid}/api-keys", Noun: "key", Short: "List the API keys of a service account", List: ".", Columns: "name~ uuid scopes~ expires=end_validity revoked=revoked_at", Fields: []Field{
			{Flag: "status", OneOf: []string{"active", "revoked"}, Help: "only keys that are so"},
		}},
		{Use: "service-accounts api-keys create", Request: "POST /api/v1/service-accounts/{sa_uuid}/api-keys", Noun: "key", Short: "Make an API key of a service account; it is shown only now", Fields: []Field{
			{Flag: "name", Required: true, Help: "name of the key"},
			{Flag: "description", Help: "free text"},
			{Flag: "scopes", Kind: Strings, Help: "scopes, see: mgc iam scopes list"},
			{Flag: "end-validity", Help: "when it ends, as 2027-01-31T00:00:00Z; an addition of MKE"},
		}},
		{Use: "service-accounts api-keys update", Request: "PATCH /api/v1/service-accounts/{sa_uuid}/api-keys/{apikey_uuid}", Noun: "key", Short: "Change the name, description or scopes of a key", Fields: []Field{
			{Flag: "name", Help: "name of the key"},
			{Flag: "description", Help: "free text"},
			{Flag: "scopes", Kind: Strings, Help: "scopes, see: mgc iam scopes list"},
		}},
		{Use: "service-accounts api-keys delete", Request: "DELETE /api/v1/service-accounts/{sa_uuid}/api-keys/{apikey_uuid}", Noun: "key", Short: "Revoke an API key"},
		{Use: "scopes list", Request: "GET /api/v1/scopes", Noun: "scope", Short: "List the scopes that a key may have", List: ".", Columns: "group=name products~=api_products.name"},
		{Use: "users list", Request: "GET /api/v1/users", Noun: "user", Short: "List the users", List: ".", Columns: "email~ uuid name~ profile", Fields: []Field{
			{Flag: "email", Help: "only of this e-mail address"},
		}},
		{Use: "invitations list", Request: "GET /api/v1/invitations", Noun: "invitation", Short: "List the invitations", List: ".", Columns: "email~ id status profile", Fields: []Field{
			{Flag: "status", OneOf: []string{"pending", "expired", "rejected"}, Help: "only invitations that are so"},
		}},
		{Use: "invitations delete", Request: "DELETE /api/v1/invitations/{invite_id}", Noun: "invitation", Short: "Cancel an invitation"},
		{Use: "invitations resend", Request: "POST /api/v1/invitations/{invite_id}/resend", Noun: "invitation", Short: "Send an invitation again"},
		{Use: "domains list", Request: "GET /api/v1/domains", Noun: "domain", Short: "List the domains", List: "data", Columns: "domain~ id verified", Fields: []Field{
			{Flag: "offset", Kind: Number, Help: "results to leave out before the first one"},
			{Flag: "limit", Kind: Number, Max: 100, Help: "most results of one answer"},
		}},
		{Use: "domains create", Request: "POST /api/v1/domains", Noun: "domain", Short: "Add a domain", Fields: []Field{
			{Flag: "domain", Required: true, Help: "domain"},
		}},
		{Use: "domains check-dns", Request: "PUT /api/v1/domains/{domain_id}", Noun: "domain", Short: "Check the record in the DNS that proves a domain"},
		{Use: "domains federations list", Request: "GET /api/v1/domains/{domain_id}/federations", Noun: "federation", Short: "List the federations of a domain", List: "data", Columns: "name~ id type"},
		{Use: "domains federations oidc", Request: "POST /api/v1/domains/{domain_id}/federations/oidc", Noun: "federation", Short: "Add a federation by OpenID Connect", Fields: []Field{
			{Flag: "name", Required: true, Help: "name of the federation"},
			{Flag: "client-id", Required: true, Help: "id of the client"},
			{Flag: "client-secret", Required: true, Help: "secret of the client"},
			{Flag: "scopes", Kind: Strings, Required: true, Help: "scopes, see: mgc iam scopes list"},
			{Flag: "authorization-endpoint", Required: true, Help: "URL"},
			{Flag: "token-endpoint", Required: true, Help: "URL"},
			{Flag: "userinfo-endpoint", Required: true, Help: "URL"},
			{Flag: "jwks-uri", Required: true, Help: "URL"},
		}},
		{Use: "domains federations saml", Request: "POST /api/v1/domains/{domain_id}/federations/saml", Noun: "federation", Short: "Add a federation by SAML", Fields: []Field{
			{Flag: "name", Required: true, Help: "name of the federation"},
			{Flag: "entity-id", Required: true, Help: "id of the entity"},
			{Flag: "sso-url", Required: true, Help: "URL"},
			{Flag: "idp-certificate", Required: true, Help: "certificate of the identity provider"},
		}},
		{Use: "domains federations update", Request: "PATCH /api/v1/domains/{domain_id}/federations/{federation_id}", Noun: "federation", Short: "Change a federation", Fields: []Field{
			{Flag: "oidc", Kind: Object, Help: "settings of OpenID Connect"},
			{Flag: "oidc.name", Help: "name of the federation"},
			{Flag: "oidc.client-id", Help: "id of the client"},
			{Flag: "oidc.client-secret", Help: "secret of the client"},
			{Flag: "oidc.scopes", Kind: Strings, Help: "scopes, see: mgc iam scopes list"},
			{Flag: "oidc.authorization-endpoint", Help: "URL"},
			{Flag: "oidc.token-endpoint", Help: "URL"},
			{Flag: "oidc.jwks-uri", Help: "URL"},
			{Flag: "oidc.userinfo-endpoint", Help: "URL"},
			{Flag: "saml", Kind: Object, Help: "settings of SAML"},
			{Flag: "saml.name", Help: "name of the federation"},
			{Flag: "saml.idp-certificate", Help: "certificate of the identity provider"},
			{Flag: "saml.entity-id", Help: "id of the entity"},
			{Flag: "saml.sso-url", Help: "URL"},
		}},
		{Use: "healthcheck list", Request: "GET /api/v1/healthcheck", Noun: "service", Short: "Tell whether IAM works"},
	},
}
