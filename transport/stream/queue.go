package stream

import (
	"sync"

	"github.com/quorate/quorate/transport"
)

// fifo is a bounded queue of messages.
type fifo struct {
	items [][]byte
	bytes int
}

func (q *fifo) push(m []byte) bool {
	if len(q.items) >= maxQueue || len(q.items) > 0 && q.bytes+len(m) > maxQueueBytes {
		return false
	}
	q.items = append(q.items, m)
	q.bytes += len(m)
	return true
}

func (q *fifo) pop() ([]byte, bool) {
	if len(q.items) == 0 {
		return nil, false
	}
	m := q.items[0]
	q.items[0] = nil
	q.items = q.items[1:]
	q.bytes -= len(m)
	if len(q.items) == 0 {
		q.items = nil
	}
	return m, true
}

// unpop puts a message back to the front, beyond the limits: it had room before.
func (q *fifo) unpop(m []byte) {
	q.items = append([][]byte{m}, q.items...)
	q.bytes += len(m)
}

// outbox holds the messages that wait to be sent to a peer. The writer of the active connection takes them.
type outbox struct {
	mu           sync.Mutex // guards the fields below
	raft, client fifo
	active       *conn
	room         chan struct{} // closed when client messages were taken; nil when nobody waits
}

func (o *outbox) queue(class transport.Class) *fifo {
	if class == transport.ClassRaft {
		return &o.raft
	}
	return &o.client
}

// push queues a message. If there is no room, room is closed as soon as there may be some.
func (o *outbox) push(class transport.Class, m []byte) (room <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.active == nil {
		return nil, ErrNotConnected
	}
	if !o.queue(class).push(m) {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		return o.room, ErrFull
	}
	o.active.kick()
	return nil, nil
}

// take gives the next message to the writer of c, if c is the active connection.
func (o *outbox) take(c *conn, class transport.Class) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.active != c {
		return nil, false
	}
	m, ok := o.queue(class).pop()
	if ok {
		o.wake()
	}
	return m, ok
}

func (o *outbox) wake() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// setActive makes c the connection that takes messages; nil drops all that wait.
func (o *outbox) setActive(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active = c
	if c == nil {
		o.raft, o.client = fifo{}, fifo{}
		o.wake()
	} else {
		c.kick()
	}
}

// giveBack puts a message that a failed connection did not send completely to the front, for the connection that follows. If none follows,
// setActive drops it with the rest.
func (o *outbox) giveBack(class transport.Class, m []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.active != nil {
		o.queue(class).unpop(m)
		o.active.kick()
	}
}
