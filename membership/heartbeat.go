package membership

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/membership/detector"
)

// MaxHeartbeat is the largest payload of a heartbeat in bytes. With the headers of the datagram layer, UDP
// and IPv6 it stays below 1,280 bytes, which every path must carry (RFC 8200, 5).
const MaxHeartbeat = 1100

// heartbeatVersion is the first byte of a heartbeat. Another version is refused; a new one needs a feature
// level that all members have.
const heartbeatVersion = 1

// Flags of a heartbeat. The list is append-only; unknown flags are ignored.
const (
	flagLeaving byte = 1 << iota // the node was asked to stop
	flagGoodbye                  // the node stops now: its silence is no failure
	flagQuorate                  // the node believes that it has quorum
	flagEcho                     // the echo fields are there
)

// ErrHeartbeat is wrapped by all errors about received heartbeats.
var ErrHeartbeat = errors.New("invalid heartbeat")

// maxAge bounds the age of a row on the wire; an older one is of no use to anybody.
const maxAge = time.Minute

// heartbeat is the content of one datagram. Its form on the wire, where u means an unsigned varint
// (encoding/binary):
//
//	byte version (1), byte flags
//	8 bytes incarnation, big endian, not 0
//	u sequence, counted per peer and link from 1
//	u sent: microseconds on the sender's clock
//	when flagEcho: u echo: the newest "sent" that came from the receiver over this link;
//	               u held: microseconds from its arrival to this sending
//	u interval: milliseconds to the next heartbeat, as promised
//	u leader (0 = none), u applied: raft index
//	u length of the boot mark, its bytes
//	u number of rows, each: u node, u age in milliseconds,
//	    u number of peers heard, each: u number minus that of the one before (from 0), byte links
//	    u number of peers without stream, each: u number minus that of the one before (from 0)
//
// Rows are sorted by node except the first, which is the sender's own. Nothing may follow.
type heartbeat struct {
	flags       byte
	incarnation Incarnation
	seq         uint64
	sent        uint64
	echo, held  uint64 // valid with flagEcho
	interval    time.Duration
	leader      NodeID
	applied     uint64
	boot        string
	rows        []wireRow
}

type wireRow struct {
	row Row
	age time.Duration
}

// appendHead appends all but the rows.
func (h *heartbeat) appendHead(b []byte) []byte {
	b = append(b, heartbeatVersion, h.flags)
	b = binary.BigEndian.AppendUint64(b, uint64(h.incarnation))
	b = binary.AppendUvarint(b, h.seq)
	b = binary.AppendUvarint(b, h.sent)
	if h.flags&flagEcho != 0 {
		b = binary.AppendUvarint(b, h.echo)
		b = binary.AppendUvarint(b, h.held)
	}
	b = binary.AppendUvarint(b, uint64(h.interval/time.Millisecond))
	b = binary.AppendUvarint(b, uint64(h.leader))
	b = binary.AppendUvarint(b, h.applied)
	b = binary.AppendUvarint(b, uint64(len(h.boot)))
	return append(b, h.boot...)
}

// maxHead is the largest size of what appendHead appends, with the number of rows.
const maxHead = 2 + 8 + 4*10 + 3 + 3 + 10 + 1 + MaxBoot + 1

// maxRow is the largest size of a row: every member is heard on all links and has no stream.
const maxRow = 3 + 3 + 1 + (MaxMembers-1)*(3+1) + 1 + (MaxMembers-1)*3

// A heartbeat always has room for the sender's own row.
const _ = uint(MaxHeartbeat - maxHead - maxRow)

func appendRow(b []byte, r *Row, age time.Duration) []byte {
	b = binary.AppendUvarint(b, uint64(r.Node))
	b = binary.AppendUvarint(b, uint64(min(max(age, 0), maxAge)/time.Millisecond))
	b = binary.AppendUvarint(b, uint64(len(r.Heard)))
	last := NodeID(0)
	for _, h := range r.Heard {
		b = binary.AppendUvarint(b, uint64(h.Node-last))
		b = append(b, byte(h.Links))
		last = h.Node
	}
	b = binary.AppendUvarint(b, uint64(len(r.NoStream)))
	last = 0
	for _, n := range r.NoStream {
		b = binary.AppendUvarint(b, uint64(n-last))
		last = n
	}
	return b
}

// reader takes a heartbeat apart. The first error stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrHeartbeat, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

func (r *reader) byte(what string) byte {
	if r.err != nil {
		return 0
	}
	if len(r.b) == 0 {
		r.fail("it ends before %s", what)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// uint reads a varint of at most limit.
func (r *reader) uint(what string, limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("it ends in %s, or that number is too long", what)
		return 0
	}
	r.b = r.b[n:]
	if v > limit {
		r.fail("%s is %d, at most %d is possible", what, v, limit)
		return 0
	}
	return v
}

// nodes reads ascending node numbers; each calls f.
func (r *reader) nodes(what string, f func(NodeID)) {
	n := r.uint(what, MaxMembers)
	last := uint64(0)
	for i := uint64(0); i < n && r.err == nil; i++ {
		step := r.uint(what, 1<<16-1)
		if r.err == nil && (step == 0 || last+step > 1<<16-1) {
			r.fail("the nodes among %s are not ascending numbers from 1 to 65535", what)
		}
		last += step
		if r.err == nil {
			f(NodeID(last))
		}
	}
}

// decodeHeartbeat reads the payload of a heartbeat.
func decodeHeartbeat(b []byte) (*heartbeat, error) {
	if len(b) > MaxHeartbeat {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are possible", ErrHeartbeat, len(b), MaxHeartbeat)
	}
	r := &reader{b: b}
	if v := r.byte("its version"); r.err == nil && v != heartbeatVersion {
		return nil, fmt.Errorf("%w: its version is %d, this program knows version %d", ErrHeartbeat, v, heartbeatVersion)
	}
	h := &heartbeat{flags: r.byte("its flags")}
	if r.err == nil && len(r.b) < 8 {
		r.fail("it ends in the incarnation")
	}
	if r.err == nil {
		h.incarnation = Incarnation(binary.BigEndian.Uint64(r.b))
		r.b = r.b[8:]
	}
	const any64 = 1<<64 - 1
	h.seq = r.uint("the sequence", any64)
	h.sent = r.uint("the time of sending", any64)
	if h.flags&flagEcho != 0 {
		h.echo = r.uint("the echo", any64)
		h.held = r.uint("the held time", any64)
	}
	h.interval = time.Duration(r.uint("the interval", uint64(detector.MaxInterval/time.Millisecond))) * time.Millisecond
	h.leader = NodeID(r.uint("the leader", 1<<16-1))
	h.applied = r.uint("the applied index", any64)
	n := r.uint("the length of the boot mark", MaxBoot)
	if r.err == nil && n > uint64(len(r.b)) {
		r.fail("it ends in the boot mark")
	}
	if r.err == nil {
		h.boot = string(r.b[:n])
		r.b = r.b[n:]
	}
	rows := r.uint("the number of rows", MaxMembers)
	for i := uint64(0); i < rows && r.err == nil; i++ {
		var w wireRow
		w.row.Node = NodeID(r.uint("the node of a row", 1<<16-1))
		w.age = time.Duration(r.uint("the age of a row", uint64(maxAge/time.Millisecond))) * time.Millisecond
		if r.err == nil && w.row.Node == 0 {
			r.fail("a row is of node 0")
		}
		r.nodes("peers heard", func(id NodeID) {
			w.row.Heard = append(w.row.Heard, Heard{Node: id, Links: LinkSet(r.byte("the links of a peer"))})
		})
		r.nodes("peers without stream", func(id NodeID) { w.row.NoStream = append(w.row.NoStream, id) })
		h.rows = append(h.rows, w)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes follow its end", len(r.b))
	}
	if r.err == nil && h.incarnation == 0 {
		r.fail("the incarnation is 0")
	}
	if r.err == nil && h.seq == 0 {
		r.fail("the sequence is 0")
	}
	if r.err == nil && h.interval == 0 {
		r.fail("the interval is 0")
	}
	if r.err == nil && len(h.rows) == 0 {
		r.fail("it has no row of its sender")
	}
	if r.err != nil {
		return nil, r.err
	}
	return h, nil
}
