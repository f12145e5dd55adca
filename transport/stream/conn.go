package stream

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// session is a connection whose sides have said hello.
type session struct {
	raw     net.Conn
	tls     *tls.Conn
	r       *bufio.Reader
	hello   Hello // the peer's
	version uint16
	id      transport.Identity
	chain   [][]byte // the peer's certificates
	role    transport.Role
	seq     uint64
	dialled bool
	secret  [transport.ExportSize]byte
}

func (s *session) close() { _ = s.raw.Close() }

// sending is a message of which some frames may have been written.
type sending struct {
	payload []byte
	off     int
	active  bool
}

// conn is a main connection to a peer.
type conn struct {
	*session
	e    *Endpoint
	p    *peer
	link membership.LinkID

	wake   chan struct{} // something to write
	inWake chan struct{} // a client message to handle
	closed chan struct{} // closed by fail
	ended  chan struct{} // closed when the connection is out of the endpoint's books

	// announced says that PeerUp was given, replaced that the connection took the place of one for which it was. Both are guarded by p.events.
	announced, replaced bool

	mu           sync.Mutex // guards the fields below; never held across I/O
	raft, client sending
	run          int // frames of raft in a row while client messages wait
	credit       int // what is left of the peer's window
	outstanding  int // what the peer has taken of our window
	windowDue    int // what is to be given back
	inbox        []clientMessage
	pingDue      bool
	pongDue      bool
	pongToken    uint64
	pingToken    uint64
	pong         chan struct{} // closed when the answer to pingToken came
	draining     bool          // takes no new messages, and ends when those that it has are written
	peerDone     bool          // the peer writes no more (only while draining)
	farewell     []byte        // refusal to be written before the connection ends; what comes from the peer is ignored
	err          error         // why it ended
}

type clientMessage struct {
	payload []byte
	cost    int
}

func (e *Endpoint) newConn(p *peer, link membership.LinkID, s *session) *conn {
	return &conn{
		session: s, e: e, p: p, link: link,
		wake: make(chan struct{}, 1), inWake: make(chan struct{}, 1),
		closed: make(chan struct{}), ended: make(chan struct{}),
		credit: ClientWindow,
	}
}

func (c *conn) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// fail ends the connection for a reason, of which the first counts. It does not wait.
func (c *conn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		close(c.closed)
	}
	c.mu.Unlock()
	if first {
		c.session.close()
	}
}

func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// dismiss ends the connection to a peer that is refused from now on: nothing that it sends counts any more, and it
// is told why, if it takes that within a second.
func (c *conn) dismiss(why *RefusedError) {
	c.mu.Lock()
	if c.farewell == nil {
		c.farewell, c.inbox = why.encode(), nil
	}
	c.mu.Unlock()
	c.kick()
	time.AfterFunc(farewellTimeout, func() { c.fail(ErrRemoved) })
}

func (c *conn) dismissed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.farewell != nil
}

// errDrained ends a replaced connection that has done its work.
var errDrained = errors.New("replaced by a newer connection")

// drain lets the connection finish the messages that it has begun, and then ends it. The dialling side finishes first and says so by closing its
// direction; the other side waits for that, since only the dialling side knows when the new connection is up on both.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	c.mu.Unlock()
	c.kick()
}

// serve runs a registered connection until it ends.
func (c *conn) serve() {
	var wg sync.WaitGroup
	wg.Go(c.writeLoop)
	wg.Go(c.clientLoop)
	c.fail(c.readLoop())
	c.e.finish(c)
	wg.Wait()
}

func (c *conn) readLoop() error {
	var asm assembler
	partCost := 0
	for {
		class, msg, size, done, err := asm.read(c.r)
		if c.dismissed() {
			if err != nil {
				return ErrRemoved
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			c.mu.Lock()
			draining := c.draining
			c.peerDone = true
			c.mu.Unlock()
			if !draining {
				return fmt.Errorf("closed by the peer: %w", err)
			}
			c.kick()
			<-c.closed
			return errDrained
		}
		if err != nil {
			return err
		}
		if class == transport.ClassClient {
			cost := size + frameCost
			partCost += cost
			c.mu.Lock()
			c.outstanding += cost
			over := c.outstanding > ClientWindow
			c.mu.Unlock()
			if over {
				return fmt.Errorf("%w: client messages beyond the window", ErrProtocol)
			}
		}
		if !done {
			continue
		}
		switch class {
		case transport.ClassControl:
			if err := c.handleControl(msg); err != nil {
				return err
			}
		case transport.ClassRaft:
			c.e.cfg.Event(Message{Node: c.p.node, Link: c.link, Class: class, Payload: msg})
		case transport.ClassClient:
			c.mu.Lock()
			c.inbox = append(c.inbox, clientMessage{msg, partCost})
			c.mu.Unlock()
			partCost = 0
			select {
			case c.inWake <- struct{}{}:
			default:
			}
		}
	}
}

func (c *conn) handleControl(msg []byte) error {
	if len(msg) == 0 {
		return fmt.Errorf("%w: empty control message", ErrProtocol)
	}
	d := decoder{b: msg[1:]}
	switch msg[0] {
	case kindRefusal:
		return parseRefusal(msg[1:])
	case kindPing, kindPong:
		token := d.u64()
		c.mu.Lock()
		switch {
		case d.bad:
		case msg[0] == kindPing:
			// One answer is enough: to the newest.
			c.pongDue, c.pongToken = true, token
		case c.pong != nil && token == c.pingToken:
			close(c.pong)
			c.pong = nil
		}
		c.mu.Unlock()
		c.kick()
	case kindWindow:
		n := int(d.u32())
		c.mu.Lock()
		c.credit += n
		d.bad = d.bad || c.credit > ClientWindow
		c.mu.Unlock()
		c.kick()
	default:
		return fmt.Errorf("%w: unexpected control message of kind %d", ErrProtocol, msg[0])
	}
	if d.bad {
		return fmt.Errorf("%w: damaged control message of kind %d", ErrProtocol, msg[0])
	}
	return nil
}

// alive asks the peer's process for a sign of life.
func (c *conn) alive(timeout time.Duration) bool {
	c.mu.Lock()
	if c.pong == nil {
		c.pong = make(chan struct{})
		c.pingToken++
		c.pingDue = true
	}
	answer := c.pong
	c.mu.Unlock()
	c.kick()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-answer:
		return true
	case <-c.closed:
		return false
	case <-timer.C:
		return false
	}
}

// clientLoop handles client messages apart from the reader, so that a slow one holds up nothing else. What waits when the connection is lost
// is dropped, but a replaced connection loses nothing: its messages are handled to the last.
func (c *conn) clientLoop() {
	for {
		over := false
		select {
		case <-c.inWake:
		case <-c.closed:
			over = true
		}
		for {
			m, ok := c.nextClient()
			if !ok {
				break
			}
			c.e.cfg.Event(Message{Node: c.p.node, Link: c.link, Class: transport.ClassClient, Payload: m.payload})
			c.mu.Lock()
			c.windowDue += m.cost
			due := c.windowDue >= ClientWindow/8
			c.mu.Unlock()
			if due {
				c.kick()
			}
		}
		if over {
			return
		}
	}
}

func (c *conn) nextClient() (clientMessage, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil && !errors.Is(c.err, errDrained) {
		c.inbox = nil
	}
	if len(c.inbox) == 0 {
		return clientMessage{}, false
	}
	m := c.inbox[0]
	c.inbox[0] = clientMessage{}
	c.inbox = c.inbox[1:]
	return m, true
}

func (c *conn) writeLoop() {
	var buf []byte
	for {
		var done bool
		if c.dismissed() {
			c.mu.Lock()
			buf = appendFrame(buf[:0], transport.ClassControl, true, c.farewell)
			c.mu.Unlock()
			if c.tls.SetWriteDeadline(time.Now().Add(farewellTimeout)) == nil {
				// If it can't be told, the other side sees a closed connection.
				_, _ = c.tls.Write(buf)
				_ = c.tls.CloseWrite()
			}
			return // the peer closes, or the timer of dismiss
		}
		buf, done = c.gather(buf[:0])
		switch {
		case len(buf) > 0:
			if err := c.tls.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
				c.fail(err)
				return
			}
			if _, err := c.tls.Write(buf); err != nil {
				c.fail(err)
				return
			}
			if cap(buf) > 2*writeBatch {
				buf = nil
			}
		case done:
			c.finishDrain()
			return
		default:
			select {
			case <-c.wake:
			case <-c.closed:
				return
			}
		}
	}
}

// finishDrain closes this direction, and waits a while for the peer to close the other.
func (c *conn) finishDrain() {
	if err := c.tls.CloseWrite(); err != nil {
		c.fail(errDrained)
		return
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	for {
		c.mu.Lock()
		over := c.peerDone
		c.mu.Unlock()
		if over {
			c.fail(errDrained)
			return
		}
		select {
		case <-c.wake:
		case <-c.closed:
			return
		case <-timer.C:
			c.fail(errDrained)
			return
		}
	}
}

// gather appends the frames to be written next: control, then raft, then client messages, up to writeBatch. done says that a draining
// connection has nothing left to write.
func (c *conn) gather(buf []byte) (_ []byte, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return buf, false
	}
	if c.pingDue {
		buf = appendFrame(buf, transport.ClassControl, true, binary.BigEndian.AppendUint64([]byte{kindPing}, c.pingToken))
		c.pingDue = false
	}
	if c.pongDue {
		buf = appendFrame(buf, transport.ClassControl, true, binary.BigEndian.AppendUint64([]byte{kindPong}, c.pongToken))
		c.pongDue = false
	}
	if c.windowDue >= ClientWindow/8 {
		buf = appendFrame(buf, transport.ClassControl, true, binary.BigEndian.AppendUint32([]byte{kindWindow}, uint32(c.windowDue)))
		c.outstanding -= c.windowDue
		c.windowDue = 0
	}
	for len(buf) < writeBatch {
		raft := c.load(&c.raft, transport.ClassRaft)
		client := c.credit >= frameCost+maxFrame && c.load(&c.client, transport.ClassClient)
		switch {
		case raft && (!client || c.run < raftRun):
			buf, _ = c.chunk(buf, &c.raft, transport.ClassRaft)
			if client {
				c.run++
			}
		case client:
			var n int
			buf, n = c.chunk(buf, &c.client, transport.ClassClient)
			c.credit -= n + frameCost
			c.run = 0
		default:
			idle := c.draining && !c.client.active && (c.dialled || c.peerDone)
			// A client message without credit can't be finished here when the peer writes no more.
			stuck := c.draining && c.peerDone
			return buf, len(buf) == 0 && (idle || stuck)
		}
	}
	return buf, false
}

// load makes sure that s holds a message, if there is one.
func (c *conn) load(s *sending, class transport.Class) bool {
	if s.active {
		return true
	}
	if c.draining {
		return false
	}
	m, ok := c.p.out.take(c, class)
	if ok {
		*s = sending{payload: m, active: true}
	}
	return ok
}

// chunk appends the next frame of a message and returns the size of its payload. After the last frame, s is empty.
func (c *conn) chunk(buf []byte, s *sending, class transport.Class) ([]byte, int) {
	n := min(len(s.payload)-s.off, maxFrame)
	last := s.off+n == len(s.payload)
	buf = appendFrame(buf, class, last, s.payload[s.off:s.off+n])
	s.off += n
	if last {
		*s = sending{}
	}
	return buf, n
}

// giveBack returns the messages of a failed connection whose last frame was not handed to a write, so that the peer can't have them. It comes
// before the next connection is chosen, so that order is kept.
func (c *conn) giveBack() {
	c.mu.Lock()
	raft, client := c.raft, c.client
	c.raft, c.client = sending{}, sending{}
	c.mu.Unlock()
	if raft.active {
		c.p.out.giveBack(transport.ClassRaft, raft.payload)
	}
	if client.active {
		c.p.out.giveBack(transport.ClassClient, client.payload)
	}
}
