package membership

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/membership/link"
)

// State is what this node knows about a peer. The list is append-only: it is shown by the client API.
type State uint8

const (
	// Unknown: nothing was heard since this process started. It is no sign that the peer is down.
	Unknown State = iota
	// Reachable: it is heard, hears this node, and a stream to it works or is being made.
	Reachable
	// Suspect: its heartbeats are overdue, or all its streams were reset at once, or it is silent here but
	// others may hear it. Nothing is to be concluded but that decisions which need it should wait.
	Suspect
	// Cut: it is alive for somebody, but this node can't work with it: see the cause.
	Cut
	// Lost: it was heard before and is now silent for the dead time, here and for all who are heard here.
	// It may still run: only fencing says that it does not.
	Lost
	// Left: it said goodbye. Its silence is no failure.
	Left
)

// String returns the state in lower case.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Reachable:
		return "reachable"
	case Suspect:
		return "suspect"
	case Cut:
		return "cut"
	case Lost:
		return "lost"
	case Left:
		return "left"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Cause says why a peer has its state. The list is append-only: it is shown by the client API.
type Cause uint8

const (
	// Heartbeat: heartbeats come.
	Heartbeat Cause = iota
	// Silence: heartbeats do not come.
	Silence
	// Reset: its last stream was closed by the other side without a goodbye, as when its process is killed.
	Reset
	// HeardElsewhere: it is silent here, but another member hears it.
	HeardElsewhere
	// OneWay: it is heard, but does not hear this node on a link on which it is heard.
	OneWay
	// NoStream: heartbeats come, but no stream can be made.
	NoStream
	// Goodbye: it said that it stops.
	Goodbye
	// NeverHeard: nothing came since this process started.
	NeverHeard
)

// String returns a phrase for people.
func (c Cause) String() string {
	switch c {
	case Heartbeat:
		return "heartbeats come"
	case Silence:
		return "no heartbeat on any link"
	case Reset:
		return "its streams were closed without a goodbye"
	case HeardElsewhere:
		return "not heard here, but by other members"
	case OneWay:
		return "heard, but does not hear this node"
	case NoStream:
		return "heartbeats come, but no stream can be made"
	case Goodbye:
		return "it said goodbye"
	case NeverHeard:
		return "not heard since the start"
	}
	return fmt.Sprintf("cause %d", uint8(c))
}

// Event is something that happened. It is one of the types below.
type Event interface{ event() }

// NodeChanged: a peer has another state or cause.
type NodeChanged struct {
	Node     NodeID
	From, To State
	Cause    Cause
	// Incarnation of the process heard last; 0 = none.
	Incarnation Incarnation
}

// NodeRestarted: a peer runs as another process now. All that was asked of the old one is void.
type NodeRestarted struct {
	Node     NodeID
	Old, New Incarnation
}

// LinkChanged: the health of a link to a peer changed. Of a link that flaps not every change is told.
type LinkChanged struct {
	Node  NodeID
	Link  LinkID
	Alarm link.Alarm
}

// RouteChanged: traffic to a peer should use another link. Without OK there is none that works in both
// directions.
type RouteChanged struct {
	Node NodeID
	Link LinkID
	OK   bool
}

// SelfPaused: this process was stopped or starved for the given time. Peers were excused.
type SelfPaused struct{ For time.Duration }

// ViewChanged: the set that should go on together, or what is to be isolated, is another one. See
// [Core.View].
type ViewChanged struct{ Number ViewID }

func (NodeChanged) event()   {}
func (NodeRestarted) event() {}
func (LinkChanged) event()   {}
func (RouteChanged) event()  {}
func (SelfPaused) event()    {}
func (ViewChanged) event()   {}

// OutHeartbeat is a datagram to send. Payload belongs to the receiver of the output.
type OutHeartbeat struct {
	To      NodeID
	Link    LinkID
	Payload []byte
}

// Output is what a Core wants done.
type Output struct {
	// Heartbeats to send, at once. They may be dropped.
	Heartbeats []OutHeartbeat
	// Events in the order in which they happened.
	Events []Event
	// Gone: the goodbye was sent often enough; the process may end.
	Gone bool
}

// ViewID counts the changes of a node's view since its process started.
type ViewID uint64

// View is what this node sees of the cluster.
type View struct {
	Number ViewID
	// Members are all members but this node, ascending by number.
	Members []NodeView
	// Together are the nodes that should go on: fully connected, and a majority of the voters. It is empty
	// when there is no such set. Ascending.
	Together []NodeID
	// Isolate are members outside of Together that may be alive: a partial fault keeps them from working
	// with all of those. They are to be fenced before what runs on them starts elsewhere. It is empty until
	// a member has been outside for five seconds, since it can still be asked and nothing hurries, and never names a node that is Lost, Left or Unknown: those
	// are told by their states.
	Isolate []NodeID
	// Outside: there is such a set, for long enough, and this node is not in it.
	Outside bool
}

// NodeView is what this node sees of a peer.
type NodeView struct {
	Node  NodeID
	State State
	Cause Cause
	// Since is when the state began.
	Since Instant
	// Incarnation and Boot are of the process heard last; 0 and "" when there was none.
	Incarnation Incarnation
	Boot        string
	// Leaving: it was asked to stop. Quorate: it believes to have quorum. Leader: whom it follows, 0 =
	// nobody. Applied: its raft index. All are as of its newest heartbeat.
	Leaving bool
	Quorate bool
	Leader  NodeID
	Applied uint64
	// Losses is how often it was lost since this process started.
	Losses int
	// Stream: a stream to it is open.
	Stream bool
	// HearsUs are the links on which it hears this node.
	HearsUs LinkSet
	// Links to it, ascending.
	Links []LinkView
	// Route is the link to use, valid with HasRoute.
	Route    LinkID
	HasRoute bool
}

// LinkView is the health of one link to a peer.
type LinkView struct {
	Link    LinkID
	State   link.State
	Quality link.Quality
}

// Member returns what is known of a peer; false when it is no member, or is this node itself.
func (v *View) Member(id NodeID) (NodeView, bool) {
	for i := range v.Members {
		if v.Members[i].Node == id {
			return v.Members[i], true
		}
	}
	return NodeView{}, false
}
