package products

// Profile is `mgc profile`.
var Profile = Product{
	Name: "profile", Path: "profile", Short: "SSH keys and availability zones", Global: true,
	Calls: []Call{
		{Use: "ssh-keys list", Request: "GET /v0/ssh-keys", Noun: "SSH key", Short: "List the SSH keys", List: "results", Columns: "name~ id type=key_type key~", Fields: []Field{
			{Flag: "control.limit", Key: "_limit", Kind: Number, Help: "most results of one answer"},
			{Flag: "control.offset", Key: "_offset", Kind: Number, Help: "results to leave out before the first one"},
			{Flag: "control.sort", Key: "_sort", Help: "order, such as name:asc"},
		}},
		{Use: "ssh-keys get", Request: "GET /v0/ssh-keys/{key_id}", Noun: "SSH key", Short: "Show one SSH key"},
		{Use: "ssh-keys create", Request: "POST /v0/ssh-keys", Noun: "SSH key", Short: "Register a public SSH key", Fields: []Field{
			{Flag: "name", Required: true, Max: 45, Help: "name of the SSH key"},
			{Flag: "key", Required: true, Max: 16384, Help: "public key, as in the .pub file"},
		}},
		{Use: "ssh-keys delete", Request: "DELETE /v0/ssh-keys/{key_id}", Noun: "SSH key", Short: "Delete an SSH key"},
		{Use: "availability-zones list", Request: "GET /v0/availability-zones", Noun: "zone", Short: "List the availability zones of all regions", List: "results", Columns: "region=region_id zones=availability_zones.az_id"},
	},
}
