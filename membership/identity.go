package membership

import "github.com/quorate/quorate/membership/identity"

// Limits of identities; see package identity for their reasons.
const (
	MaxNameLength = identity.MaxNameLength
	MaxMembers    = identity.MaxMembers
	MaxLinks      = identity.MaxLinks
)

type (
	// NodeName is the name of a node, the uname of the CIB. It is unique in a cluster and
	// case-sensitive.
	NodeName = identity.NodeName
	// NodeID is the small cluster-wide number of a node, at least 1 and never reused.
	NodeID = identity.NodeID
	// RaftID is the identity under which a node takes part in raft; a node that joins with an empty
	// disk gets a new one.
	RaftID = identity.RaftID
	// Incarnation numbers one run of a daemon process, at random. Incarnations have no order.
	Incarnation = identity.Incarnation
	// LinkID numbers a link between nodes, from 0 to MaxLinks-1, the same on all nodes.
	LinkID = identity.LinkID
	// LinkSet is a set of links.
	LinkSet = identity.LinkSet
	// Instant is a moment on the monotonic clock of one process, in nanoseconds.
	Instant = identity.Instant
)

// ErrName is wrapped by all errors about node and link names.
var ErrName = identity.ErrName

// Links returns the set of the given links.
func Links(ids ...LinkID) LinkSet { return identity.Links(ids...) }
