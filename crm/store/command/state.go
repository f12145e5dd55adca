// Package command holds the replicated state of a cluster and the log entries that change it.
//
// State is one value: the document (configuration and status), the members, the open join tokens, the
// actions that were dispatched and have no result yet, and the fencing history. It changes only by Apply,
// which is total and deterministic: every node that applies the same entries has the same State, byte for
// byte (Encode), and a bad entry yields a recorded refusal, never a panic and never half a change. Times and
// random numbers come with the entries.
//
// A State that Apply returned is not changed any more; the next Apply returns a new one that shares what did
// not change. So a State may be read by any number of goroutines without a lock.
//
// Wire and disk form of an entry: one byte format version (1), then the CBOR encoding (RFC 8949, core
// deterministic) of Entry. The numbers of kinds are append-only; an unknown kind is refused, and new kinds
// wait for the cluster's feature level.
package command

import (
	"github.com/quorate/quorate/crm/cib"
)

// FeatureLevel is the newest level that this build can run. A cluster runs at the lowest level of its
// members until an administrator raises it; kinds of entries newer than the level are refused.
const FeatureLevel uint32 = 1

// Bounds of what the State keeps.
const (
	maxChanges        = 200  // configuration changes remembered for "crm revisions"
	maxFencingHistory = 500  // fencing results remembered
	maxTokens         = 64   // open join tokens at one time
	maxMembers        = 256  // members, removed ones included
	maxLinks          = 8    // links, as many as the membership layer can number
	maxRefusals       = 50   // refused entries remembered for diagnosis
	maxOrphans        = 512  // actions of ended processes whose results may still come
	maxAttributes     = 1000 // private and dampened attributes, by name
	maxAttributeValue = 32 << 10

	// maxUndo bounds, in bytes, what the change records keep of older configurations: 200 changes of some resources
	// each, or one that replaces a configuration of some thousand resources. It is part of every snapshot.
	maxUndo = 8 << 20
)

// MaxPending bounds the actions that were dispatched and are unanswered.
const MaxPending = 4096

// State is the replicated state of the cluster.
type State struct {
	ClusterID string `cbor:"1,keyasint,omitempty"`
	Name      string `cbor:"2,keyasint,omitempty"`
	Feature   uint32 `cbor:"3,keyasint,omitempty"`

	// Index and Term are those of the entry applied last.
	Index uint64 `cbor:"4,keyasint"`
	Term  uint64 `cbor:"5,keyasint"`

	Members    []Member `cbor:"6,keyasint,omitempty"` // in order of node id; removed ones stay, marked
	NextNodeID uint16   `cbor:"7,keyasint"`
	NextRaftID uint64   `cbor:"8,keyasint"`
	CAs        [][]byte `cbor:"9,keyasint,omitempty"` // DER of the trusted cluster CAs, newest first
	Tokens     []Token  `cbor:"10,keyasint,omitempty"`

	Document *cib.Document `cbor:"11,keyasint"`
	// Revision is the index of the entry that last changed the configuration; Objects has the same for each
	// object, by cib object key. An object without an entry was there from the start (revision 0).
	Revision uint64          `cbor:"12,keyasint"`
	Objects  Revisions       `cbor:"13,keyasint,omitzero"`
	Changes  []*ChangeRecord `cbor:"14,keyasint,omitempty"` // oldest first

	Transition uint64          `cbor:"15,keyasint"`           // number of the newest transition
	Pending    []Pending       `cbor:"16,keyasint,omitempty"` // in order of dispatch
	Fencing    []FencingRecord `cbor:"17,keyasint,omitempty"` // oldest first
	Refusals   []Refusal       `cbor:"18,keyasint,omitempty"` // oldest first

	// StatusRevision is the index of the entry that last changed anything that a decision depends on.
	StatusRevision uint64 `cbor:"19,keyasint"`
	// Links are the names of the cluster's links; the place in the list is the link's number for good.
	Links      []string             `cbor:"21,keyasint,omitempty"`
	AuditHeads map[string]AuditHead `cbor:"20,keyasint,omitempty"` // by node name

	// Orphans are actions that a process of a node was given and never answered. The runner outlives the process
	// and keeps the result; the next process hands it in, and it counts once.
	Orphans []Pending `cbor:"40,keyasint,omitempty"`
	// Secrets are those of ref:store:NAME, by name; only the runners of the nodes named in each can open it.
	Secrets []Secret `cbor:"41,keyasint,omitempty"`

	// Attributes has what the document does not show of transient node attributes, sorted by name.
	Attributes []AttributeState `cbor:"50,keyasint,omitempty"`
}

// Member is a full node of the cluster.
type Member struct {
	Name    string `cbor:"1,keyasint"`
	NodeID  uint16 `cbor:"2,keyasint"` // never used again
	RaftID  uint64 `cbor:"3,keyasint"` // never used again
	Key     []byte `cbor:"4,keyasint"` // public key, SubjectPublicKeyInfo in DER
	Removed bool   `cbor:"5,keyasint,omitempty"`
	Feature uint32 `cbor:"6,keyasint,omitempty"` // newest level that the member can run

	// Incarnation is the running process of the node that the cluster admitted last; 0 = none. Boot tells a
	// restarted machine from a restarted process.
	Incarnation uint64 `cbor:"7,keyasint,omitempty"`
	Boot        string `cbor:"8,keyasint,omitempty"`
	Online      bool   `cbor:"9,keyasint,omitempty"`
	Joined      uint64 `cbor:"10,keyasint"` // index of the entry that added it
	// Fenced is the process that ran when the node was fenced, or vouched for as down; 0 = none. It is not admitted
	// again: peers hear the last of it for a while after its power is off, and one that lives on must start anew.
	Fenced uint64 `cbor:"11,keyasint,omitempty"`
	// Own is the index of the entry that told last what the node had done by itself without quorum. What was decided before
	// does not know of it, and is not handed out to the node any more.
	Own uint64 `cbor:"12,keyasint,omitempty"`
	// Seal is the public key of the node's runner, to which secrets are sealed; empty until it was told.
	Seal []byte `cbor:"20,keyasint,omitempty"`
}

// Token is an open join token; its secret is known only as a hash.
type Token struct {
	ID      string `cbor:"1,keyasint"`
	Node    string `cbor:"2,keyasint,omitempty"` // "" = any name
	Hash    []byte `cbor:"3,keyasint"`
	Expires int64  `cbor:"4,keyasint"` // seconds since 1970
	Actor   string `cbor:"5,keyasint,omitempty"`
	// Used is the node that joined with it. The token stays until it expires, so that who tries it again is told.
	Used string `cbor:"6,keyasint,omitempty"`
}

// ActionID names one dispatched action in the whole life of the cluster.
type ActionID struct {
	Term       uint64 `cbor:"1,keyasint"` // of the leader that decided
	Transition uint64 `cbor:"2,keyasint"`
	Action     int    `cbor:"3,keyasint"` // number in the transition
}

// Pending is an action that was dispatched and has no result yet.
type Pending struct {
	ID          ActionID `cbor:"1,keyasint"`
	Index       uint64   `cbor:"2,keyasint"` // of the entry that dispatched it
	Node        string   `cbor:"3,keyasint"` // who carries it out
	Incarnation uint64   `cbor:"4,keyasint"`

	Task       string `cbor:"5,keyasint"`
	Key        string `cbor:"6,keyasint"` // operation key of the decision, such as "web_start_0"
	IntervalMS int64  `cbor:"7,keyasint,omitempty"`
	TimeoutMS  int64  `cbor:"8,keyasint,omitempty"`
	ExpectedRC int    `cbor:"9,keyasint,omitempty"`
	Since      int64  `cbor:"10,keyasint"` // seconds since 1970, of the dispatch

	// Of resource operations.
	Resource   string            `cbor:"11,keyasint,omitempty"` // id under which the history knows it
	Class      string            `cbor:"12,keyasint,omitempty"`
	Provider   string            `cbor:"13,keyasint,omitempty"`
	Type       string            `cbor:"14,keyasint,omitempty"`
	Attributes map[string]string `cbor:"15,keyasint,omitempty"` // OCF parameters and CRM_meta_*
	RunsOn     string            `cbor:"16,keyasint,omitempty"` // remote or guest node, when not Node itself

	// Of fencing.
	Target  string `cbor:"17,keyasint,omitempty"`
	FenceOp string `cbor:"18,keyasint,omitempty"`
	// TargetIncarnation is the process of the target that the cluster had admitted when a node without quorum decided on
	// the fencing by itself. Actor is who vouches for it instead of a fence device.
	TargetIncarnation uint64 `cbor:"20,keyasint,omitempty"`
	Actor             string `cbor:"21,keyasint,omitempty"`

	Reason string `cbor:"19,keyasint,omitempty"`
}

// Same reports whether p and q ask the same of the same node. The numbers of the instances of an anonymous clone,
// which are in Key, do not count: the next decision may number them in another way, and history does not know them.
//
// Who fences a node does not count, so that a target is fenced once at a time; off and reboot serve each other.
func (p *Pending) Same(q *Pending) bool {
	if p.Task == "stonith" && q.Task == "stonith" {
		return p.Target == q.Target && (p.FenceOp == "on") == (q.FenceOp == "on")
	}
	if p.Task != q.Task || p.Node != q.Node || p.RunsOn != q.RunsOn ||
		p.Resource != q.Resource || p.IntervalMS != q.IntervalMS {
		return false
	}
	switch p.Task {
	case "notify", "cancel":
		for _, name := range [...]string{"CRM_meta_notify_type", "CRM_meta_notify_operation", "CRM_meta_operation"} {
			if p.Attributes[name] != q.Attributes[name] {
				return false
			}
		}
	}
	return p.Resource != "" || p.Key == q.Key
}

// Result is what an operation came to.
type Result struct {
	ID          ActionID `cbor:"1,keyasint"`
	Node        string   `cbor:"2,keyasint"`
	Incarnation uint64   `cbor:"3,keyasint"`
	CallID      int64    `cbor:"4,keyasint"` // counts up in one incarnation; dedupes results of recurring monitors

	RC         int    `cbor:"5,keyasint"`
	Status     int    `cbor:"6,keyasint"` // op-status of spec/02-state.md 8.1
	ExitReason string `cbor:"7,keyasint,omitempty"`
	LastChange int64  `cbor:"8,keyasint"` // seconds since 1970: when it ran, or when this result first showed
	ExecMS     int64  `cbor:"9,keyasint,omitempty"`
	QueueMS    int64  `cbor:"10,keyasint,omitempty"`
	Device     string `cbor:"13,keyasint,omitempty"` // of fencing: the devices that confirmed, separated by commas

	// Local is an operation that the node decided on itself while it had no quorum: a stop, a demote, a probe, or the
	// fencing of the other one of two voters. There is no pending action for it.
	Local *Pending `cbor:"12,keyasint,omitempty"`
	// Recurring results that come after the first one name their operation themselves.
	Recurring *RecurringKey `cbor:"11,keyasint,omitempty"`
}

// RecurringKey names a recurring monitor.
type RecurringKey struct {
	Resource   string `cbor:"1,keyasint"`
	Task       string `cbor:"2,keyasint"`
	IntervalMS int64  `cbor:"3,keyasint"`
}

// ChangeRecord is one change of the configuration, by a client or by a node that joined or was removed. Its index is
// the revision.
type ChangeRecord struct {
	Index   uint64   `cbor:"1,keyasint"`
	Time    int64    `cbor:"2,keyasint"` // milliseconds since 1970, by the clock of the node that took the request
	Actor   string   `cbor:"3,keyasint"`
	Origin  string   `cbor:"4,keyasint,omitempty"` // node that took the request
	Message string   `cbor:"5,keyasint,omitempty"`
	Objects []string `cbor:"6,keyasint,omitempty"` // keys of the objects changed, bounded
	// Undo is the encoded list of changes that give the configuration of before; empty = not kept, or not any more.
	Undo []byte `cbor:"7,keyasint,omitempty"`
	// Kept says that At can give the configuration of this revision. It is set by Public alone.
	Kept bool `cbor:"8,keyasint,omitempty"`
}

// Refusal is an entry that was applied as a refusal.
type Refusal struct {
	Index uint64 `cbor:"1,keyasint"`
	Kind  Kind   `cbor:"2,keyasint"`
	Error string `cbor:"3,keyasint"`
}

// AuditHead is the newest record of a node's audit log that the cluster vouches for.
type AuditHead struct {
	Seq  uint64 `cbor:"1,keyasint"`
	Hash string `cbor:"2,keyasint"`
}

// Member returns the live member of that name; nil = none.
func (s *State) Member(name string) *Member {
	for i := range s.Members {
		if s.Members[i].Name == name && !s.Members[i].Removed {
			return &s.Members[i]
		}
	}
	return nil
}

// MemberByID returns the live member with the node id; nil = none.
func (s *State) MemberByID(id uint16) *Member {
	for i := range s.Members {
		if s.Members[i].NodeID == id && !s.Members[i].Removed {
			return &s.Members[i]
		}
	}
	return nil
}

// MemberByRaftID returns the live member with the raft id; nil = none.
func (s *State) MemberByRaftID(id uint64) *Member {
	for i := range s.Members {
		if s.Members[i].RaftID == id && !s.Members[i].Removed {
			return &s.Members[i]
		}
	}
	return nil
}
