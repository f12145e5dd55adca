package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quorate/quorate/agents"
)

// ErrGone answers requests when the runner is gone. The node process ends then; it can do nothing without.
var ErrGone = errors.New("the runner is gone")

// ErrFull answers requests that find the queue to the runner full.
var ErrFull = errors.New("too many requests wait for the runner")

// Bounds of what waits to be written.
const (
	clientQueue = 4096
	// ackTime is how long an acknowledgement may wait for a message that it can go with. A result that the runner keeps
	// for longer does no harm, and a message of its own wakes the runner.
	ackTime = time.Second
	// writeBatch is the size in bytes from which on no more messages join one write.
	writeBatch = 64 << 10
)

// Descriptor is the number under which the node process inherits its end of the socket pair; the listening
// API socket, if there is one, is the next.
const Descriptor = 3

// ClientConfig holds what a Client calls. Both are called by the goroutine of Run, one at a time, and must
// not block: they put an event into the loop of the node process.
type ClientConfig struct {
	// OnHello is called once, first: the runs that the runner knows from an earlier node process. The results
	// of those that finished follow.
	OnHello func([]RunInfo)
	// OnResult is called for each result, at least once for each run. The result comes again after a restart,
	// until it was acknowledged (Ack).
	OnResult func(agents.Result)
}

// Client is the node process's end of the connection to the runner. Its methods may be called by several
// goroutines.
type Client struct {
	cfg  ClientConfig
	conn net.Conn
	out  chan Message
	gone chan struct{} // closed when the connection has ended

	flush   chan struct{} // tells the writer that acknowledgements have waited long enough
	acked   *time.Timer   // does it
	mu      sync.Mutex    // guards what follows
	seq     uint64
	waiting map[uint64]chan Message
	acks    []string // ids of runs
}

// NewClient makes a client on a connection. Run must be called for anything to happen.
func NewClient(conn net.Conn, cfg ClientConfig) *Client {
	if cfg.OnHello == nil {
		cfg.OnHello = func([]RunInfo) {}
	}
	if cfg.OnResult == nil {
		cfg.OnResult = func(agents.Result) {}
	}
	c := &Client{cfg: cfg, conn: conn, out: make(chan Message, clientQueue), gone: make(chan struct{}), waiting: map[uint64]chan Message{}, flush: make(chan struct{}, 1)}
	c.acked = time.AfterFunc(ackTime, func() {
		select {
		case c.flush <- struct{}{}:
		default:
		}
	})
	c.acked.Stop()
	return c
}

// Inherited returns the connection that the Supervisor gave to this process.
func Inherited() (net.Conn, error) {
	f := os.NewFile(Descriptor, "runner")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("connection to the runner (descriptor %d): %w: this process is started by quorated, not by hand", Descriptor, err)
	}
	return conn, nil
}

// InheritedListener returns the listening API socket that the Supervisor gave to this process.
func InheritedListener() (net.Listener, error) {
	f := os.NewFile(Descriptor+1, "api")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("API socket (descriptor %d): %w", Descriptor+1, err)
	}
	return l, nil
}

// Run serves the connection until ctx ends (nil) or the runner is gone (ErrGone, or what it did wrong).
func (c *Client) Run(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	var writer sync.WaitGroup
	defer func() {
		cancel()
		stop()
		c.acked.Stop()
		c.conn.Close()
		writer.Wait()
		close(c.gone)
	}()
	frame, err := encode(Message{Kind: KindHello, Hello: &Hello{Version: Version}})
	if err != nil {
		return err
	}
	if _, err := c.conn.Write(frame); err != nil {
		return c.failed(parent, err)
	}
	writer.Go(func() { c.write(ctx) })
	in := bufio.NewReader(c.conn)
	var runs []RunInfo
	for more := true; more; {
		m, err := readMessage(in)
		if err == nil {
			err = checkHello(m)
		}
		if err != nil {
			return c.failed(parent, err)
		}
		runs, more = append(runs, m.Hello.Runs...), m.Hello.More
	}
	c.cfg.OnHello(runs)
	for {
		m, err := readMessage(in)
		if err != nil {
			return c.failed(parent, err)
		}
		switch {
		case m.Kind == KindResult && m.Result != nil:
			c.cfg.OnResult(*m.Result)
		case m.Kind == KindAnswer:
			c.mu.Lock()
			answer := c.waiting[m.Seq]
			delete(c.waiting, m.Seq)
			c.mu.Unlock()
			if answer != nil {
				answer <- m // has room for the one answer
			}
		default:
			return fmt.Errorf("message of kind %d is not for the node process: %w", m.Kind, ErrProtocol)
		}
	}
}

// failed says what the end of the connection means. The parent context is asked, because it ends before those
// made from it.
func (c *Client) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if ended(err) {
		return ErrGone
	}
	return fmt.Errorf("runner: %w", err)
}

func (c *Client) write(ctx context.Context) {
	for {
		var first *Message
		select {
		case <-ctx.Done():
			return
		case <-c.flush:
		case m := <-c.out:
			first = &m
		}
		frames, err := c.gather(first)
		if err == nil && len(frames) > 0 {
			if err = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
				_, err = c.conn.Write(frames)
			}
		}
		if err != nil {
			c.conn.Close() // ends Run
			return
		}
	}
}

// gather makes frames of the acknowledgements, the message first (nil = none), and others that wait.
func (c *Client) gather(first *Message) (frames []byte, err error) {
	add := func(m Message) {
		var frame []byte
		if err == nil {
			frame, err = encode(m)
		}
		frames = append(frames, frame...)
	}
	c.mu.Lock()
	acks := c.acks
	if c.acks = nil; len(acks) > 0 {
		c.acked.Stop()
	}
	c.mu.Unlock()
	for _, id := range acks {
		add(Message{Kind: KindAck, ID: id})
	}
	if first != nil {
		add(*first)
	}
	for err == nil && len(frames) < writeBatch {
		select {
		case m := <-c.out:
			add(m)
			continue
		default:
		}
		break
	}
	return frames, err
}

func (c *Client) send(m Message) error {
	select {
	case <-c.gone:
		return ErrGone
	default:
	}
	select {
	case c.out <- m:
		return nil
	default:
		return ErrFull
	}
}

// Start asks for a run; its result comes by OnResult. The request is not kept, so the caller repeats it after
// ErrFull. A request that could not be sent at all (too large) is an error.
func (c *Client) Start(req agents.Request) error {
	if err := req.Validate(); err != nil {
		return fmt.Errorf("start run: %w", err)
	}
	return c.send(Message{Kind: KindRun, Run: &req})
}

// Cancel asks for the end of a run. Its result, cancelled or another, comes by OnResult.
func (c *Client) Cancel(id string) error { return c.send(Message{Kind: KindCancel, ID: id}) }

// Ack says that the result of the run is recorded in the document, so that the runner forgets it. It goes with the next
// message, or after a second.
func (c *Client) Ack(id string) error {
	select {
	case <-c.gone:
		return ErrGone
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.acks) >= clientQueue {
		return ErrFull
	}
	if c.acks = append(c.acks, id); len(c.acks) == 1 {
		c.acked.Reset(ackTime)
	}
	return nil
}

// Metadata returns the XML text of an agent.
func (c *Client) Metadata(ctx context.Context, ref agents.Ref) ([]byte, error) {
	m, err := c.ask(ctx, Message{Kind: KindMetadata, Ref: &ref})
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// List returns the agents of a class.
func (c *Client) List(ctx context.Context, class string) ([]agents.Ref, error) {
	m, err := c.ask(ctx, Message{Kind: KindList, Class: class})
	if err != nil {
		return nil, err
	}
	return m.Refs, nil
}

// Audit writes a record. If durable is set, it is on disk when Audit returns. The head is that of the record.
func (c *Client) Audit(ctx context.Context, event string, data map[string]any, durable bool) (Head, error) {
	m, err := c.ask(ctx, Message{Kind: KindAudit, Record: &Record{Event: event, Data: data}, Durable: durable})
	if err != nil {
		return Head{}, err
	}
	if m.Head == nil {
		return Head{}, fmt.Errorf("answer without head: %w", ErrProtocol)
	}
	return *m.Head, nil
}

// Note asks for a record, which is not answered. What the audit log refuses is in the runner's log alone, so the record must
// be of a form that it takes.
func (c *Client) Note(event string, data map[string]any) error {
	return c.send(Message{Kind: KindAudit, Record: &Record{Event: event, Data: data}})
}

// SealKey returns the public key to which stored secrets of this node are sealed.
func (c *Client) SealKey(ctx context.Context) ([]byte, error) {
	m, err := c.ask(ctx, Message{Kind: KindSealKey})
	return m.Data, err
}

// Head returns the newest audit record that is on disk, for the replicated document.
func (c *Client) Head(ctx context.Context) (Head, error) {
	m, err := c.ask(ctx, Message{Kind: KindHead})
	if err != nil {
		return Head{}, err
	}
	if m.Head == nil {
		return Head{}, fmt.Errorf("answer without head: %w", ErrProtocol)
	}
	return *m.Head, nil
}

// ask sends a question and waits for its answer.
func (c *Client) ask(ctx context.Context, m Message) (Message, error) {
	answer := make(chan Message, 1)
	c.mu.Lock()
	c.seq++
	m.Seq = c.seq
	c.waiting[m.Seq] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, m.Seq)
		c.mu.Unlock()
	}()
	if err := c.send(m); err != nil {
		return Message{}, err
	}
	select {
	case a := <-answer:
		if a.Error != "" {
			return Message{}, errors.New(a.Error)
		}
		return a, nil
	case <-c.gone:
		return Message{}, ErrGone
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}
