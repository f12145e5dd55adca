package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Versions of the protocol that this package speaks.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Limits.
const (
	// ClientWindow is how many bytes of client messages may be on their way to a peer or wait there to be handled. It is twice the
	// largest message, so that the next can come while one is handled.
	ClientWindow = 2 * transport.MaxClient
	// maxQueue and maxQueueBytes bound the messages of a class that wait to be sent to a peer. The bytes let two of the
	// largest raft messages wait.
	maxQueue      = 4096
	maxQueueBytes = 2 * transport.MaxRaft
	// maxHandshakes bounds the connections of peers that have not said hello yet.
	maxHandshakes = 64
	// maxSource bounds the same for each configured address of a peer.
	maxSource = 4
	// maxJoins and maxJoinSource bound connections of joiners, in all and for each address.
	maxJoins      = 8
	maxJoinSource = 2
	// maxBulkPeer bounds bulk transfers that come in from one peer at a time.
	maxBulkPeer = 1
	// raftRun is how many frames of raft go ahead of a waiting client frame.
	raftRun = 8
	// writeBatch is how much is gathered for one write. It bounds how long a new urgent message waits for what is
	// already gathered.
	writeBatch = 32 << 10
)

// Times.
const (
	// handshakeTimeout bounds the time from a connection to its hello.
	handshakeTimeout = 5 * time.Second
	// joinTimeout bounds a join after its handshake. Adding a node waits for the cluster's log.
	joinTimeout = 30 * time.Second
	// writeTimeout ends a connection whose peer takes nothing. It is well above the pauses that membership rides out.
	writeTimeout = 10 * time.Second
	// livenessTimeout is how long an old connection may take to answer before a new process with the same identity displaces it.
	livenessTimeout = 500 * time.Millisecond
	// farewellTimeout bounds how long a peer that was removed may take to hear of it.
	farewellTimeout = time.Second
	// drainTimeout bounds how long a replaced connection may take to finish its messages.
	drainTimeout = 5 * time.Second
	// bulkTimeout ends a bulk transfer that makes no progress.
	bulkTimeout = 30 * time.Second
	// minPause, maxPause and pauseGrowth give the pauses between dials. A restarted peer is found again after about a third of the time
	// that it was away, and a peer that is off costs about one dial a second.
	minPause    = 20 * time.Millisecond
	maxPause    = time.Second
	pauseGrowth = 1.5
)

// DefaultBulkRate is the pace of a bulk transfer in bytes per second: a fifteenth of a gigabit link.
const DefaultBulkRate = 8 << 20

// Errors of sending.
var (
	// ErrNoPeer: the node is not one of the peers.
	ErrNoPeer = errors.New("no such peer")
	// ErrNotConnected: there is no connection to the peer.
	ErrNotConnected = errors.New("not connected to the peer")
	// ErrFull: the queue to the peer is full; the message was dropped.
	ErrFull = errors.New("queue to the peer is full")
	// ErrTooLong: the message exceeds the limit of its class.
	ErrTooLong = errors.New("message is too long")
	// ErrClass: messages of this class can't be sent this way.
	ErrClass = errors.New("wrong class of message")
	// ErrStopped: the endpoint is not running any more.
	ErrStopped = errors.New("endpoint is stopped")
)

// Reasons of PeerDown, beside errors of the network and RefusedError.
var (
	// ErrRemoved: the node was taken out of the list of peers, or its key or address changed.
	ErrRemoved = errors.New("peer was removed or changed")
	// ErrLinkDead: the owner called the link dead and there was another one.
	ErrLinkDead = errors.New("link was called dead")
	// ErrDisplaced: the peer's process was gone and a new one connected.
	ErrDisplaced = errors.New("displaced by a new process of the peer")
)

// Credentials are what the endpoint shows. The server's chain must end with the certificate of the CA, which joiners pin.
type Credentials struct {
	Server, Client tls.Certificate
}

// Peer is a member to connect to.
type Peer struct {
	Node membership.NodeID
	Name membership.NodeName
	// Key is the hash of its public key; a connection made with another key is closed.
	Key transport.KeyHash
	// Addresses has its address and port for each link; the zero value where it has none.
	Addresses [membership.MaxLinks]netip.AddrPort
}

// LocalLink is an address of this node.
type LocalLink struct {
	Link membership.LinkID
	// Address is where the node listens, and the address that it dials from (with another port).
	Address netip.AddrPort
}

// Event is one of PeerUp, PeerDown, Message and Report.
type Event interface{ event() }

// PeerUp says that a connection is ready. If the link was up before, the connection replaces the one before.
type PeerUp struct {
	Node  membership.NodeID
	Link  membership.LinkID
	Hello Hello
	// Version is the highest protocol version that both sides speak.
	Version uint16
	// DatagramSecret is the value exported for the datagram keys; its number is Hello.Seq on both sides.
	DatagramSecret [transport.ExportSize]byte
	// Dialled says that this node dialled.
	Dialled bool
	// Alarms are those of the peer's identity.
	Alarms []string
}

// PeerDown says that a connection was lost. Messages that were handed over to be sent may be lost with it.
type PeerDown struct {
	Node membership.NodeID
	Link membership.LinkID
	Seq  uint64
	Err  error
	// Last says that no other connection to the peer is left.
	Last bool
}

// Message is a message from a peer. The payload belongs to the receiver.
type Message struct {
	Node    membership.NodeID
	Link    membership.LinkID
	Class   transport.Class
	Payload []byte
}

// Report says that a connection did not come about, from either side. Reports are limited in number; Stats counts all.
type Report struct {
	Link   membership.LinkID
	Remote netip.AddrPort
	// Node is who was dialled, or 0 for a connection that came in.
	Node membership.NodeID
	Err  error
	// Suppressed is how many reports were left out before this one.
	Suppressed int
}

func (PeerUp) event()   {}
func (PeerDown) event() {}
func (Message) event()  {}
func (Report) event()   {}

// JoinServer answers joiners.
type JoinServer interface {
	// Open reports whether a join token is open. Without one, joiners are treated like anybody whose address is not configured.
	Open() bool
	// Join handles a request. session is the value exported from the TLS session (transport.ExportJoin). The reply is what the joiner
	// gets, at most 64 KiB less one byte; an error's text is shown to the joiner.
	Join(ctx context.Context, source netip.AddrPort, req *JoinRequest, session []byte) (reply []byte, err error)
}

// Config describes an endpoint. Functions may be called by several goroutines at once.
type Config struct {
	Cluster transport.ClusterID
	Node    membership.NodeID
	// Hello returns what this node says about itself now: Name, RaftID, Incarnation, Term, Index. The endpoint fills in the rest.
	Hello func() Hello
	// Credentials returns the certificates to show now.
	Credentials func() Credentials
	// Verify checks a peer's certificates (keyring.Trust.Verify with the present trust and time).
	Verify func(chain [][]byte, role transport.Role) (transport.Identity, error)
	// CheckHello lets the owner refuse a peer for what its hello says; nil accepts all.
	CheckHello func(Hello) error
	// Event takes events.
	Event func(Event)
	// Bulk takes a bulk transfer: header says what it is, r gives the data and fails if the sender gives up. Its error is told to
	// the sender. nil refuses them.
	Bulk func(ctx context.Context, from membership.NodeID, header []byte, r io.Reader) error
	// Join answers joiners; nil means never.
	Join JoinServer
	// BulkRate is the pace of bulk transfers in bytes per second; 0 means DefaultBulkRate.
	BulkRate int

	// Dial and Listen open connections; nil means TCP.
	Dial   func(ctx context.Context, local netip.Addr, remote netip.AddrPort) (net.Conn, error)
	Listen func(at netip.AddrPort) (net.Listener, error)
	// Jitter returns a number in [0,1) that spreads dials; nil means random.
	Jitter func() float64

	// minVersion and maxVersion are changed by tests.
	minVersion, maxVersion uint16
}

func (c *Config) validate() error {
	if _, err := c.Cluster.Bytes(); err != nil {
		return fmt.Errorf("stream endpoint: %w", err)
	}
	switch {
	case c.Node == 0:
		return errors.New("stream endpoint: node id 0 is no node")
	case c.Hello == nil || c.Credentials == nil || c.Verify == nil || c.Event == nil:
		return errors.New("stream endpoint: Hello, Credentials, Verify and Event must be set")
	case c.BulkRate < 0:
		return fmt.Errorf("stream endpoint: bulk rate %d, must not be negative", c.BulkRate)
	}
	if c.BulkRate == 0 {
		c.BulkRate = DefaultBulkRate
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	if c.Listen == nil {
		c.Listen = listenTCP
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.maxVersion == 0 {
		c.minVersion, c.maxVersion = MinVersion, MaxVersion
	}
	return nil
}
