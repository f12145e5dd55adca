// Package api is the client protocol: requests, replies and the table that says which verb each endpoint
// needs. The protocol is HTTP/1.1 with JSON or CBOR bodies over the unix socket of a node. Every client,
// the crm shell included, uses it and nothing else.
//
// A request that changes something carries a command.Entry; the node that takes it adds who asked (from the
// kernel), when, and a request number, and answers once the entry was applied on it.
package api

import (
	"time"

	"github.com/quorate/quorate/crm/acl"
	"github.com/quorate/quorate/crm/store/command"
)

// Media types of bodies.
const (
	JSON = "application/json"
	CBOR = "application/cbor"
	XML  = "application/xml"
	// EventStream is the form of server-sent events.
	EventStream = "text/event-stream"
)

// Endpoint is one row of the protocol.
type Endpoint struct {
	Method string
	Path   string
	// Verb is what the caller must be allowed to do. For /v1/propose it depends on the entry: see EntryVerbs.
	Verb acl.Verb
	Help string
}

// Paths of the endpoints.
const (
	PathState    = "/v1/state"
	PathCIB      = "/v1/cib"
	PathLocal    = "/v1/local"
	PathPropose  = "/v1/propose"
	PathToken    = "/v1/token"
	PathStop     = "/v1/stop"
	PathRecover  = "/v1/recover"
	PathInit     = "/v1/init"
	PathJoin     = "/v1/join"
	PathMetadata = "/v1/agents/metadata"
	PathAgents   = "/v1/agents"
	PathDecision = "/v1/decisions"
	PathInput    = "/v1/decisions/input"
	PathEvents   = "/v1/events"
	PathRevision = "/v1/revision"
	PathRun      = "/v1/run"
)

// Endpoints is the whole protocol. The server refuses to start when one of them has no handler.
var Endpoints = []Endpoint{
	{"GET", PathState, acl.ConfigRead, "the replicated state; ?stale=1 without asking the leader, ?after=INDEX&wait=SECONDS until it is newer; ?part=configuration without the status, with &resource= or &node= just that object"},
	{"GET", PathCIB, acl.ConfigRead, "the document as Pacemaker's XML"},
	{"GET", PathLocal, acl.StatusRead, "what this node sees: links, raft, runner"},
	{"POST", PathPropose, "", "propose a log entry; the verb is the entry's"},
	{"POST", PathToken, acl.TokenIssue, "issue a join token"},
	{"POST", PathStop, acl.MemberStop, "leave in order and stop this node"},
	{"POST", PathRecover, acl.FenceConfirm, "go on as the only voter; the named nodes are off"},
	{"POST", PathInit, acl.ClusterInit, "make a new cluster with this node"},
	{"POST", PathJoin, acl.ClusterInit, "join a cluster with a token"},
	{"GET", PathMetadata, acl.AgentRead, "metadata of an agent, ?agent=class:provider:type"},
	{"GET", PathAgents, acl.AgentRead, "agents of a class, ?class="},
	{"POST", PathRun, acl.AgentRun, "run one operation of a resource by hand on a node, while the cluster leaves the resource alone"},
	{"GET", PathRevision, acl.ConfigRead, "the configuration as it was after a change, ?index="},
	{"GET", PathDecision, acl.ConfigRead, "decisions of this node as leader, newest first; ?most=NUMBER of them"},
	{"GET", PathEvents, acl.ConfigRead, "what happens, as server-sent events; ?after=INDEX (or Last-Event-ID) resumes, ?kind= ?node= ?resource= choose"},
	{"GET", PathInput, acl.ConfigRead, "a decision with the document that it was made from, ?id=TERM.TRANSITION"},
}

// EntryVerbs says which verb a proposed entry needs. A kind without a row cannot be proposed by clients.
var EntryVerbs = map[command.Kind]acl.Verb{
	command.KindConfig:       acl.ConfigWrite,
	command.KindAttributes:   acl.NodeAttribute,
	command.KindForget:       acl.HistoryForget,
	command.KindConfirmDown:  acl.FenceConfirm,
	command.KindTickets:      acl.TicketWrite,
	command.KindMemberRemove: acl.MemberRemove,
	command.KindTokenDrop:    acl.TokenRevoke,
	command.KindFeature:      acl.ClusterFeature,
	command.KindSecretSet:    acl.SecretWrite,
	command.KindSecretDrop:   acl.SecretWrite,
}

// MaxBody is the largest request body in bytes: a document of 5,000 resources fits several times.
const MaxBody = 64 << 20

// Decision is a decision that a node made as leader.
type Decision struct {
	ID         string    `json:"id"` // TERM.TRANSITION; with an f behind it, the policy failed
	Node       string    `json:"node"`
	Term       uint64    `json:"term"`
	Transition uint64    `json:"transition"`
	Index      uint64    `json:"index"` // of the state that was decided on
	Time       time.Time `json:"time"`
	Quorate    bool      `json:"quorate"`
	Actions    int       `json:"actions"`
	Changes    []string  `json:"changes,omitempty"` // the transition summary, shortened where it is very long
	Error      string    `json:"error,omitempty"`
	Version    string    `json:"version"` // of the program that decided
	Kept       bool      `json:"kept"`    // its input can be fetched
}

// DecisionInput is what a decision was made from. Deciding on it again gives the same decision.
type DecisionInput struct {
	Decision Decision `json:"decision"`
	Document []byte   `json:"document"` // as Pacemaker's XML
}

// ProposeReply answers a proposal.
type ProposeReply struct {
	Index uint64 `json:"index"` // of the applied entry
}

// TokenRequest asks for a join token.
type TokenRequest struct {
	Node     string `json:"node,omitempty"`     // the name that the joiner must have; "" = any
	Lifetime int64  `json:"lifetime,omitempty"` // seconds; 0 = 15 minutes
}

// TokenReply carries a new join token. It is shown once; the cluster keeps only a hash.
type TokenReply struct {
	Token   string    `json:"token"`
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

// InitRequest makes a cluster.
type InitRequest struct {
	Cluster string `json:"cluster"`          // its name
	Node    string `json:"node"`             // name of this node
	Links   []Link `json:"links"`            // addresses of this node
	Config  []byte `json:"config,omitempty"` // initial document as XML
	Witness bool   `json:"witness,omitempty"`
}

// RecoverRequest has a node go on without a majority.
type RecoverRequest struct {
	Dead []string `json:"dead"` // all voters that are away; the caller vouches that they are off
}

// RecoverReply answers a RecoverRequest.
type RecoverReply struct {
	// Remove: the named nodes must be removed from the cluster, since they could go on with what they have stored.
	Remove bool `json:"remove"`
}

// JoinRequest joins a cluster.
type JoinRequest struct {
	Token   string `json:"token"`
	Node    string `json:"node"`
	Links   []Link `json:"links"`
	Witness bool   `json:"witness,omitempty"`
}

// MaxEdited is the largest edited configuration of a RunRequest in bytes: it travels to another member in one message.
const MaxEdited = 3 << 20

// RunRequest asks for one operation of a resource by hand.
type RunRequest struct {
	Resource  string `json:"resource" cbor:"1,keyasint"`       // a primitive, or one instance of it
	Operation string `json:"operation" cbor:"2,keyasint"`      // start, stop, monitor, ...
	Node      string `json:"node,omitempty" cbor:"3,keyasint"` // where; "" = this node
	// Edited is a configuration that is not committed, as XML: the resource is run as it says. nil = that of the cluster.
	Edited []byte `json:"edited,omitempty" cbor:"4,keyasint,omitempty"`
}

// RunReply is what came of a RunRequest. That the operation failed is no error of the request.
type RunReply struct {
	Node      string        `json:"node" cbor:"1,keyasint"`
	RC        int           `json:"rc" cbor:"2,keyasint"`                  // exit code of the agent
	Status    string        `json:"status" cbor:"3,keyasint"`              // complete, timed out, ...
	Code      string        `json:"code" cbor:"4,keyasint"`                // the exit code in words
	Reason    string        `json:"reason,omitempty" cbor:"5,keyasint"`    // why, one line
	Output    string        `json:"output,omitempty" cbor:"6,keyasint"`    // the end of what the agent wrote
	Truncated bool          `json:"truncated,omitempty" cbor:"7,keyasint"` // it wrote more
	Took      time.Duration `json:"took" cbor:"8,keyasint"`
	// Complete says that the agent ran and ended by itself, so that RC is its own.
	Complete bool `json:"complete" cbor:"9,keyasint"`
}

// Link is an address on a named link.
type Link struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Error is the body of every reply that is not 2xx.
type Error struct {
	Code    string `json:"code"` // stable, such as "conflict", "denied", "no-quorum"
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do next
}

// Codes of errors.
const (
	CodeDenied   = "denied"
	CodeConflict = "conflict"
	CodeRefused  = "refused"   // the entry was applied as a refusal: invalid
	CodeNoQuorum = "no-quorum" // no leader, or not known in time
	CodeUnknown  = "unknown"   // the outcome is not known: it may still be applied
	CodeBad      = "bad-request"
	CodeNotFound = "not-found"
	CodeState    = "wrong-state" // such as: this node is in a cluster already
	CodeInternal = "internal"
)

// Local is what one node sees of itself and the others.
type Local struct {
	Version   string    `json:"version"`
	Node      string    `json:"node"`
	ClusterID string    `json:"cluster_id,omitempty"`
	Cluster   string    `json:"cluster,omitempty"`
	Started   time.Time `json:"started"`
	RaftID    uint64    `json:"raft_id,omitempty"`
	Term      uint64    `json:"term,omitempty"`
	Leader    string    `json:"leader,omitempty"`
	Role      string    `json:"role,omitempty"` // leader, voter, learner
	Quorate   bool      `json:"quorate"`
	// Waits says what the node waits for without quorum, and what can be done.
	Waits       string   `json:"waits,omitempty"`
	Applied     uint64   `json:"applied,omitempty"`
	Committed   uint64   `json:"committed,omitempty"`
	Idle        bool     `json:"idle"` // leader only: nothing to do and nothing under way
	Alone       bool     `json:"alone,omitempty"`
	Voters      []string `json:"voters,omitempty"`
	Learners    []string `json:"learners,omitempty"`
	Peers       []Peer   `json:"peers,omitempty"`
	Matrix      []Row    `json:"matrix,omitempty"` // who hears whom
	Decision    string   `json:"decision_failure,omitempty"`
	Warnings    []string `json:"warnings,omitempty"`
	PendingRuns int      `json:"pending_runs,omitempty"`
	Health      *Health  `json:"health,omitempty"`
}

// Health is what a node in a cluster says of its keys and its disk. What is wrong with them is in Local.Warnings.
type Health struct {
	CertificateEnds  time.Time `json:"certificate_ends"`
	CertificateRenew time.Time `json:"certificate_renew"` // when it is renewed
	Authority        bool      `json:"authority"`         // the node has the CA key: it issues certificates and answers joiners
	DiskFree         uint64    `json:"disk_free"`         // bytes, where the state lies
	DiskSize         uint64    `json:"disk_size"`
}

// Peer is another member as this node sees it.
type Peer struct {
	Node      string `json:"node"`
	State     string `json:"state"` // reachable, suspect, cut, lost, left, leaving, unknown
	Cause     string `json:"cause,omitempty"`
	Connected bool   `json:"connected"`
	// ClockAhead is how far its clock is ahead of this node's; nil while it has not told.
	ClockAhead *time.Duration `json:"clock_ahead,omitempty"`
	Links      []PeerLink     `json:"links,omitempty"`
}

// PeerLink is a link to a peer.
type PeerLink struct {
	Link    string        `json:"link"`
	Address string        `json:"address"`
	State   string        `json:"state"` // up, degraded, dead, unknown
	Latency time.Duration `json:"latency"`
	Loss    float64       `json:"loss"` // 0 to 1
	InUse   bool          `json:"in_use,omitempty"`
}

// Row is one row of the connectivity matrix: whom a node hears.
type Row struct {
	Node  string   `json:"node"`
	Hears []string `json:"hears"` // node/link
}
