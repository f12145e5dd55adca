package runner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/agents"
)

// Version of the protocol. Both ends come from one program file, but a running runner may start a newer one
// after an upgrade; a node process of another version is refused with a clear error.
const Version = 1

// Limits of the protocol.
const (
	// MaxFrame holds the largest metadata or request with room to spare.
	MaxFrame = 4 << 20
	// maxHelloRuns is how many runs one hello names; more follow in further ones.
	maxHelloRuns = 2048
	maxListed    = 16384
	maxError     = 2048
)

// ErrProtocol is in the chain of errors about messages that break the protocol.
var ErrProtocol = errors.New("runner protocol broken")

// Kind says what a message is. The list is append-only.
type Kind uint8

// Kinds of messages.
const (
	KindHello    Kind = 1  // both ways, first
	KindRun      Kind = 2  // node: Run
	KindCancel   Kind = 3  // node: ID
	KindAck      Kind = 4  // node: ID; the result is recorded and need not be kept
	KindMetadata Kind = 5  // node: Seq, Ref
	KindList     Kind = 6  // node: Seq, Class
	KindAudit    Kind = 7  // node: Seq, Record, Durable; without Seq it is not answered
	KindResult   Kind = 8  // runner: Result
	KindAnswer   Kind = 9  // runner: Seq, and Data, Refs or Head, or Error
	KindHead     Kind = 10 // node: Seq; the newest audit record that is on disk
	KindSealKey  Kind = 11 // node: Seq; answered with Data, the public key that stored secrets are sealed to
)

// Message is one frame.
type Message struct {
	Kind    Kind            `cbor:"1,keyasint"`
	Seq     uint64          `cbor:"2,keyasint,omitempty"` // ties an answer to its question
	Hello   *Hello          `cbor:"3,keyasint,omitempty"`
	Run     *agents.Request `cbor:"4,keyasint,omitempty"`
	ID      string          `cbor:"5,keyasint,omitempty"` // of a run
	Ref     *agents.Ref     `cbor:"6,keyasint,omitempty"`
	Class   string          `cbor:"7,keyasint,omitempty"`
	Data    []byte          `cbor:"8,keyasint,omitempty"`
	Refs    []agents.Ref    `cbor:"9,keyasint,omitempty"`
	Record  *Record         `cbor:"10,keyasint,omitempty"`
	Durable bool            `cbor:"11,keyasint,omitempty"`
	Result  *agents.Result  `cbor:"12,keyasint,omitempty"`
	Error   string          `cbor:"13,keyasint,omitempty"`
	Head    *Head           `cbor:"14,keyasint,omitempty"`
}

// Hello opens a connection.
type Hello struct {
	Version int       `cbor:"1,keyasint"`
	Runs    []RunInfo `cbor:"2,keyasint,omitempty"` // from the runner: all that it knows
	More    bool      `cbor:"3,keyasint,omitempty"` // another hello with further runs follows
}

// RunInfo tells a new node process of a run that an earlier one asked for.
type RunInfo struct {
	ID        string           `cbor:"1,keyasint"`
	Resource  string           `cbor:"2,keyasint"`
	Operation agents.Operation `cbor:"3,keyasint"`
	Interval  time.Duration    `cbor:"4,keyasint,omitempty"`
	Timeout   time.Duration    `cbor:"5,keyasint,omitempty"`
	Age       time.Duration    `cbor:"6,keyasint,omitempty"`
	Finished  bool             `cbor:"7,keyasint,omitempty"` // its result follows
}

// Record is an audit record of the node process. Values: strings, integers, booleans, lists, maps with string
// keys.
type Record struct {
	Event string         `cbor:"1,keyasint"`
	Data  map[string]any `cbor:"2,keyasint,omitempty"`
}

// Head names an audit record (audit.Head).
type Head struct {
	Node string `cbor:"1,keyasint"`
	Seq  uint64 `cbor:"2,keyasint"`
	Hash string `cbor:"3,keyasint"`
}

var encoder = mode(cbor.EncOptions{Sort: cbor.SortCoreDeterministic, Time: cbor.TimeRFC3339Nano}.EncMode())

var decoder = mode(cbor.DecOptions{
	DupMapKey:         cbor.DupMapKeyEnforcedAPF,
	IndefLength:       cbor.IndefLengthForbidden,
	TagsMd:            cbor.TagsForbidden,
	MaxNestedLevels:   16,
	MaxArrayElements:  maxListed,
	MaxMapPairs:       4096,
	ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	DefaultMapType:    mapType,
	UTF8:              cbor.UTF8RejectInvalid,
}.DecMode())

// mode unwraps the modes above, whose options are constant: an error is a mistake in this file.
func mode[T any](m T, err error) T {
	if err != nil {
		panic(err)
	}
	return m
}

// encode makes a frame.
func encode(m Message) ([]byte, error) {
	body, err := encoder.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(body) > MaxFrame {
		return nil, fmt.Errorf("message of %d bytes: at most %d", len(body), MaxFrame)
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body))), body...), nil
}

// readMessage reads a frame. The end of the stream between frames is io.EOF; errors about what was read have
// ErrProtocol.
func readMessage(in io.Reader) (Message, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return Message{}, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > MaxFrame {
		return Message{}, fmt.Errorf("frame of %d bytes: 1 to %d: %w", n, MaxFrame, ErrProtocol)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(in, body); err != nil {
		return Message{}, err
	}
	return decode(body)
}

func decode(body []byte) (Message, error) {
	var m Message
	if err := decoder.Unmarshal(body, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	if m.Kind == 0 {
		return Message{}, fmt.Errorf("message without kind: %w", ErrProtocol)
	}
	return m, nil
}

// checkHello checks the first message of the other end.
func checkHello(m Message) error {
	if m.Kind != KindHello || m.Hello == nil {
		return fmt.Errorf("the first message is of kind %d, not a hello: %w", m.Kind, ErrProtocol)
	}
	if m.Hello.Version != Version {
		return fmt.Errorf("it speaks version %d, this process %d: restart quorated so that both are of one release: %w", m.Hello.Version, Version, ErrProtocol)
	}
	return nil
}

// isReset reports whether the other end is gone without a proper end.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrUnexpectedEOF)
}
