// Package cib is the cluster document: the configuration that administrators write and the status that
// the cluster keeps, as Go types that say everything that a Pacemaker CIB of the schemas 1.0 to 3.x can
// say. It also holds what every form of the document shares: scores, durations, the table of options,
// checks, references, differences and patches.
//
// The package is pure. It does not read or write text: package cibxml, cibtoml and cibcrm do. It does not
// decide anything: package policy does.
//
// Values are kept as they were written (a score "+INFINITY", a role "Master", an option under its old
// name), so that a form can be written back unchanged; the parse functions of this package and the
// options table give their meaning. Slices keep document order, which breaks ties in decisions.
//
// A Document that was handed to another goroutine or published by the store is never changed: who wants a
// change copies what it changes (see Clone functions) and publishes a new Document.
package cib

import "github.com/quorate/quorate/crm/rule"

// Document is the whole cluster document.
type Document struct {
	Head   Head
	Config Configuration
	Status Status
}

// Head holds the attributes of the cib element itself.
type Head struct {
	AdminEpoch, Epoch, NumUpdates int64

	ValidateWith  string // schema name as written, such as "pacemaker-3.9"
	FeatureSet    string // crm_feature_set as written
	HaveQuorum    string // as written ("1", "true", ...); "" = absent
	DCUUID        string
	ExecutionDate string // seconds since 1970 as written; "" = absent
	NoQuorumPanic string

	LastWritten  string // cib-last-written
	UpdateOrigin string
	UpdateClient string
	UpdateUser   string

	Extra []Attr // further attributes, in document order
}

// Attr is one XML attribute that the model has no field for.
type Attr struct{ Name, Value string }

// Pos is where something was written. Line and Column count from 1; 0 = unknown.
type Pos struct{ Line, Column int }

// Configuration is what administrators write.
type Configuration struct {
	Properties       []AttributeSet // crm_config/cluster_property_set
	Nodes            []Node
	Resources        []*Resource // top level and templates, in document order
	Constraints      []Constraint
	Tags             []Tag
	FencingTopology  []FencingLevel
	ResourceDefaults []AttributeSet // rsc_defaults
	OpDefaults       []AttributeSet
	Targets          []ACLTarget // acls/acl_target
	Groups           []ACLTarget // acls/acl_group
	Roles            []ACLRole
	Users            []ACLUser // acls/acl_user, schemas before pacemaker-2.0
	Alerts           []Alert

	// Cluster holds what Pacemaker's CIB has no place for: links, ports, timings and voters.
	// XML keeps it out of the Pacemaker sections (see cibxml).
	Cluster ClusterSettings

	Extra []Unknown // sections of the configuration that the model does not know
}

// Unknown is an XML element that the model does not know, kept to be named in a warning and, where
// harmless, written back.
type Unknown struct {
	Parent string // element path of the parent, such as "configuration/resources"; "" in Resource.Unknown
	XML    string // the element as compact XML
	Pos    Pos    `cbor:"-" json:"-"`
}

// AttributeSet is a block of name/value pairs (XML: instance_attributes, meta_attributes, utilization,
// cluster_property_set) with an optional rule and score.
type AttributeSet struct {
	ID    string
	IDRef string      // set: the block stands elsewhere under this id
	Score string      // as written; "" = 0
	Rules []rule.Rule // only the first counts (spec/01-inputs.md 7.1)
	Pairs []NVPair

	Comments []string // of property sets and defaults: comments before the statement
	Pos      Pos      `cbor:"-" json:"-"`
}

// NVPair is one name with a value.
type NVPair struct {
	ID    string
	IDRef string // set: the value (and, unless given here, the name) of the pair with this id
	Name  string
	Value string
	// NoValue says that no value was written; it differs from "".
	NoValue bool
	Pos     Pos `cbor:"-" json:"-"`
}

// Node is a node element of the configuration.
type Node struct {
	ID          string
	Name        string // uname
	Type        string // member, remote, ping (schemas before 2.0), "" = member
	Score       string // base score as written; "" = 0
	Description string
	Attributes  []AttributeSet
	Utilization []AttributeSet

	// Cluster-level settings of the node which Pacemaker keeps in corosync.conf.
	Links   []NodeLink // in order of link name
	Witness bool       // votes and runs nothing
	Voter   string     // "", "auto", "yes", "no"

	Comments []string // crm shell comments that stand before the object, as written, without "#"
	Extra    []Attr
	Pos      Pos    `cbor:"-" json:"-"`
	Layout   Layout `cbor:",omitempty" json:",omitempty"`
}

// NodeLink is the address of a node on one link.
type NodeLink struct {
	Link    string // name of the link, such as "lan"
	Address string // IP address or host name
}

// Kind says what a Resource is.
type Kind uint8

// Kinds of resources. The order primitive < group < clone < bundle is the kind rank of
// spec/01-inputs.md section 1.
const (
	Primitive Kind = iota
	Group
	Clone
	Bundle
	Template // a primitive's pattern; takes part in nothing itself
)

// Resource is a primitive, group, clone, bundle or template.
type Resource struct {
	Kind        Kind
	ID          string
	Description string

	// Agent of a primitive or template. Template names the template of a primitive; then Class,
	// Provider and Type are empty.
	Class, Provider, Type string
	Template              string

	Params      []AttributeSet // instance_attributes
	Meta        []AttributeSet // meta_attributes
	Utilization []AttributeSet
	Operations  Operations

	// Members are the primitives of a group, the one child of a clone (primitive or group) or the at
	// most one primitive of a bundle.
	Members []*Resource

	// LegacyMaster says that a clone was written in the form before schema 3.0, <master>.
	LegacyMaster bool

	Bundle *BundleSpec // Kind Bundle only

	Comments []string
	Extra    []Attr
	Unknown  []Unknown
	Pos      Pos    `cbor:"-" json:"-"`
	Layout   Layout `cbor:",omitempty" json:",omitempty"`
}

// Operations is the operations element of a primitive or template.
type Operations struct {
	ID         string
	IDRef      string
	Attributes []AttributeSet // instance_attributes/meta_attributes do not exist here in schemas; kept for old crm forms
	List       []Operation
}

// Operation is one op element. Attributes other than the named ones are in Extra; all of them count as
// meta-attributes of the operation (spec/04-actions.md 3.2).
type Operation struct {
	ID       string
	IDRef    string
	Name     string
	Interval string // as written; "" = not written
	Extra    []Attr // timeout, on-fail, role, start-delay, interval-origin, enabled, record-pending, description, ... in document order
	Params   []AttributeSet
	Meta     []AttributeSet
	Pos      Pos    `cbor:"-" json:"-"`
	Layout   Layout `cbor:",omitempty" json:",omitempty"`
}

// BundleSpec is the container, network and storage part of a bundle.
type BundleSpec struct {
	Engine     string // docker, podman, rkt
	Attributes []Attr // of the engine element: image, replicas, replicas-per-host, promoted-max, masters, network, options, run-command
	HasNetwork bool
	Network    []Attr // id, ip-range-start, control-port, host-interface, host-netmask, add-host
	Ports      []PortMapping
	HasStorage bool
	Storage    []StorageMapping
}

// PortMapping is one port-mapping of a bundle's network.
type PortMapping struct {
	ID           string
	Port         string
	InternalPort string
	Range        string
	Layout       Layout `cbor:",omitempty" json:",omitempty"`
}

// StorageMapping is one storage-mapping of a bundle.
type StorageMapping struct {
	ID            string
	SourceDir     string
	SourceDirRoot string
	TargetDir     string
	Options       string
	Layout        Layout `cbor:",omitempty" json:",omitempty"`
}

// Tag names several ids.
type Tag struct {
	ID       string
	Refs     []string // obj_ref
	Comments []string
	Pos      Pos `cbor:"-" json:"-"`
}

// FencingLevel is one fencing-level of the topology.
type FencingLevel struct {
	ID              string
	Target          string
	TargetPattern   string
	TargetAttribute string
	TargetValue     string
	Index           string
	Devices         []string
	Extra           []Attr
	Pos             Pos `cbor:"-" json:"-"`
}

// ConstraintKind says what a Constraint is.
type ConstraintKind uint8

// Kinds of constraints.
const (
	Location ConstraintKind = iota
	Colocation
	Order
	Ticket
)

// Constraint is a location, colocation, order or ticket constraint. Only the fields of its kind are used.
// Texts are as written; "" = not written.
type Constraint struct {
	Kind ConstraintKind
	ID   string

	// Resource is the located resource, the dependent of a colocation, or the resource of a ticket.
	Resource string
	// Pattern (rsc-pattern) of a location, instead of Resource or Sets.
	Pattern string
	Sets    []ResourceSet

	Score          string
	ScoreAttribute string // score-attribute / score-attribute-mangle on the constraint itself (old schemas)
	Role           string // location: role; colocation: rsc-role; ticket: rsc-role

	// Location
	Node      string
	Discovery string // resource-discovery
	Rules     []rule.Rule
	Lifetime  []rule.Rule // lifetime element of old schemas

	// Colocation
	With          string // with-rsc
	WithRole      string
	NodeAttribute string
	Influence     string
	Instance      string // rsc-instance, with-rsc-instance: accepted and kept
	WithInstance  string

	// Order
	First, Then                 string
	FirstAction, ThenAction     string
	FirstInstance, ThenInstance string
	OrderKind                   string // kind
	Symmetrical                 string
	RequireAll                  string

	// Ticket
	Ticket     string
	LossPolicy string

	Comments []string
	Extra    []Attr
	Pos      Pos `cbor:"-" json:"-"`
}

// ResourceSet is a resource_set of a constraint.
type ResourceSet struct {
	ID          string
	IDRef       string
	Refs        []string // resource_ref
	Sequential  string
	RequireAll  string
	Ordering    string
	Action      string
	Role        string
	Score       string
	Kind        string
	Symmetrical string
	Pos         Pos `cbor:"-" json:"-"`
}

// ACLTarget is an acl_target or acl_group: a user or group and its roles.
type ACLTarget struct {
	ID       string
	Name     string // name attribute (schemas from 3.x); "" = the id is the name
	Roles    []string
	Comments []string
	Pos      Pos `cbor:"-" json:"-"`
}

// ACLRole is an acl_role.
type ACLRole struct {
	ID          string
	Description string
	Permissions []ACLPermission
	Comments    []string
	Pos         Pos `cbor:"-" json:"-"`
}

// ACLUser is an acl_user of schemas before pacemaker-2.0.
type ACLUser struct {
	ID          string
	RoleRefs    []string
	Permissions []ACLPermission
	Comments    []string
	Pos         Pos `cbor:"-" json:"-"`
}

// ACLPermission is one acl_permission (or, in old schemas, a read, write or deny element).
type ACLPermission struct {
	ID          string
	Kind        string // read, write, deny
	XPath       string
	Reference   string
	ObjectType  string // object-type; "tag" in old schemas
	Attribute   string
	Description string
	Legacy      bool // written as a read, write or deny element
}

// Alert is one alert agent with its recipients.
type Alert struct {
	ID          string
	Description string
	Path        string
	Params      []AttributeSet
	Meta        []AttributeSet
	Select      *AlertSelect // nil = everything
	Recipients  []AlertRecipient
	Comments    []string
	Pos         Pos    `cbor:"-" json:"-"`
	Layout      Layout `cbor:",omitempty" json:",omitempty"`
}

// AlertSelect is the select element of an alert.
type AlertSelect struct {
	Nodes, Fencing, Resources, AttributesOn bool
	Attributes                              []AlertAttribute // select_attributes/attribute
}

// AlertAttribute names a node attribute whose changes an alert wants.
type AlertAttribute struct{ ID, Name string }

// AlertRecipient is one recipient of an alert.
type AlertRecipient struct {
	ID          string
	Description string
	Value       string
	Params      []AttributeSet
	Meta        []AttributeSet
	Layout      Layout `cbor:",omitempty" json:",omitempty"`
}

// ClusterSettings are the settings of the membership layer, which Pacemaker's CIB has no place for.
type ClusterSettings struct {
	Links  []LinkSettings // in order of name
	Timing TimingSettings
	Ports  PortSettings
}

// LinkSettings describes one link that all nodes share.
type LinkSettings struct {
	Name     string
	Priority int // higher is preferred for streams; default 0
	Disabled bool
}

// TimingSettings are the timings of the failure detector. Profile "" = default. A non-zero field
// overrides the profile's value. Durations are texts such as "100ms", as written.
type TimingSettings struct {
	Profile       string // "default", "fast"
	Heartbeat     string
	DeadAfter     string
	QuorumTimeout string
}

// PortSettings are the cluster's ports; 0 = default (5404/tcp for streams, 5405/udp for datagrams).
type PortSettings struct {
	Stream, Datagram int
}
