// Package transport holds what the transport packages agree on: the identity of a cluster and of a
// peer in it, the classes of stream messages, and the limits of messages. It opens no socket.
//
// Below it: keyring (certificates, keys and join tokens), datagram (sealed UDP, port 5405) and stream
// (mutual TLS 1.3, port 5404). These three do not import each other; crm/daemon joins them: the keyring's
// verification is given to stream as a function, and the secret that stream exports from a TLS session
// is given to datagram.
package transport

import (
	"encoding/base32"
	"errors"
	"fmt"
	"io"

	"github.com/quorate/quorate/membership"
)

// Default ports. Both are settable for each cluster and link.
const (
	// StreamPort is the TCP port of the streams.
	StreamPort = 5404
	// DatagramPort is the UDP port of the datagrams.
	DatagramPort = 5405
)

// Limits of messages, in bytes.
const (
	// MaxDatagram is the largest payload of a datagram. With 32 bytes of sealing, 8 of UDP and 40 of IPv6 it
	// is 1,280 bytes, which every IPv6 path carries unfragmented (RFC 8200, 5).
	MaxDatagram = 1200
	// MaxControl is the largest message of class Control. Only the hello, refusals and pings use it.
	MaxControl = 4 << 10
	// MaxRaft is the largest message of class Raft. A message carries at least one log entry, and an entry may be a
	// whole document that was loaded from a file.
	MaxRaft = 16 << 20
	// MaxClient is the largest message of class Client.
	MaxClient = 4 << 20
	// MaxBulkHeader is the largest description that goes ahead of a bulk transfer.
	MaxBulkHeader = 64 << 10
)

// ALPN protocol names of the streams (RFC 7301). Everything else is refused.
const (
	// ALPNPeer is spoken between members.
	ALPNPeer = "quorate/1"
	// ALPNJoin is spoken by a node that joins. It is the only one without a client certificate.
	ALPNJoin = "quorate-join/1"
)

// Labels of the values exported from a TLS session (RFC 8446, 7.5).
const (
	// ExportDatagram gives the chain secret of the datagram keys.
	ExportDatagram = "quorate datagram"
	// ExportJoin gives the value over which a joiner proves that it knows the secret of its token.
	ExportJoin = "quorate join"
	// ExportSize is the size of an exported value in bytes.
	ExportSize = 32
)

// Class is the class of a message on a stream. It is the first byte of each frame. A class never waits for
// another one for longer than a few frames. The list is append-only; unknown classes are refused.
type Class uint8

// Classes, in the order of their priority.
const (
	// ClassControl carries the hello, refusals, pings and window updates of the stream package itself.
	ClassControl Class = 1
	// ClassRaft carries raft messages. A message for which there is no room is dropped and reported.
	ClassRaft Class = 2
	// ClassClient carries messages for clients. A sender waits when there is no room.
	ClassClient Class = 3
	// ClassBulk carries a snapshot, on a paced connection of its own.
	ClassBulk Class = 4
)

// String returns the name of the class for logs and messages.
func (c Class) String() string {
	switch c {
	case ClassControl:
		return "control"
	case ClassRaft:
		return "raft"
	case ClassClient:
		return "client"
	case ClassBulk:
		return "bulk"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// ClusterIDSize is the size of the binary form of a ClusterID in bytes.
const ClusterIDSize = 16

// ClusterID names a cluster: 128 random bits, made once by "crm cluster init". The text form is 26 lower-case
// base32 characters (RFC 4648, without padding), so that it is a DNS label: certificates carry it as the host of a URI, and a name
// constraint on that host (RFC 5280, 4.2.1.10) needs a DNS name.
type ClusterID string

// ErrClusterID is wrapped by all errors about the form of a cluster id.
var ErrClusterID = errors.New("invalid cluster id")

var clusterEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewClusterID draws a cluster id from random. It returns the error of random.
func NewClusterID(random io.Reader) (ClusterID, error) {
	var b [ClusterIDSize]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw a cluster id: %w", err)
	}
	return ClusterIDFromBytes(b), nil
}

// ClusterIDFromBytes returns the cluster id with the given binary form.
func ClusterIDFromBytes(b [ClusterIDSize]byte) ClusterID {
	return ClusterID(clusterEncoding.EncodeToString(b[:]))
}

// ParseClusterID checks the text form of a cluster id. There is exactly one text for each id.
func ParseClusterID(s string) (ClusterID, error) {
	id := ClusterID(s)
	if _, err := id.Bytes(); err != nil {
		return "", err
	}
	return id, nil
}

// Bytes returns the binary form. It fails with ErrClusterID if the text is not one that NewClusterID makes.
func (c ClusterID) Bytes() ([ClusterIDSize]byte, error) {
	var b [ClusterIDSize]byte
	if want := clusterEncoding.EncodedLen(ClusterIDSize); len(c) != want {
		return b, fmt.Errorf("%w: %.40q has %d characters, must have %d", ErrClusterID, string(c), len(c), want)
	}
	for i := range len(c) {
		if ch := c[i]; !(ch >= 'a' && ch <= 'z' || ch >= '2' && ch <= '7') {
			return b, fmt.Errorf("%w: %q has %q at position %d; allowed are a-z and 2-7", ErrClusterID, string(c), ch, i+1)
		}
	}
	if _, err := clusterEncoding.Decode(b[:], []byte(c)); err != nil {
		return b, fmt.Errorf("%w: %q: %w", ErrClusterID, string(c), err)
	}
	if ClusterIDFromBytes(b) != c {
		return b, fmt.Errorf("%w: the last character of %q has bits that must be zero", ErrClusterID, string(c))
	}
	return b, nil
}

// KeyHash is the SHA-256 of a public key in its X.509 form (SubjectPublicKeyInfo). The member list holds one for each member: a
// certificate proves an identity only together with the key that the list has for it.
type KeyHash [32]byte

// Role is the side that a certificate is shown by. Each side has a certificate of its own, so that a stolen
// server certificate is no client certificate.
type Role uint8

// Roles of a certificate.
const (
	// RoleServer is the side that accepted the connection.
	RoleServer Role = 1
	// RoleClient is the side that dialled.
	RoleClient Role = 2
)

// String returns the name of the role.
func (r Role) String() string {
	switch r {
	case RoleServer:
		return "server"
	case RoleClient:
		return "client"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Identity is what a verified certificate chain proves.
type Identity struct {
	Node membership.NodeID
	Key  KeyHash
	// Alarms are faults that do not make the peer another one, so it is not refused, but an operator must
	// hear of them: a certificate that expired or is not yet valid.
	Alarms []string
}
