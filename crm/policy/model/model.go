// Package model holds the working state of one policy decision: the expanded resources, the nodes, the
// constraints, the node tables and the actions, as the phases of package policy hand them on.
//
// Phases (each in a package of its own, in this order): unpack (configuration, status, constraints),
// assign (placement and roles), action (actions and their orderings, the graph). A phase may rely on
// what the phases before it left and changes only what its own documentation names.
//
// A Cluster belongs to one decision and one goroutine. Nothing here reads a clock or ranges over a map in
// an order that shows. Nodes and resources are numbered densely once (Node.Index, Resource.Index), and
// everything in inner loops is indexed by these numbers.
package model

import (
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
)

// Score bounds (spec/01-inputs.md section 1).
const (
	Infinity    int32 = 1000000
	MinInfinity int32 = -Infinity
)

// AddScore adds two scores with saturation; minus infinity wins over infinity (spec/01-inputs.md 2.3).
func AddScore(a, b int32) int32 {
	if a <= MinInfinity || b <= MinInfinity {
		return MinInfinity
	}
	if a >= Infinity || b >= Infinity {
		return Infinity
	}
	s := a + b
	if s >= Infinity {
		return Infinity
	}
	if s <= MinInfinity {
		return MinInfinity
	}
	return s
}

// Cluster is the working state of one decision.
type Cluster struct {
	Doc *cib.Document // upgraded form (cibxml.Upgrade / cib.Upgrade); never changed
	Now time.Time     // effective time

	Options Options

	Nodes      []*Node          // node list order: natural name order. Index = position, except for nodes added while reading status, see Node.Index
	nodeByName map[string]*Node // lower-case name
	nodeByID   map[string]*Node // lower-case id

	Resources []*Resource // top level, in list order: priority descending, then configuration order, removed ones last
	All       []*Resource // every resource at every level by Resource.Index
	byID      map[string]*Resource
	byHistory map[string][]*Resource
	former    map[string]*Resource

	Templates map[string][]string // template id -> derived primitives, in order
	Tags      map[string][]string // tag id -> references, in order
	Tickets   map[string]*Ticket

	Locations   []*Location
	Colocations []*Colocation
	Monitors    []OpMeta    // meta-attributes of monitors that several resources share
	Orderings   []*Ordering // in order of creation; resolved by package action

	Actions []*Action // in order of their numbers; without the probes that are in rows, see Row
	store   store

	// RecheckBy is the earliest future second at which the decision could differ; zero = none.
	RecheckBy time.Time

	Messages []Message   // configuration errors and warnings met on the way, in order
	Scores   []ScoreLine // score output in order of events (spec/03-assignment.md 16); filled when Trace is set
	Trace    Trace

	// FailedOps lists failed operations for display, in order (spec/02-state.md 8.5).
	FailedOps []FailedOp

	// HaveFencingDevice, UnfencingInUse: some resource is a fence device; some nvpair asks for unfencing.
	HaveFencingDevice bool
	UnfencingInUse    bool
	HaveRemoteNodes   bool
}

// Trace selects what is recorded beside the decision itself.
type Trace struct {
	Scores      bool // score lines
	Utilization bool // utilization lines
	Reasons     bool // origin of every score contribution, for explain
}

// Message is a configuration error or warning met while deciding.
type Message struct {
	Error bool
	Text  string
}

// ScoreKind says what a ScoreLine tells.
type ScoreKind uint8

// Kinds of score lines.
const (
	ScoreOnNode     ScoreKind = iota // score of Resource on Node
	ScorePromotion                   // promotion score of Resource on Node; nil Node = not active
	ScoreCapacity                    // what Node has, originally or at the end (Function)
	ScoreAssignment                  // Resource takes Amounts from Node
)

// ScoreLine is one line of score or utilization output (spec/06-simulation.md section 9).
type ScoreLine struct {
	Kind     ScoreKind
	Function string // word that the line begins with; "" for promotion scores
	Resource string
	Node     string // "" of a promotion score: not active
	Score    int32
	Amounts  []Capacity
}

// ScoreText writes a score as the field's tools do.
func ScoreText(s int32) string {
	switch {
	case s >= Infinity:
		return "INFINITY"
	case s <= MinInfinity:
		return "-INFINITY"
	}
	return strconv.Itoa(int(s))
}

// Text returns the line as the field's tools print it, without indentation or bullet.
func (l *ScoreLine) Text() string {
	switch l.Kind {
	case ScorePromotion:
		if l.Node == "" {
			return l.Resource + " promotion score (inactive): " + ScoreText(l.Score)
		}
		return l.Resource + " promotion score on " + l.Node + ": " + ScoreText(l.Score)
	case ScoreCapacity:
		return l.Function + ": " + l.Node + " capacity:" + amounts(l.Amounts)
	case ScoreAssignment:
		return l.Function + ": " + l.Resource + " utilization on " + l.Node + ":" + amounts(l.Amounts)
	}
	return l.Function + ": " + l.Resource + " allocation score on " + l.Node + ": " + ScoreText(l.Score)
}

func amounts(list []Capacity) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(" " + c.Name + "=" + strconv.FormatInt(c.Value, 10))
	}
	return b.String()
}

// QuorumPolicy is no-quorum-policy.
type QuorumPolicy uint8

// Quorum policies (spec/01-inputs.md 4.3).
const (
	QuorumStop QuorumPolicy = iota
	QuorumFreeze
	QuorumIgnore
	QuorumDemote
	QuorumFence
)

// Placement is placement-strategy.
type Placement uint8

// Placement strategies.
const (
	PlaceDefault Placement = iota
	PlaceUtilization
	PlaceMinimal
	PlaceBalanced
)

// Options are the cluster properties that the policy uses, parsed (spec/01-inputs.md 4.1).
type Options struct {
	Quorate      bool
	QuorumPolicy QuorumPolicy // after the downgrade of section 4.3

	Symmetric, Maintenance, StartFailureFatal, StartupProbes bool
	StopAll, StopRemovedResources, CancelRemovedActions      bool
	FencingEnabled, HaveWatchdog, ConcurrentFencing          bool
	StartupFencing, FenceRemoteWithoutQuorum, ShutdownLock   bool

	FencingAction        string // "reboot" or "off"
	FencingTimeoutMS     int64
	FencingTimeout       string // as written, for the graph
	PriorityFencingDelay int64  // seconds
	NodePendingTimeout   int64  // seconds
	ShutdownLockLimit    int64  // seconds
	ClusterDelay         string // as written
	BatchLimit           string
	MigrationLimit       string
	ClusterName          string
	SiteName             string

	Placement                                        Placement
	HealthStrategy                                   string
	HealthRed, HealthYellow, HealthGreen, HealthBase int32

	// Sanitized says that secret parameters may have been removed from the document, as in a simulation of
	// a saved one, so that a change of them alone means nothing.
	Sanitized bool

	// Properties are all effective cluster properties under the names as written.
	Properties map[string]string
}

// NodeKind says what a node is.
type NodeKind uint8

// Kinds of nodes.
const (
	ClusterNode NodeKind = iota
	RemoteNode           // its connection is an ordinary resource
	GuestNode            // its connection is launched inside a resource (VM)
	BundleNode           // a guest node that a bundle replica provides
)

// Node is one node of the cluster.
type Node struct {
	Index int // dense; index into every Table. Nodes are never removed; one added later has the next number
	ID    string
	Name  string
	Kind  NodeKind
	Score int32 // base score; minus infinity once the node is offline or shutting down

	// Flags of spec/02-state.md section 2.
	Online, Unclean, Pending, Shutdown, Standby, StandbyOnFail bool
	Maintenance, Seen, Reset, ExpectedUp, IsDC, Unpacked       bool
	NodeFenced                                                 bool // remote nodes: node_fenced recorded
	RemoteMaintenanceRecorded                                  bool // node_in_maintenance recorded
	ProbesDisabled                                             bool // a witness, or resource-discovery-enabled=false and honoured
	AvailableForStops                                          bool

	Attributes  map[string]string // permanent, then transient ones over them, plus the built-in "#..." ones
	Permanent   map[string]string // as configured
	Utilization []Capacity        // remaining, sorted by name; changed by assignment
	Capacity    []Capacity        // as configured, sorted by name
	Digests     map[string]string

	// FailureAttributes are the attributes fail-count-... and last-failure-..., sorted by name.
	FailureAttributes []NodeAttribute

	Connection *Resource // connection resource of a remote, guest or bundle node; nil = none

	Running  []*Resource // primitives believed active here, in order of discovery
	Assigned int         // number of primitives assigned in this run
	Priority int32       // for priority-fencing-delay

	FenceReason       string // first reason given
	FenceOp           string // off or reboot, as who asked for fencing wants it; "" = the cluster's fencing-action
	FenceDelayApplies bool   // fenced for lost membership (spec/02-state.md 6.4)

	State  *cib.NodeState // its entry in the status section; nil = none
	Config *cib.Node      // nil for guest, bundle and implied nodes
	Health int32
}

// IsRemoteKind reports whether the node is a remote, guest or bundle node.
func (n *Node) IsRemoteKind() bool { return n.Kind != ClusterNode }

// IsGuestKind reports whether the node runs inside a resource (guest or bundle node).
func (n *Node) IsGuestKind() bool { return n.Kind == GuestNode || n.Kind == BundleNode }

// Available reports whether resources may run on the node (spec/02-state.md section 2).
func (n *Node) Available() bool {
	return n != nil && n.Online && !n.Shutdown && !n.Unclean && !n.Standby && !n.Maintenance
}

// Capacity is one utilization attribute.
type Capacity struct {
	Name  string
	Value int64
}

// Discovery is the probe mode of a resource on a node. Higher ones win.
type Discovery uint8

// Probe modes.
const (
	DiscoverAlways Discovery = iota
	DiscoverNever
	DiscoverExclusive
)

// Entry is a resource's record for one node.
type Entry struct {
	Score     int32
	Count     int32 // instances of a collective here (spec/03-assignment.md 9.2)
	Discovery Discovery
	Present   bool // the node is in the table
	Hidden    bool // not shown in score lines: a bundle node that nothing was said about
}

// Table is a resource's node table, indexed by Node.Index. It may be shorter than the number of nodes;
// what is missing is not present.
type Table []Entry

// Role is a resource role; the order is meaningful.
type Role uint8

// Roles (spec/01-inputs.md section 1).
const (
	RoleUnknown Role = iota
	RoleStopped
	RoleStarted
	RoleUnpromoted
	RolePromoted
)

// String returns the role as the field's tools print it.
func (r Role) String() string {
	return [...]string{"Unknown", "Stopped", "Started", "Unpromoted", "Promoted"}[r]
}

// ParseRole reads a role; old names and any case are accepted (spec/01-inputs.md 2.7).
func ParseRole(s string) Role {
	switch lower(s) {
	case "stopped":
		return RoleStopped
	case "started":
		return RoleStarted
	case "unpromoted", "slave":
		return RoleUnpromoted
	case "promoted", "master":
		return RolePromoted
	}
	return RoleUnknown
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// MultipleActive is the policy for a resource active on several nodes.
type MultipleActive uint8

// multiple-active values.
const (
	MultiStopStart MultipleActive = iota
	MultiStopOnly
	MultiBlock
	MultiStopUnexpected
)

// Requires is what a resource needs before it may start.
type Requires uint8

// Values of the requires meta-attribute.
const (
	RequiresNothing Requires = iota
	RequiresQuorum
	RequiresFencing
)

// Resource is one resource at any level: primitive, group, clone, bundle, or an instance of one.
type Resource struct {
	Index     int
	ID        string // with instance number, such as "web:0"
	HistoryID string // name in the history where that differs ("" = ID)
	ConfigID  string // id in the configuration, without instance number
	Kind      cib.Kind
	Config    *cib.Resource // after template expansion; nil for removed and some implicit resources

	Class, Provider, Type string

	Parent   *Resource
	Children []*Resource // members, instances, or all parts of a bundle in creation order
	Instance int         // number of an instance (of itself, not of its parent); -1 = not an instance

	Bundle  *Bundle  // of a bundle; nil otherwise
	Clone   *Clone   // of a clone; nil otherwise
	Replica *Replica // of every part of a bundle replica: its replica; nil otherwise

	Meta map[string]string // computed meta-attributes (spec/01-inputs.md 6.2)
	Ops  []*Op             // configured operations after template expansion, in order

	// Parsed meta-attributes.
	Priority, Stickiness                                   int32
	MigrationThreshold                                     int32
	FailureTimeoutMS                                       int64
	ReconnectMS                                            int64 // reconnect_interval of a remote connection
	Multi                                                  MultipleActive
	Requires                                               Requires
	Unfencing                                              bool // requires=unfencing
	Critical, AllowMigrate, AllowUnhealthy, Notify, Unique bool
	AttributeTargetHost                                    bool   // container-attribute-target=host
	TargetRole                                             string // as configured, "" = unset
	GroupUnordered, GroupUncolocated                       bool

	// Flags of spec/02-state.md.
	Managed, Blocked, Failed, MustStop, Removed, Maintenance bool
	FailureIgnored, StartPending, NotMigratable, Reloading   bool
	ExclusiveDiscovery, StopUnexpectedly, RemovedLauncher    bool
	FenceDevice, Connection                                  bool // class stonith; ocf:pacemaker:remote
	DetectLoop, Assigning, AssignedDone, Unassigned          bool // work marks of assignment and colocation walks
	MembersPrinted                                           bool

	Launcher          *Resource   // resource inside which this one runs
	Launched          []*Resource // resources that run inside this one
	RemoteNode        *Node       // node that this connection (or, for a launcher, its guest) provides
	IsGuestConnection bool        // implicit connection of a guest or bundle node

	Active                       []*Node // active list, in order
	Dangling                     []*Node // dangling migration sources (spec/02-state.md 8.9)
	Known                        []bool  // by Node.Index: state known there
	Role                         Role    // current role
	Next                         Role    // next role; RoleUnknown = not decided
	PartialSource, PartialTarget *Node
	PendingTask                  string // pending non-probe operation: "start", ...
	PendingNode                  *Node
	LockNode                     *Node // shutdown lock
	LockTime                     int64

	Allowed     Table
	Assigned    *Node         // chosen node; nil = none (see AssignedDone)
	Locations   []*Location   // that name this resource
	ThisWith    []*Colocation // own colocations as dependent (unsorted)
	WithThis    []*Colocation // own colocations as primary (unsorted)
	Tickets     []*TicketConstraint
	FencePlaces []*Node
	Utilization []Capacity // sorted by name

	PromotionPriority int32
	PromotionScored   bool

	Actions []*Action // own actions in order of creation
	Others  []*Action // those of them that are not a probe on a node, in order of creation
	Probes  []*Action // probes on nodes, by Node.Index; shorter than the number of nodes, or nil, where there are none; of a row, the action that stands for it
	Row     *Row      // nil = its probes are actions of their own

	Params       map[string]string         // instance attributes; nil = not asked for yet, or not the same on every node
	ParamsOnNode map[int]map[string]string // instance attributes by Node.Index, -1 = without node, where rules make them differ
	OpMetaCache  []OpMeta                  // meta-attributes of operations asked for so far

	// FailedOps: entries that masked probes and such left for display, by node.
	MaskedFailures map[int]string

	// Origins are the score contributions by node, for explain; filled when Trace.Reasons is set.
	Origins [][]Origin
}

// Origin is one contribution to a resource's score on a node.
type Origin struct {
	Kind   OriginKind
	ID     string // constraint, resource, attribute or operation that it comes from
	Number int32  // what was added; MinInfinity for a ban
	Text   string // further words, such as the rule or the failed operation
}

// OriginKind says where a score contribution comes from.
type OriginKind uint8

// Origins of scores.
const (
	OriginBase OriginKind = iota
	OriginLocation
	OriginStickiness
	OriginFailures
	OriginColocation // as dependent
	OriginDependent  // a dependent's preference
	OriginFailedOperation
	OriginHealth
	OriginTicket
	OriginDiscovery
	OriginShutdownLock
	OriginTargetRole
	OriginPromotion
	OriginUnmanaged
	OriginInstance // instance limits
	OriginContainer
	OriginMultiActive
	OriginRemoved
	OriginUtilization
	OriginRole // speaks for or against the promoted role there; the other kinds are about the place
)

// Top returns the outermost ancestor, not going through a bundle; includeBundle goes through it.
func (r *Resource) Top(includeBundle bool) *Resource {
	t := r
	for t.Parent != nil {
		if t.Parent.Kind == cib.Bundle && !includeBundle {
			break
		}
		t = t.Parent
	}
	return t
}

// Name returns the id under which the history knows the resource.
func (r *Resource) Name() string {
	if r.HistoryID != "" {
		return r.HistoryID
	}
	return r.ID
}

// Clone is the part of a resource that only clones have.
type Clone struct {
	Max, NodeMax                    int
	Min                             int // clone-min; 0 = unset
	Promotable                      bool
	PromotedMax, PromotedNodeMax    int
	Ordered, Interleave, Unique     bool
	Notify                          bool
	Child                           *cib.Resource // configured child
	ChildID                         string
	Total                           int  // instances made so far, for the number of the next one
	PromotionAdded, PromotionMerged bool // once-per-clone marks (spec/03-assignment.md 10)
}

// Bundle is the part of a resource that only bundles have.
type Bundle struct {
	Spec        *cib.BundleSpec
	Replicas    []*Replica
	Inner       *Resource // the implicit clone; nil = nothing contained
	PromotedMax int
	PerHost     int
	Unique      bool
	Image       string
	MasksProbes bool
}

// Replica is one replica of a bundle.
type Replica struct {
	Number     int
	Bundle     *Resource
	Container  *Resource
	IP         *Resource // nil = none
	Address    string
	Connection *Resource // nil = none
	Inner      *Resource // contained instance; nil = none
	Node       *Node     // bundle node; nil = none
}

// Op is a configured operation of a primitive.
type Op struct {
	Config       *cib.Operation
	Name         string
	IntervalMS   int64
	Enabled      bool
	Role         Role // role of the op; RoleUnknown = none given
	FromTemplate bool
}

// Ticket is the state of a ticket.
type Ticket struct {
	ID               string
	Granted, Standby bool
	LastGranted      int64
}

// TicketConstraint ties a resource to a ticket.
type TicketConstraint struct {
	ID       string
	Resource *Resource
	Ticket   *Ticket
	Role     Role   // RoleUnknown = none
	Policy   string // stop, demote, fence, freeze
}

// Location is a location constraint on one resource.
type Location struct {
	ID        string
	Resource  *Resource
	Role      Role // RoleUnknown = no filter
	Discovery Discovery
	Nodes     []LocationNode
	Health    bool   // comes from node health
	Text      string // how the administrator wrote it, for explain
}

// LocationNode is a node with the score that a location constraint gives it.
type LocationNode struct {
	Node  *Node
	Score int32
}

// Colocation is a colocation constraint between two resources.
type Colocation struct {
	ID                         string
	Dependent, Primary         *Resource
	DependentRole, PrimaryRole Role // RoleUnknown = any
	Score                      int32
	Attribute                  string // node attribute; "#uname" by default
	Influence                  bool
	Explicit                   bool // configured, not internal
}

// Effects are the effects of an ordering (spec/05-ordering.md section 1).
type Effects uint32

// Ordering effects, named as in spec/05-ordering.md.
const (
	Seq Effects = 1 << iota
	PullThen
	PullFirst
	PullFirstPromoted
	Gate
	RestartPair
	MigGate
	MigReal
	ShowFirst
	ShowThen
	Count
	Asym
	Serial
	PullThenLocal
	CancelFirst
	NestedProbe
	IfSameNode
	IfRequiredSameNode
	IfSameNodeOrTarget
	UnlessMigrating
	GuestOK
)

// Ordering is an ordering before resolution: each side is an action, or a resource with an operation.
type Ordering struct {
	ID          string // constraint; "" = implied
	First       *Resource
	FirstTask   string // operation of First without interval; "" when FirstAction is set
	FirstAction *Action
	Then        *Resource
	ThenTask    string
	ThenAction  *Action
	Effects     Effects
}

// Action is one action of the decision (spec/04-actions.md section 1). There are hundreds of thousands of them
// in a large cluster, and what is looked at most stands first.
type Action struct {
	Resource *Resource
	Node     *Node

	Optional, Runnable, Pseudo, Forced, Migratable bool
	Reschedule, AbortMark, ControllerSide          bool
	InGraph                                        bool
	Needs                                          Requires
	TargetRC                                       uint8  // result code that is expected of a monitor; 0 = that of success
	Cancels                                        uint8  // how often it was made optional because of another
	Mark                                           uint32 // visit mark for graph walks

	Task     string // operation, such as "start"
	Interval int64  // milliseconds

	Before []*Relation // relations in which this is the then action, oldest first
	After  []*Relation // relations in which this is the first action, oldest first

	Number int  // from 1
	Row    *Row // not nil: this stands for all probes of a row, and has the number of the first
	Key    string
	Reason string

	Priority                int32
	MinCount, RunnableCount int32

	Op    *Op               // configured operation; nil = none
	Meta  map[string]string // names with "-" as configured; only what this action has beyond its operation, see action.Meta
	Extra map[string]string // the action's own instance attributes
}

// Cancelled returns the task of the operation that a cancel cancels.
func (a *Action) Cancelled() string { return a.Meta["operation"] }

// Relation is a resolved ordering between two actions.
type Relation struct {
	First, Then *Action
	Effects     Effects
	Void        bool
	Used        bool      // written as an input of the graph
	Apart       bool      // of a row: only the probe on the node of the second action counts, those on others are void
	Inert       bool      // changes neither action, whatever becomes of the other
	Ordering    *Ordering // that it comes from; nil = none
}

// FailedOp is a failed operation of the history, for display.
type FailedOp struct {
	Node     *Node
	Op       *cib.HistoryOp
	Resource *Resource
}

// RuleResource is the data of a resource that rules may look at.
func (r *Resource) RuleResource() (class, provider, typ string) { return r.Class, r.Provider, r.Type }
