package shell

// recipe is a common set-up: what it asks for, and the statements that it becomes. The levels template and script both
// offer the recipes.
type recipe struct {
	name, category, help string
	params               []recipeParam
	pulls                []string // recipes that come before it
	// body is a text/template of statements. Its data are the values by parameter; a value that is not given is "".
	// {{q X}} quotes a value, {{name "X"}} gives a resource the name X, or ID-X where X is taken.
	body string
}

type recipeParam struct {
	name, help, example string
	required            bool
	standard            string // value when none is given
}

var paramID = recipeParam{name: "id", help: "name of what is made", example: "web", required: true}

// recipes are in order of name.
var recipes = []recipe{
	{
		name: "apache", category: "Server", help: "Apache web server with an address of its own", pulls: []string{"virtual-ip"},
		params: []recipeParam{paramID,
			{name: "configfile", help: "its configuration file", example: "/etc/apache2/apache2.conf", required: true},
			{name: "options", help: "options of the program"},
			{name: "envfiles", help: "files with environment variables, such as /etc/apache2/envvars"}},
		body: `primitive {{name "apache"}} ocf:heartbeat:apache params configfile={{q .configfile}}{{with .options}} options={{q .}}{{end}}{{with .envfiles}} envfiles={{q .}}{{end}} op start timeout=40s interval=0s op stop timeout=60s interval=0s op monitor interval=20s timeout=20s
group {{.id}} {{name "virtual-ip"}} {{name "apache"}}
`,
	},
	{
		name: "drbd", category: "File System", help: "replicated block device (DRBD) with a file system on the promoted side",
		params: []recipeParam{paramID,
			{name: "resource", help: "name of the DRBD resource in /etc/drbd.d", example: "r0", required: true},
			{name: "device", help: "its block device", example: "/dev/drbd0", required: true},
			{name: "directory", help: "where it is mounted", example: "/srv/data", required: true},
			{name: "fstype", help: "kind of file system", standard: "ext4"}},
		body: `primitive {{.id}}-drbd ocf:linbit:drbd params drbd_resource={{q .resource}} op start timeout=240s interval=0s op stop timeout=100s interval=0s op promote timeout=90s interval=0s op demote timeout=90s interval=0s op monitor role=Promoted interval=20s timeout=20s op monitor role=Unpromoted interval=30s timeout=20s
clone {{.id}}-drbd-clone {{.id}}-drbd meta promotable=true promoted-max=1 clone-max=2 notify=true
primitive {{.id}} ocf:heartbeat:Filesystem params device={{q .device}} directory={{q .directory}} fstype={{q .fstype}} op start timeout=60s interval=0s op stop timeout=60s interval=0s op monitor interval=20s timeout=40s
colocation {{.id}}-on-promoted inf: {{.id}} {{.id}}-drbd-clone:Promoted
order {{.id}}-after-promotion Mandatory: {{.id}}-drbd-clone:promote {{.id}}:start
`,
	},
	{
		name: "fence-ipmi", category: "Fencing", help: "power switch of one node over IPMI (run once for each node)",
		params: []recipeParam{paramID,
			{name: "node", help: "the node that it switches off", example: "alpha", required: true},
			{name: "ip", help: "address of its management controller", example: "10.0.9.1", required: true},
			{name: "username", help: "user there", example: "admin", required: true},
			{name: "password", help: "reference to the password: ref:store:NAME (crm secret set NAME), or ref:file:PATH", example: "ref:store:ipmi-alpha", required: true}},
		body: `primitive {{.id}} stonith:fence_ipmilan params ip={{q .ip}} username={{q .username}} password={{q .password}} lanplus=1 pcmk_host_list={{q .node}} op monitor interval=60s timeout=60s
location {{.id}}-not-on-its-node {{.id}} -inf: {{.node}}
`,
	},
	{
		name: "filesystem", category: "File System", help: "file system on a disk that all nodes reach",
		params: []recipeParam{paramID,
			{name: "device", help: "block device", example: "/dev/disk/by-uuid/1234", required: true},
			{name: "directory", help: "where it is mounted", example: "/srv/data", required: true},
			{name: "fstype", help: "kind of file system", standard: "ext4"},
			{name: "options", help: "mount options"}},
		body: `primitive {{.id}} ocf:heartbeat:Filesystem params device={{q .device}} directory={{q .directory}} fstype={{q .fstype}}{{with .options}} options={{q .}}{{end}} op start timeout=60s interval=0s op stop timeout=60s interval=0s op monitor interval=20s timeout=40s
`,
	},
	{
		name: "mysql", category: "Database", help: "MySQL or MariaDB on a disk that all nodes reach, with an address",
		params: []recipeParam{paramID,
			{name: "ip", help: "address of the service", example: "10.0.0.100", required: true},
			{name: "device", help: "block device with the data", example: "/dev/vg0/mysql", required: true},
			{name: "datadir", help: "folder of the data: the device is mounted there", standard: "/var/lib/mysql"},
			{name: "fstype", help: "kind of file system", standard: "ext4"}},
		body: `primitive {{.id}}-fs ocf:heartbeat:Filesystem params device={{q .device}} directory={{q .datadir}} fstype={{q .fstype}} op start timeout=60s interval=0s op stop timeout=60s interval=0s op monitor interval=20s timeout=40s
primitive {{.id}}-ip ocf:heartbeat:IPaddr2 params ip={{q .ip}} op monitor interval=10s timeout=20s
primitive {{.id}}-db ocf:heartbeat:mysql params datadir={{q .datadir}} op start timeout=120s interval=0s op stop timeout=120s interval=0s op monitor interval=20s timeout=30s
group {{.id}} {{.id}}-fs {{.id}}-ip {{.id}}-db
`,
	},
	{
		name: "nfs-server", category: "NFS", help: "NFS export of a disk that all nodes reach, with an address",
		params: []recipeParam{paramID,
			{name: "ip", help: "address of the service", example: "10.0.0.100", required: true},
			{name: "device", help: "block device", example: "/dev/vg0/export", required: true},
			{name: "directory", help: "where it is mounted and exported from", example: "/srv/nfs", required: true},
			{name: "clients", help: "who may mount it", example: "10.0.0.0/24", required: true},
			{name: "fsid", help: "number of the export", standard: "1"},
			{name: "fstype", help: "kind of file system", standard: "ext4"}},
		body: `primitive {{.id}}-fs ocf:heartbeat:Filesystem params device={{q .device}} directory={{q .directory}} fstype={{q .fstype}} op start timeout=60s interval=0s op stop timeout=60s interval=0s op monitor interval=20s timeout=40s
primitive {{.id}}-server ocf:heartbeat:nfsserver op start timeout=40s interval=0s op stop timeout=20s interval=0s op monitor interval=10s timeout=20s
primitive {{.id}}-export ocf:heartbeat:exportfs params directory={{q .directory}} clientspec={{q .clients}} fsid={{q .fsid}} options="rw,no_subtree_check" op start timeout=40s interval=0s op stop timeout=120s interval=0s op monitor interval=10s timeout=20s
primitive {{.id}}-ip ocf:heartbeat:IPaddr2 params ip={{q .ip}} op monitor interval=10s timeout=20s
group {{.id}} {{.id}}-fs {{.id}}-server {{.id}}-export {{.id}}-ip
`,
	},
	{
		name: "pgsql", category: "Database", help: "PostgreSQL on a disk that all nodes reach, with an address",
		params: []recipeParam{paramID,
			{name: "ip", help: "address of the service", example: "10.0.0.100", required: true},
			{name: "device", help: "block device with the data", example: "/dev/vg0/pgsql", required: true},
			{name: "directory", help: "where the device is mounted", standard: "/var/lib/postgresql"},
			{name: "pgdata", help: "folder of the data, below the directory", example: "/var/lib/postgresql/15/main", required: true},
			{name: "config", help: "postgresql.conf, where it is not in the folder of the data", example: "/etc/postgresql/15/main/postgresql.conf"},
			{name: "pgctl", help: "the program pg_ctl", example: "/usr/lib/postgresql/15/bin/pg_ctl"},
			{name: "fstype", help: "kind of file system", standard: "ext4"}},
		body: `primitive {{.id}}-fs ocf:heartbeat:Filesystem params device={{q .device}} directory={{q .directory}} fstype={{q .fstype}} op start timeout=60s interval=0s op stop timeout=60s interval=0s op monitor interval=20s timeout=40s
primitive {{.id}}-ip ocf:heartbeat:IPaddr2 params ip={{q .ip}} op monitor interval=10s timeout=20s
primitive {{.id}}-db ocf:heartbeat:pgsql params pgdata={{q .pgdata}}{{with .config}} config={{q .}}{{end}}{{with .pgctl}} pgctl={{q .}}{{end}} op start timeout=120s interval=0s op stop timeout=120s interval=0s op monitor interval=30s timeout=30s
group {{.id}} {{.id}}-fs {{.id}}-ip {{.id}}-db
`,
	},
	{
		name: "ping", category: "Network", help: "watch from every node whether addresses can be reached, and keep a resource off nodes that reach none",
		params: []recipeParam{paramID,
			{name: "hosts", help: "addresses, with spaces between them", example: "10.0.0.1 10.0.0.2", required: true},
			{name: "resource", help: "the resource that needs them", example: "site", required: true}},
		body: `primitive {{.id}} ocf:pacemaker:ping params host_list={{q .hosts}} name={{.id}} multiplier=100 dampen=5s op start timeout=60s interval=0s op monitor interval=10s timeout=60s
clone {{.id}}-clone {{.id}}
location {{.resource}}-needs-{{.id}} {{.resource}} rule -inf: not_defined {{.id}} or {{.id}} lte 0
`,
	},
	{
		name: "service", category: "Server", help: "systemd unit, with an address where one is given",
		params: []recipeParam{paramID,
			{name: "unit", help: "the unit, without .service; it must not be enabled at boot", example: "haproxy", required: true},
			{name: "ip", help: "address of the service", example: "10.0.0.100"}},
		body: `primitive {{.id}}-service systemd:{{.unit}} op start timeout=100s interval=0s op stop timeout=100s interval=0s op monitor interval=10s timeout=60s
{{with .ip}}primitive {{$.id}}-ip ocf:heartbeat:IPaddr2 params ip={{q .}} op monitor interval=10s timeout=20s
{{end}}group {{.id}}{{with .ip}} {{$.id}}-ip{{end}} {{.id}}-service
`,
	},
	{
		name: "virtual-ip", category: "Network", help: "address that moves between nodes",
		params: []recipeParam{
			{name: "ip", help: "the address", example: "10.0.0.100", required: true},
			{name: "netmask", help: "length of the network's prefix", example: "24"},
			{name: "nic", help: "network interface; the one with the network's route when empty", example: "eth0"}},
		body: `primitive {{name "virtual-ip"}} ocf:heartbeat:IPaddr2 params ip={{q .ip}}{{with .netmask}} cidr_netmask={{q .}}{{end}}{{with .nic}} nic={{q .}}{{end}} op monitor interval=10s timeout=20s
`,
	},
	{
		name: "vm", category: "Virtualization", help: "virtual machine of libvirt, which migrates live",
		params: []recipeParam{paramID,
			{name: "config", help: "its XML file, the same on every node", example: "/etc/libvirt/qemu/vm1.xml", required: true},
			{name: "hypervisor", help: "URI of the hypervisor", standard: "qemu:///system"},
			{name: "transport", help: "how it migrates", standard: "ssh"}},
		body: `primitive {{.id}} ocf:heartbeat:VirtualDomain params config={{q .config}} hypervisor={{q .hypervisor}} migration_transport={{q .transport}} meta allow-migrate=true op start timeout=90s interval=0s op stop timeout=90s interval=0s op monitor interval=10s timeout=30s op migrate_to timeout=120s interval=0s op migrate_from timeout=120s interval=0s
`,
	},
}

// findRecipe returns the recipe of that name; nil = none.
func findRecipe(name string) *recipe {
	for i := range recipes {
		if recipes[i].name == name {
			return &recipes[i]
		}
	}
	return nil
}

func recipeNames() []string {
	var out []string
	for i := range recipes {
		out = append(out, recipes[i].name)
	}
	return out
}
