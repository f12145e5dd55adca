// Package identity holds the names, numbers and instants that all membership packages share.
//
// It exists so that membership can be built from detector, link and quorum while these use the same
// types: membership gives every name here again as an alias, and other packages use those. All values
// are plain data, safe for concurrent use.
package identity

import (
	"errors"
	"fmt"
	"time"
)

// Limits of identities. They bound what a heartbeat and the connectivity matrix may hold.
const (
	// MaxNameLength is the longest node or link name, in bytes. It is the longest host name label
	// chain that DNS allows (RFC 1035, 2.3.4).
	MaxNameLength = 255
	// MaxMembers is the largest number of members of a cluster (remote nodes do not count). A row of
	// the connectivity matrix for that many peers on MaxLinks links still fits one heartbeat.
	MaxMembers = 64
	// MaxLinks is the largest number of links between two members. The state of all links to one
	// peer is one byte in a heartbeat.
	MaxLinks = 8
)

// NodeName is the name of a node, the uname of the CIB. It is unique in a cluster and case-sensitive.
type NodeName string

// NodeID is the small number of a node. It is assigned once by the document, at least 1, and never
// reused in the life of the cluster. Datagrams and the connectivity matrix use it. Zero is no node.
type NodeID uint16

// RaftID is the identity under which a node takes part in raft. A node that joins with an empty
// disk gets a new one, so that it can't vote again in a term in which its lost self may have voted.
// Zero is no identity.
type RaftID uint64

// Incarnation numbers one run of a daemon process. The shell draws it at random at start. Two equal
// values are the same run; values have no order. Zero means unknown.
type Incarnation uint64

// LinkID numbers a link (corosync: ring) from 0 to MaxLinks-1. It is the same on all nodes.
type LinkID uint8

// Instant is a moment on the monotonic clock of one process: nanoseconds since an origin that the
// process chose at its start. Instants of different processes can't be compared.
type Instant int64

// Add returns the instant d after i. It stays at the end of the range instead of wrapping.
func (i Instant) Add(d time.Duration) Instant {
	s := i + Instant(d)
	if d > 0 && s < i {
		return 1<<63 - 1
	}
	if d < 0 && s > i {
		return -1 << 63
	}
	return s
}

// Sub returns the time from o to i. It is negative when i is earlier than o.
func (i Instant) Sub(o Instant) time.Duration { return time.Duration(i - o) }

// Before reports whether i is earlier than o.
func (i Instant) Before(o Instant) bool { return i < o }

// After reports whether i is later than o.
func (i Instant) After(o Instant) bool { return i > o }

// ErrName is wrapped by all errors about node and link names.
var ErrName = errors.New("invalid name")

// Validate reports why a text can't be the name of a node. Names go into environment variables,
// file names and command lines, so they are ASCII letters, digits, '-', '_' and '.', and begin with
// a letter or digit.
func (n NodeName) Validate() error { return validateName("node", string(n)) }

func validateName(what, s string) error {
	if s == "" {
		return fmt.Errorf("%w: the %s name is empty", ErrName, what)
	}
	if len(s) > MaxNameLength {
		return fmt.Errorf("%w: the %s name has %d bytes, at most %d are allowed", ErrName, what, len(s), MaxNameLength)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '_' || c == '.'):
		default:
			return fmt.Errorf("%w: %s name %q has %q at position %d; allowed are ASCII letters and digits and, not first, '-', '_' and '.'",
				ErrName, what, s, c, i+1)
		}
	}
	return nil
}

// LinkSet is a set of links: bit i is link i.
type LinkSet uint8

// Links returns the set of the given links. A link number of MaxLinks or more is left out.
func Links(ids ...LinkID) LinkSet {
	var s LinkSet
	for _, l := range ids {
		s = s.With(l)
	}
	return s
}

// Has reports whether the set contains the link.
func (s LinkSet) Has(l LinkID) bool { return l < MaxLinks && s&(1<<l) != 0 }

// With returns the set with the link added; a link number of MaxLinks or more adds nothing.
func (s LinkSet) With(l LinkID) LinkSet {
	if l >= MaxLinks {
		return s
	}
	return s | 1<<l
}

// Without returns the set with the link taken out.
func (s LinkSet) Without(l LinkID) LinkSet {
	if l >= MaxLinks {
		return s
	}
	return s &^ (1 << l)
}

// IDs returns the links of the set in ascending order.
func (s LinkSet) IDs() []LinkID {
	var ids []LinkID
	for l := LinkID(0); l < MaxLinks; l++ {
		if s.Has(l) {
			ids = append(ids, l)
		}
	}
	return ids
}
