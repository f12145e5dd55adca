package command

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/crm/cib"
)

// Kind says what an entry does. The numbers are written to disk: append only.
type Kind uint8

// Kinds of entries.
const (
	KindBootstrap    Kind = 1 // first entry of a cluster
	KindMemberAdd    Kind = 2
	KindMemberRemove Kind = 3
	KindTokenAdd     Kind = 4
	KindTokenDrop    Kind = 5
	KindConfig       Kind = 6 // change of the configuration
	KindNodes        Kind = 7 // membership facts about nodes
	KindDispatch     Kind = 8 // actions of a transition
	KindResults      Kind = 9
	KindAttributes   Kind = 10 // transient node attributes
	KindForget       Kind = 11 // operation history and fail counts of a resource
	KindConfirmDown  Kind = 12 // an administrator vouches that a node is down
	KindTickets      Kind = 13
	KindFeature      Kind = 14
	KindAuditHead    Kind = 15
	KindMemberUpdate Kind = 16 // key, feature level of a member
	KindSecretSet    Kind = 30
	KindSecretDrop   Kind = 31
)

// Entry is one log entry. Exactly the body of its kind is set.
type Entry struct {
	Kind Kind `cbor:"1,keyasint"`
	// Request names the request that the entry came from, so that the node that took it can answer.
	Request uint64 `cbor:"2,keyasint,omitempty"`
	// Origin is the node that proposed the entry, Actor on whose behalf ("uid:0", "cluster").
	Origin string `cbor:"3,keyasint,omitempty"`
	Actor  string `cbor:"4,keyasint,omitempty"`
	Time   int64  `cbor:"5,keyasint"` // milliseconds since 1970, by the proposer's clock

	Bootstrap    *Bootstrap        `cbor:"10,keyasint,omitempty"`
	MemberAdd    *MemberAdd        `cbor:"11,keyasint,omitempty"`
	MemberRemove *MemberRemove     `cbor:"12,keyasint,omitempty"`
	TokenAdd     *Token            `cbor:"13,keyasint,omitempty"`
	TokenDrop    *TokenDrop        `cbor:"14,keyasint,omitempty"`
	Config       *Config           `cbor:"15,keyasint,omitempty"`
	Nodes        *Nodes            `cbor:"16,keyasint,omitempty"`
	Dispatch     *Dispatch         `cbor:"17,keyasint,omitempty"`
	Results      []Result          `cbor:"18,keyasint,omitempty"`
	Attributes   []Attribute       `cbor:"19,keyasint,omitempty"`
	Forget       *Forget           `cbor:"20,keyasint,omitempty"`
	ConfirmDown  *ConfirmDown      `cbor:"21,keyasint,omitempty"`
	Tickets      []cib.TicketState `cbor:"22,keyasint,omitempty"`
	Feature      uint32            `cbor:"23,keyasint,omitempty"`
	AuditHead    *AuditHead        `cbor:"24,keyasint,omitempty"`
	MemberUpdate *MemberUpdate     `cbor:"25,keyasint,omitempty"`
	SecretSet    *Secret           `cbor:"40,keyasint,omitempty"`
	SecretDrop   *SecretDrop       `cbor:"41,keyasint,omitempty"`
}

// Bootstrap makes the cluster: its identity, its CA and its first member.
type Bootstrap struct {
	ClusterID string        `cbor:"1,keyasint"`
	Name      string        `cbor:"2,keyasint"`
	CA        []byte        `cbor:"3,keyasint"`
	First     MemberAdd     `cbor:"4,keyasint"`
	Config    *cib.Document `cbor:"5,keyasint,omitempty"` // initial configuration; nil = empty
}

// MemberAdd adds a node. Node id and raft id are given by Apply, in log order.
type MemberAdd struct {
	Name    string         `cbor:"1,keyasint"`
	Key     []byte         `cbor:"2,keyasint"`
	Links   []cib.NodeLink `cbor:"3,keyasint"`
	Witness bool           `cbor:"4,keyasint,omitempty"`
	Token   string         `cbor:"5,keyasint,omitempty"` // token that it used; dropped by this entry
	Feature uint32         `cbor:"6,keyasint"`
	// Rejoin replaces a live member of the same name and key that lost its disk: it gets a new raft id.
	Rejoin bool `cbor:"7,keyasint,omitempty"`
}

// MemberRemove removes a node from the cluster for good.
type MemberRemove struct {
	Name string `cbor:"1,keyasint"`
}

// MemberUpdate changes facts about a member.
type MemberUpdate struct {
	Name    string `cbor:"1,keyasint"`
	Key     []byte `cbor:"2,keyasint,omitempty"`
	Feature uint32 `cbor:"3,keyasint,omitempty"`
	Seal    []byte `cbor:"20,keyasint,omitempty"` // see Member.Seal
}

// TokenDrop revokes a token.
type TokenDrop struct {
	ID string `cbor:"1,keyasint"`
}

// Config changes objects of the configuration.
type Config struct {
	Changes []cib.Change `cbor:"1,keyasint"`
	// Based maps the key of each object that the change touches or relies on to the revision that the author
	// saw. A newer one refuses the entry with a conflict that names the object.
	Based   map[string]uint64 `cbor:"2,keyasint,omitempty"`
	Message string            `cbor:"3,keyasint,omitempty"`
	// Force applies the change without looking at Based.
	Force bool `cbor:"4,keyasint,omitempty"`
}

// Nodes are facts of the membership layer, proposed by the leader.
type Nodes struct {
	Facts []NodeFact `cbor:"1,keyasint"`
}

// NodeFact is what became of a node.
type NodeFact struct {
	Name        string    `cbor:"1,keyasint"`
	Change      NodeEvent `cbor:"2,keyasint"`
	Incarnation uint64    `cbor:"3,keyasint,omitempty"`
	Boot        string    `cbor:"4,keyasint,omitempty"`
}

// NodeEvent is what happened to a node. The numbers are written to disk: append only.
type NodeEvent uint8

// Events of nodes.
const (
	NodeJoined  NodeEvent = 1 // its process is there and takes part
	NodeLost    NodeEvent = 2 // it was called dead without having said goodbye
	NodeLeft    NodeEvent = 3 // it stopped in order
	NodeLeaving NodeEvent = 4 // it asked to stop: move everything away
)

// Dispatch hands out actions of one transition. It counts only in the term of the leader that decided.
type Dispatch struct {
	Term       uint64    `cbor:"1,keyasint"`
	Transition uint64    `cbor:"2,keyasint"`
	BaseIndex  uint64    `cbor:"3,keyasint"` // index of the state that was decided on
	Actions    []Pending `cbor:"4,keyasint"`
	// Cancel lists recurring monitors to stop; they need no answer.
	Internal []InternalAction `cbor:"5,keyasint,omitempty"`
}

// InternalAction is an action that changes the state only: clearing fail counts, deleting history.
type InternalAction struct {
	Task     string `cbor:"1,keyasint"` // clear_failcount, lrm_delete, delete
	Resource string `cbor:"2,keyasint"`
	Node     string `cbor:"3,keyasint"`
}

// Attribute sets (or with Delete removes) a transient attribute of a node. A value "value++" or "value+=N" adds to
// the number that is there. While the attribute has a dampening, the change waits and comes to the document with
// those that follow it in that time, of any node.
type Attribute struct {
	Node   string `cbor:"1,keyasint,omitempty"`
	Name   string `cbor:"2,keyasint,omitempty"`
	Value  string `cbor:"3,keyasint,omitempty"`
	Delete bool   `cbor:"4,keyasint,omitempty"`

	// DelayMS is the dampening in milliseconds that a new attribute gets; with SetDelay an old one gets it too, and
	// what waits is written. With KeepValue nothing else is changed.
	DelayMS   int64 `cbor:"5,keyasint,omitempty"`
	SetDelay  bool  `cbor:"6,keyasint,omitempty"`
	KeepValue bool  `cbor:"7,keyasint,omitempty"`
	// Private makes a new attribute one that is never written to the document, so that no decision sees it.
	Private bool `cbor:"8,keyasint,omitempty"`
	// Write writes what waits under Name ("" = all) to the document, and nothing else.
	Write bool `cbor:"9,keyasint,omitempty"`
}

// Forget deletes the operation history (so that resources are probed again) and fail counts.
type Forget struct {
	Resource string `cbor:"1,keyasint,omitempty"` // history name; "" = all
	Node     string `cbor:"2,keyasint,omitempty"` // "" = all
	// OnlyFailed forgets only resources with failures or fail counts ("cleanup" against "refresh").
	OnlyFailed bool `cbor:"3,keyasint,omitempty"`
	// Operation and IntervalMS restrict the fail counts that are cleared; "" = all.
	Operation  string `cbor:"4,keyasint,omitempty"`
	IntervalMS int64  `cbor:"5,keyasint,omitempty"`
}

// ConfirmDown records that an administrator has made sure that the node is down.
type ConfirmDown struct {
	Node string `cbor:"1,keyasint"`
}

const entryVersion = 1

var (
	encMode = mustEnc()
	decMode = mustDec()
)

func mustEnc() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return m
}

func mustDec() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  64,
		MaxArrayElements: 4 << 20,
		MaxMapPairs:      1 << 20,
		IndefLength:      cbor.IndefLengthForbidden,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

// Encode returns the wire form of an entry.
func (e *Entry) Encode() ([]byte, error) {
	body, err := encMode.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode log entry of kind %d: %w", e.Kind, err)
	}
	return append([]byte{entryVersion}, body...), nil
}

// Decode reads the wire form of an entry.
func Decode(data []byte) (*Entry, error) {
	if len(data) == 0 {
		return nil, errors.New("decode log entry: empty")
	}
	if data[0] != entryVersion {
		return nil, fmt.Errorf("decode log entry: format version %d, this build knows %d", data[0], entryVersion)
	}
	e := new(Entry)
	if err := decMode.Unmarshal(data[1:], e); err != nil {
		return nil, fmt.Errorf("decode log entry: %w", err)
	}
	return e, nil
}

// Encode returns the state as a snapshot. Equal states give equal bytes.
func (s *State) Encode() ([]byte, error) {
	body, err := encMode.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode cluster state: %w", err)
	}
	return append([]byte{entryVersion}, body...), nil
}

// DecodeState reads a snapshot.
func DecodeState(data []byte) (*State, error) {
	if len(data) == 0 || data[0] != entryVersion {
		return nil, errors.New("decode cluster state: not a snapshot of format version 1")
	}
	s := new(State)
	if err := decMode.Unmarshal(data[1:], s); err != nil {
		return nil, fmt.Errorf("decode cluster state: %w", err)
	}
	if s.Document == nil {
		return nil, errors.New("decode cluster state: no document in it")
	}
	if slices.Contains(s.Changes, nil) {
		return nil, errors.New("decode cluster state: a change record is empty")
	}
	return s, nil
}
