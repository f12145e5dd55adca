package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Sizes of frames in bytes.
const (
	frameHeader = 4
	// maxFrame is the largest payload of a frame: with its header it fits one TLS record but for 4 bytes. It bounds
	// how long an urgent message waits for one frame of another.
	maxFrame = 16 << 10
	flagLast = 1
	// frameCost is what a frame takes of the window beside its length, so that empty messages are bounded, too.
	frameCost = 64
	maxJoin   = 64 << 10
	maxText   = 1 << 10
)

// ErrProtocol is wrapped by errors about bytes that no correct peer sends.
var ErrProtocol = errors.New("peer broke the protocol")

type frame struct {
	class transport.Class
	last  bool
	size  int
}

func appendFrame(b []byte, class transport.Class, last bool, payload []byte) []byte {
	flags := byte(0)
	if last {
		flags = flagLast
	}
	b = append(b, byte(class), flags, byte(len(payload)>>8), byte(len(payload)))
	return append(b, payload...)
}

func parseFrame(h [frameHeader]byte) (frame, error) {
	f := frame{class: transport.Class(h[0]), last: h[1]&flagLast != 0, size: int(h[2])<<8 | int(h[3])}
	switch {
	case f.class < transport.ClassControl || f.class > transport.ClassBulk:
		return f, fmt.Errorf("%w: frame of unknown %v", ErrProtocol, f.class)
	case h[1]&^flagLast != 0:
		return f, fmt.Errorf("%w: frame with unknown flags %#02x", ErrProtocol, h[1])
	case f.size > maxFrame:
		return f, fmt.Errorf("%w: frame of %d bytes, at most %d are allowed", ErrProtocol, f.size, maxFrame)
	case f.size == 0 && !f.last:
		return f, fmt.Errorf("%w: empty frame within a message", ErrProtocol)
	}
	return f, nil
}

func maxMessage(c transport.Class) int {
	switch c {
	case transport.ClassControl:
		return transport.MaxControl
	case transport.ClassRaft:
		return transport.MaxRaft
	case transport.ClassClient:
		return transport.MaxClient
	}
	return 0
}

// assembler joins frames to messages, for each class on its own.
type assembler struct {
	parts [transport.ClassBulk + 1][]byte
	// limit overrides the largest size of control messages while joining.
	limit int
}

// read reads one frame from r. done says that msg is a whole message, which the caller owns. Memory is taken as bytes come, never
// as a length promises.
func (a *assembler) read(r io.Reader) (class transport.Class, msg []byte, size int, done bool, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, 0, false, err
	}
	f, err := parseFrame(h)
	if err != nil {
		return 0, nil, 0, false, err
	}
	limit := maxMessage(f.class)
	if f.class == transport.ClassControl && a.limit > 0 {
		limit = a.limit
	}
	if limit == 0 {
		return 0, nil, 0, false, fmt.Errorf("%w: frame of %v on a connection that does not carry it", ErrProtocol, f.class)
	}
	part := a.parts[f.class]
	if len(part)+f.size > limit {
		return 0, nil, 0, false, fmt.Errorf("%w: message of %v with more than %d bytes", ErrProtocol, f.class, limit)
	}
	start := len(part)
	if cap(part)-start < f.size {
		part = append(make([]byte, 0, max(2*start, start+f.size)), part...)
	}
	part = part[:start+f.size]
	if _, err := io.ReadFull(r, part[start:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, 0, false, err
	}
	if !f.last {
		a.parts[f.class] = part
		return f.class, nil, f.size, false, nil
	}
	a.parts[f.class] = nil
	return f.class, part, f.size, true, nil
}

// Kinds of control messages. Append-only.
const (
	kindHello   = 1
	kindRefusal = 2
	kindPing    = 3
	kindPong    = 4
	kindWindow  = 5
	kindResult  = 6
)

const (
	purposeMain = 1
	purposeBulk = 2
)

// Hello is what a node says about itself when it connects.
type Hello struct {
	// MinVersion and MaxVersion are the protocol versions that it speaks; the endpoint fills them, and Link and Seq.
	MinVersion, MaxVersion uint16
	Cluster                transport.ClusterID
	Node                   membership.NodeID
	Name                   membership.NodeName
	Link                   membership.LinkID
	RaftID                 membership.RaftID
	Incarnation            membership.Incarnation
	// Seq is the number that the dialling side gives the connection; it grows with each dial in the life of its process. The answer repeats it.
	Seq uint64
	// Term and Index are those of the last entry of its log.
	Term, Index uint64

	purpose byte
}

func (h *Hello) encode() ([]byte, error) {
	cluster, err := h.Cluster.Bytes()
	if err != nil {
		return nil, err
	}
	if len(h.Name) > membership.MaxNameLength {
		return nil, fmt.Errorf("node name has %d bytes, at most %d are allowed", len(h.Name), membership.MaxNameLength)
	}
	b := []byte{kindHello}
	b = binary.BigEndian.AppendUint16(b, h.MinVersion)
	b = binary.BigEndian.AppendUint16(b, h.MaxVersion)
	b = append(b, h.purpose)
	b = append(b, cluster[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(h.Node))
	b = append(b, byte(h.Link))
	for _, v := range []uint64{uint64(h.RaftID), uint64(h.Incarnation), h.Seq, h.Term, h.Index} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, byte(len(h.Name)))
	return append(b, h.Name...), nil
}

// decoder takes fields from the front of a message. After a field that is not there, bad is set and all fields are zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return make([]byte, n)
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() uint8   { return d.take(1)[0] }
func (d *decoder) u16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

// parseHello decodes a hello, whose kind byte was taken. A hello of a peer that speaks none of the versions from lo to hi is
// not looked at further: its form may differ.
func parseHello(b []byte, lo, hi uint16) (Hello, error) {
	d := decoder{b: b}
	h := Hello{MinVersion: d.u16(), MaxVersion: d.u16()}
	if d.bad || h.MinVersion > h.MaxVersion {
		return h, fmt.Errorf("%w: damaged hello", ErrProtocol)
	}
	if h.MaxVersion < lo || h.MinVersion > hi {
		return h, refuse(RefusedVersion, "the versions %d to %d of the protocol are not among the %d to %d of this node; update the older side",
			h.MinVersion, h.MaxVersion, lo, hi)
	}
	h.purpose = d.u8()
	h.Cluster = transport.ClusterIDFromBytes([transport.ClusterIDSize]byte(d.take(transport.ClusterIDSize)))
	h.Node = membership.NodeID(d.u16())
	h.Link = membership.LinkID(d.u8())
	h.RaftID = membership.RaftID(d.u64())
	h.Incarnation = membership.Incarnation(d.u64())
	h.Seq, h.Term, h.Index = d.u64(), d.u64(), d.u64()
	h.Name = membership.NodeName(d.take(int(d.u8())))
	if d.bad || h.purpose != purposeMain && h.purpose != purposeBulk {
		return h, fmt.Errorf("%w: damaged hello", ErrProtocol)
	}
	if err := h.Name.Validate(); err != nil {
		return h, fmt.Errorf("%w: hello: %w", ErrProtocol, err)
	}
	return h, nil
}

// Refusal is the reason for which a side does not talk to the other. The list is append-only.
type Refusal uint8

// Refusals.
const (
	// RefusedVersion: no common version of the protocol.
	RefusedVersion Refusal = 1
	// RefusedCluster: the other side is of another cluster.
	RefusedCluster Refusal = 2
	// RefusedNode: the node id or name is not the one that the certificate or the member list says.
	RefusedNode Refusal = 3
	// RefusedAddress: the connection comes from an address that is not the node's on that link.
	RefusedAddress Refusal = 4
	// RefusedDuplicate: another process with the same identity is connected and alive.
	RefusedDuplicate Refusal = 5
	// RefusedDirection: the side with the higher node id dialled.
	RefusedDirection Refusal = 6
	// RefusedByOwner: the owner does not accept what the hello says.
	RefusedByOwner Refusal = 7
	// RefusedBusy: no more bulk transfers are taken now, or this member cannot let anybody join.
	RefusedBusy Refusal = 8
	// RefusedJoin: the join request was not granted.
	RefusedJoin Refusal = 9
	// RefusedStale: a newer connection of the same process is there.
	RefusedStale Refusal = 10
	// RefusedRemoved: the node was taken out of the list of peers while it was connected.
	RefusedRemoved Refusal = 11
)

// String returns the name of the refusal.
func (r Refusal) String() string {
	names := [...]string{1: "version", "cluster", "node", "address", "duplicate", "direction", "owner", "busy", "join", "stale", "removed"}
	if r > 0 && int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("refusal %d", uint8(r))
}

// RefusedError says that one side refused the other.
type RefusedError struct {
	Refusal Refusal
	Text    string
	// ByPeer says that the other side refused this one.
	ByPeer bool
}

func (e *RefusedError) Error() string {
	if e.ByPeer {
		return fmt.Sprintf("refused by the peer (%v): %s", e.Refusal, e.Text)
	}
	return fmt.Sprintf("refused (%v): %s", e.Refusal, e.Text)
}

func refuse(r Refusal, format string, args ...any) *RefusedError {
	return &RefusedError{Refusal: r, Text: fmt.Sprintf(format, args...)}
}

func (e *RefusedError) encode() []byte {
	return append([]byte{kindRefusal, byte(e.Refusal)}, cleanText(e.Text)...)
}

func parseRefusal(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: damaged refusal", ErrProtocol)
	}
	return &RefusedError{Refusal: Refusal(b[0]), Text: cleanText(string(b[1:])), ByPeer: true}
}

// cleanText makes a text of a peer safe for logs and terminals: bounded, valid UTF-8, no control characters.
func cleanText(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// JoinRequest is what a joiner asks for. What the fields mean is a matter of the token's owner (keyring.JoinClaim).
type JoinRequest struct {
	Cluster transport.ClusterID
	TokenID [8]byte
	Node    membership.NodeName
	// Request is the certificate request, Info what else the joiner says about itself; each at most MaxJoinBlob bytes.
	Request []byte
	Info    []byte
	Proof   [32]byte
}

// MaxJoinBlob bounds the certificate request and the info of a join request.
const MaxJoinBlob = 16 << 10

func (r *JoinRequest) encode() ([]byte, error) {
	if len(r.Cluster) > 255 || len(r.Node) > 255 || len(r.Request) > MaxJoinBlob || len(r.Info) > MaxJoinBlob {
		return nil, fmt.Errorf("join request is too large: request %d bytes, info %d bytes, at most %d each are allowed", len(r.Request), len(r.Info), MaxJoinBlob)
	}
	b := []byte{1, byte(len(r.Cluster))}
	b = append(b, r.Cluster...)
	b = append(b, r.TokenID[:]...)
	b = append(b, byte(len(r.Node)))
	b = append(b, r.Node...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Request)))
	b = append(b, r.Request...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Info)))
	b = append(b, r.Info...)
	return append(b, r.Proof[:]...), nil
}

func parseJoinRequest(b []byte) (*JoinRequest, error) {
	d := decoder{b: b}
	if v := d.u8(); !d.bad && v != 1 {
		return nil, fmt.Errorf("%w: join request of version %d, must be 1", ErrProtocol, v)
	}
	var r JoinRequest
	r.Cluster = transport.ClusterID(d.take(int(d.u8())))
	r.TokenID = [8]byte(d.take(8))
	r.Node = membership.NodeName(d.take(int(d.u8())))
	r.Request = d.take(min(int(d.u16()), MaxJoinBlob+1))
	r.Info = d.take(min(int(d.u16()), MaxJoinBlob+1))
	r.Proof = [32]byte(d.take(32))
	if d.bad || len(d.b) != 0 || len(r.Request) > MaxJoinBlob || len(r.Info) > MaxJoinBlob {
		return nil, fmt.Errorf("%w: damaged join request", ErrProtocol)
	}
	if _, err := r.Cluster.Bytes(); err != nil {
		return nil, fmt.Errorf("%w: join request: %w", ErrProtocol, err)
	}
	if err := r.Node.Validate(); err != nil {
		return nil, fmt.Errorf("%w: join request: %w", ErrProtocol, err)
	}
	return &r, nil
}
