package cib

// Status is what the cluster keeps: the state of nodes, the operation history and tickets.
type Status struct {
	Nodes   []NodeState // in document order, which decides the numbers of anonymous clone instances
	Tickets []TicketState
	Extra   []Unknown
}

// NodeState is one node_state element: membership, transient attributes and operation history of a node.
// Texts are as recorded; "" = absent.
type NodeState struct {
	ID   string
	Name string // uname

	InCCM    string // in_ccm: a boolean, or the second since when the node is a member
	CRMD     string // crmd: "online", "offline", or the second since when
	Join     string // member, pending, down, banned
	Expected string // member, down
	Origin   string // crm-debug-origin

	RemoteNode        string // remote_node
	NodeFenced        string // node_fenced
	NodeInMaintenance string // node_in_maintenance
	ConnectionHost    string // connection_host

	Attributes  []AttributeSet // transient_attributes/instance_attributes
	Utilization []AttributeSet // transient_attributes/utilization
	HasHistory  bool           // an lrm element is there, even if empty
	History     []ResourceHistory
	Extra       []Attr
}

// ResourceHistory is one lrm_resource: what is known of a resource on a node.
type ResourceHistory struct {
	ID                    string
	Class, Provider, Type string
	Container             string
	ShutdownLock          string // shutdown-lock: second since when, "" = none
	Operations            []HistoryOp
	Extra                 []Attr
}

// HistoryOp is one lrm_rsc_op: the recorded result (or start) of an operation.
//
// Numbers that are absent in the record have the value that spec/02-state.md gives them: CallID -1,
// RC NoRC, Status NoStatus, times -1.
type HistoryOp struct {
	ID        string
	Key       string // operation_key
	Operation string
	Interval  int64 // milliseconds
	CallID    int64
	RC        int
	Status    int // op-status: -1 pending, 0 done, 1 cancelled, 2 timeout, ...

	TransitionKey   string // ACTION:TRANSITION:EXPECTED-RC:UUID
	TransitionMagic string // STATUS:RC;KEY
	ExitReason      string
	OnNode          string

	LastRCChange int64 // seconds since 1970
	LastRun      int64
	ExecTime     int64 // milliseconds
	QueueTime    int64 // milliseconds

	MigrateSource string
	MigrateTarget string

	OpDigest      string // op-digest
	RestartDigest string // op-restart-digest
	ForceRestart  string // op-force-restart
	SecureDigest  string // op-secure-digest
	SecureParams  string // op-secure-params

	FeatureSet string // crm_feature_set
	Origin     string // crm-debug-origin
	Extra      []Attr
}

// Values of absent numbers in a HistoryOp.
const (
	NoRC     = -1 << 15
	NoStatus = -1 << 15
)

// TicketState is the state of a ticket.
type TicketState struct {
	ID          string
	Granted     string // as recorded; "" = absent
	Standby     string
	LastGranted string
	Extra       []Attr // further attributes that users set
}
