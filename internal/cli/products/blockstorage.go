package products

// BlockStorage is `mgc block-storage`.
var BlockStorage = Product{
	Name: "block-storage", Path: "volume", Short: "Volumes, their types, snapshots and schedules",
	Calls: []Call{
		{Use: "volumes list", Request: "GET /v1/volumes", Noun: "volume", Short: "List the volumes", List: "volumes", Columns: "name~ id size state status type=type.name attached=attachment.instance.id age=created_at", Expand: "volume_type", Fields: []Field{
			{Flag: "expand", Kind: Strings, Help: "parts to show in full"},
			{Flag: "control.limit", Key: "_limit", Kind: Number, Help: "most results of one answer"},
			{Flag: "control.offset", Key: "_offset", Kind: Number, Help: "results to leave out before the first one"},
			{Flag: "control.sort", Key: "_sort", Help: "order, such as name:asc"},
			{Flag: "name", Help: "only what has this name"},
		}},
		{Use: "volumes get", Request: "GET /v1/volumes/{id}", Noun: "volume", Short: "Show one volume", Fields: []Field{
			{Flag: "expand", Kind: Strings, Help: "parts to show in full"},
		}},
		{Use: "volumes create", Request: "POST /v1/volumes", Noun: "volume", Short: "Create a volume, empty or from a snapshot", Wait: "/v1/volumes/{new} status=completed", Fields: []Field{
			{Flag: "availability-zone", Help: "availability zone, such as br-se1-a"},
			{Flag: "name", Required: true, Min: 3, Max: 50, Help: "name of the volume"},
			{Flag: "size", Kind: Number, Required: true, Min: 10, Max: 2147483648, Help: "size in GiB"},
			{Flag: "type", Kind: Object, Required: true, Help: "type of the volume"},
			{Flag: "type.id", Min: 1, Help: "id of the type"},
			{Flag: "type.name", Min: 1, Max: 255, Help: "name of the type, see: mgc block-storage volume-types list"},
			{Flag: "snapshot", Kind: Object, Help: "snapshot"},
			{Flag: "snapshot.id", Min: 1, Help: "id of the snapshot"},
			{Flag: "snapshot.name", Min: 1, Max: 255, Help: "name of the snapshot"},
			{Flag: "encrypted", Kind: Bool, Help: "encrypt the data"},
		}},
		{Use: "volumes delete", Request: "DELETE /v1/volumes/{id}", Noun: "volume", Short: "Delete a volume and the data in it", Wait: "/v1/volumes/{id} gone"},
		{Use: "volumes attach", Request: "POST /v1/volumes/{id}/attach/{virtual_machine_id}", Noun: "volume", Short: "Attach a volume to a virtual machine", Wait: "/v1/volumes/{id} status=completed state=in-use"},
		{Use: "volumes detach", Request: "POST /v1/volumes/{id}/detach", Noun: "volume", Short: "Detach a volume from its virtual machine", Wait: "/v1/volumes/{id} status=completed state=available"},
		{Use: "volumes extend", Request: "POST /v1/volumes/{id}/extend", Noun: "volume", Short: "Make a volume larger", Wait: "/v1/volumes/{id} status=completed", Fields: []Field{
			{Flag: "size", Kind: Number, Required: true, Help: "size in GiB"},
		}},
		{Use: "volumes rename", Request: "PATCH /v1/volumes/{id}/rename", Noun: "volume", Short: "Give a volume another name", Fields: []Field{
			{Flag: "name", Required: true, Min: 3, Max: 50, Help: "name of the volume"},
		}},
		{Use: "volumes retype", Request: "POST /v1/volumes/{id}/retype", Noun: "volume", Short: "Give a volume another type", Wait: "/v1/volumes/{id} status=completed", Fields: []Field{
			{Flag: "new-type", Kind: Object, Required: true, Help: "new type"},
			{Flag: "new-type.id", Min: 1, Help: "id of the new type"},
			{Flag: "new-type.name", Min: 1, Max: 255, Help: "name of the new type"},
		}},
		{Use: "volume-types list", Request: "GET /v1/volume-types", Noun: "volume type", Short: "List the types of volumes", List: "types", Columns: "name~ id disk=disk_type status iops=iops.total encryption=allows_encryption zones=availability_zones", Fields: []Field{
			{Flag: "availability-zone", Key: "availability-zone", Help: "availability zone, such as br-se1-a"},
			{Flag: "allows-encryption", Key: "allows-encryption", Kind: Bool, Help: "only types that can be encrypted"},
			{Flag: "name", Help: "only what has this name"},
		}},
		{Use: "attachments create", Request: "POST /v1/attachments", Noun: "attachment", Short: "Attach a volume to a virtual machine under a device name", Fields: []Field{
			{Flag: "volume", Kind: Object, Required: true, Help: "volume"},
			{Flag: "volume.id", Required: true, Min: 1, Help: "id of the volume"},
			{Flag: "instance", Kind: Object, Required: true, Help: "virtual machine"},
			{Flag: "instance.id", Required: true, Min: 1, Help: "id of the virtual machine"},
			{Flag: "device", Help: "name of the device"},
		}},
		{Use: "attachments delete", Request: "DELETE /v1/attachments/{id}", Noun: "attachment", Short: "Detach a volume from its virtual machine"},
		{Use: "snapshots list", Request: "GET /v1/snapshots", Noun: "snapshot", Short: "List the snapshots of volumes", List: "snapshots", Columns: "name~ id size state status volume=volume.id type age=created_at", Fields: []Field{
			{Flag: "expand", Kind: Strings, OneOf: []string{"volume"}, Help: "parts to show in full"},
			{Flag: "control.limit", Key: "_limit", Kind: Number, Help: "most results of one answer"},
			{Flag: "control.offset", Key: "_offset", Kind: Number, Help: "results to leave out before the first one"},
			{Flag: "control.sort", Key: "_sort", Help: "order, such as name:asc"},
			{Flag: "name", Help: "only what has this name"},
			{Flag: "type", OneOf: []string{"instant", "object"}, Help: "only of this kind"},
		}},
		{Use: "snapshots get", Request: "GET /v1/snapshots/{id}", Noun: "snapshot", Short: "Show one snapshot", Fields: []Field{
			{Flag: "expand", Kind: Strings, OneOf: []string{"volume"}, Help: "parts to show in full"},
		}},
		{Use: "snapshots create", Request: "POST /v1/snapshots", Noun: "snapshot", Short: "Make a snapshot of a volume, or of another snapshot", Wait: "/v1/snapshots/{new} status=completed", Fields: []Field{
			{Flag: "name", Required: true, Min: 3, Max: 50, Help: "name of the snapshot"},
			{Flag: "volume", Kind: Object, Help: "volume"},
			{Flag: "volume.id", Min: 1, Help: "id of the volume"},
			{Flag: "volume.name", Min: 1, Max: 255, Help: "name of the volume"},
			{Flag: "source-snapshot", Kind: Object, Help: "snapshot to copy"},
			{Flag: "source-snapshot.id", Min: 1, Help: "id of the snapshot"},
			{Flag: "source-snapshot.name", Min: 1, Max: 255, Help: "name of the snapshot"},
			{Flag: "description", Required: true, Help: "free text"},
			{Flag: "type", OneOf: []string{"instant", "object"}, Help: "kind of snapshot"},
		}},
		{Use: "snapshots rename", Request: "PATCH /v1/snapshots/{id}/rename", Noun: "snapshot", Short: "Give a snapshot another name", Fields: []Field{
			{Flag: "name", Required: true, Min: 3, Max: 50, Help: "name of the snapshot"},
		}},
		{Use: "snapshots copy", Request: "POST /v1/snapshots/{id}/copy", Noun: "snapshot", Short: "Copy a snapshot to another region", Fields: []Field{
			{Flag: "destination-region", Required: true, OneOf: []string{"br-se1", "br-mgl1", "br-ne1"}, Help: "region to copy to"},
		}},
		{Use: "snapshots delete", Request: "DELETE /v1/snapshots/{id}", Noun: "snapshot", Short: "Delete a snapshot", Wait: "/v1/snapshots/{id} gone"},
		{Use: "schedulers list", Request: "GET /v1/schedulers", Noun: "scheduler", Short: "List the schedules of snapshots", List: "schedulers", Columns: "name~ id state start=policy.frequency.daily.start_time days=policy.retention_in_days volumes~", Fields: []Field{
			{Flag: "expand", Kind: Strings, OneOf: []string{"volume"}, Help: "parts to show in full"},
			{Flag: "control.limit", Key: "_limit", Kind: Number, Help: "most results of one answer"},
			{Flag: "control.offset", Key: "_offset", Kind: Number, Help: "results to leave out before the first one"},
			{Flag: "control.sort", Key: "_sort", Help: "order, such as name:asc"},
		}},
		{Use: "schedulers get", Request: "GET /v1/schedulers/{id}", Noun: "scheduler", Short: "Show one schedule", Fields: []Field{
			{Flag: "expand", Kind: Strings, OneOf: []string{"volume"}, Help: "parts to show in full"},
		}},
		{Use: "schedulers create", Request: "POST /v1/schedulers", Noun: "scheduler", Short: "Make a schedule of daily snapshots", Fields: []Field{
			{Flag: "name", Required: true, Help: "name of the scheduler"},
			{Flag: "description", Help: "free text"},
			{Flag: "snapshot", Kind: Object, Required: true, Help: "snapshot"},
			{Flag: "snapshot.type", Required: true, OneOf: []string{"instant", "object"}, Help: "kind of the snapshots"},
			{Flag: "policy", Kind: Object, Required: true, Help: "when, and for how long"},
			{Flag: "policy.retention-in-days", Kind: Number, Required: true, Min: 1, Help: "days that a snapshot is kept"},
			{Flag: "policy.frequency", Kind: Object, Required: true, Help: "how often"},
			{Flag: "policy.frequency.daily", Kind: Object, Required: true, Help: "once a day"},
			{Flag: "policy.frequency.daily.start-time", Required: true, Help: "time of the day, as 02:00:00"},
		}},
		{Use: "schedulers attach", Request: "POST /v1/schedulers/{id}/attach", Noun: "scheduler", Short: "Have a schedule make snapshots of a volume", Fields: []Field{
			{Flag: "volume", Kind: Object, Required: true, Help: "volume"},
			{Flag: "volume.id", Min: 1, Help: "id of the volume"},
			{Flag: "volume.name", Min: 1, Max: 255, Help: "name of the volume"},
		}},
		{Use: "schedulers detach", Request: "POST /v1/schedulers/{id}/detach", Noun: "scheduler", Short: "Have a schedule leave a volume alone", Fields: []Field{
			{Flag: "volume", Kind: Object, Required: true, Help: "volume"},
			{Flag: "volume.id", Min: 1, Help: "id of the volume"},
			{Flag: "volume.name", Min: 1, Max: 255, Help: "name of the volume"},
		}},
		{Use: "schedulers delete", Request: "DELETE /v1/schedulers/{id}", Noun: "scheduler", Short: "Delete a schedule; the snapshots it made stay"},
	},
}
