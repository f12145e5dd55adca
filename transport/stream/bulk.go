package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// takeBulk notes a bulk connection that came in.
func (e *Endpoint) takeBulk(s *session, p *peer, link membership.LinkID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.cfg.Bulk == nil:
		return refuse(RefusedBusy, "node %d takes no bulk transfers", e.cfg.Node)
	case p.gone || s.id.Key != p.spec.Key:
		return ErrRemoved
	case p.bulkIn >= maxBulkPeer:
		return refuse(RefusedBusy, "node %d is already taking a bulk transfer of node %d (link %d)", e.cfg.Node, p.node, link)
	}
	p.bulkIn++
	p.bulk[s] = true
	return nil
}

func (e *Endpoint) releaseBulk(s *session, p *peer, in bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(p.bulk, s)
	if in {
		p.bulkIn--
	}
}

// bulkReader gives the data of one message of class bulk.
type bulkReader struct {
	raw  net.Conn
	r    *bufio.Reader
	rest int  // of the present frame
	last bool // the present frame is the last one
	err  error
}

func (b *bulkReader) Read(p []byte) (int, error) {
	for b.err == nil && b.rest == 0 {
		if b.last {
			b.err = io.EOF
			break
		}
		b.err = b.next()
	}
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.r.Read(p[:min(len(p), b.rest)])
	b.rest -= n
	if err != nil {
		b.err = unexpected(err)
	}
	return n, b.err
}

func (b *bulkReader) next() error {
	if err := b.raw.SetReadDeadline(time.Now().Add(bulkTimeout)); err != nil {
		return err
	}
	var h [frameHeader]byte
	if _, err := io.ReadFull(b.r, h[:]); err != nil {
		return unexpected(err)
	}
	f, err := parseFrame(h)
	if err != nil {
		return err
	}
	if f.class != transport.ClassBulk {
		return fmt.Errorf("%w: %v on a bulk connection", ErrProtocol, f.class)
	}
	b.rest, b.last = f.size, f.last
	return nil
}

// unexpected turns the end of the connection, which is not the end of the data, into an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// receiveBulk hands a transfer to the owner and answers with the result.
func (e *Endpoint) receiveBulk(ctx context.Context, s *session) error {
	head := &bulkReader{raw: s.raw, r: s.r}
	header, err := io.ReadAll(io.LimitReader(head, transport.MaxBulkHeader+1))
	if err != nil {
		return fmt.Errorf("bulk transfer from node %d: %w", s.id.Node, err)
	}
	if len(header) > transport.MaxBulkHeader {
		return fmt.Errorf("bulk transfer from node %d: %w: header of more than %d bytes", s.id.Node, ErrProtocol, transport.MaxBulkHeader)
	}
	body := &bulkReader{raw: s.raw, r: s.r}
	err = e.cfg.Bulk(ctx, s.id.Node, header, body)
	if err == nil && body.err != io.EOF {
		// The owner has all that it wants; the end belongs to the protocol.
		_, err = io.Copy(io.Discard, body)
	}
	text := ""
	if err != nil {
		text = cleanText(err.Error())
		if text == "" {
			text = "refused"
		}
	}
	if e := s.raw.SetWriteDeadline(time.Now().Add(writeTimeout)); e != nil {
		return errors.Join(err, e)
	}
	if e := s.write(transport.ClassControl, append([]byte{kindResult}, text...)); e != nil && err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("bulk transfer from node %d: %w", s.id.Node, err)
	}
	return nil
}

// pacer spreads writes so that a rate is kept.
type pacer struct {
	rate int // bytes per second
	next time.Time
}

// wait waits until n more bytes may be sent.
func (p *pacer) wait(ctx context.Context, n int) error {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	if d > 0 && !sleep(ctx, d) {
		return ctx.Err()
	}
	return nil
}

// SendBulk sends data to a peer over a connection of its own, at Config.BulkRate, and returns when the peer has handled it: nil, or
// what went wrong on either side. It waits as long as there is progress; ctx ends it.
func (e *Endpoint) SendBulk(ctx context.Context, node membership.NodeID, header []byte, data io.Reader) error {
	if len(header) > transport.MaxBulkHeader {
		return fmt.Errorf("bulk transfer to node %d: %w: header of %d bytes, at most %d are allowed", node, ErrTooLong, len(header), transport.MaxBulkHeader)
	}
	e.mu.Lock()
	p := e.peers[node]
	if p == nil {
		e.mu.Unlock()
		return fmt.Errorf("bulk transfer to node %d: %w", node, ErrNoPeer)
	}
	if e.ctx == nil || e.stopped {
		e.mu.Unlock()
		return fmt.Errorf("bulk transfer to node %d: %w", node, ErrStopped)
	}
	run := e.ctx
	spec, link, local, ok := e.bulkLink(p)
	e.mu.Unlock()
	if !ok {
		return fmt.Errorf("bulk transfer to node %d: %w", node, ErrNotConnected)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(run, cancel)()
	s, err := e.connect(ctx, spec, link, local, purposeBulk)
	if err != nil {
		return fmt.Errorf("bulk transfer to node %d: %w", node, err)
	}
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	e.mu.Lock()
	if p.gone {
		e.mu.Unlock()
		return fmt.Errorf("bulk transfer to node %d: %w", node, ErrRemoved)
	}
	p.bulk[s] = true
	e.mu.Unlock()
	defer e.releaseBulk(s, p, false)
	err = e.sendBulk(ctx, s, header, data)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("bulk transfer to node %d: %w", node, err)
	}
	return nil
}

// bulkLink chooses the link of a bulk transfer: that of the active connection, so that it goes where the peer is known to be. The caller holds mu.
func (e *Endpoint) bulkLink(p *peer) (Peer, membership.LinkID, netip.Addr, bool) {
	p.out.mu.Lock()
	c := p.out.active
	p.out.mu.Unlock()
	if c == nil || e.listeners[c.link] == nil || !p.spec.Addresses[c.link].IsValid() {
		return Peer{}, 0, netip.Addr{}, false
	}
	return p.spec, c.link, e.listeners[c.link].ip, true
}

func (e *Endpoint) sendBulk(ctx context.Context, s *session, header []byte, data io.Reader) error {
	if err := s.write(transport.ClassBulk, header); err != nil {
		return err
	}
	pace := pacer{rate: e.cfg.BulkRate}
	chunk := make([]byte, maxFrame)
	var buf []byte
	for {
		n, err := io.ReadFull(data, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("read the data: %w", err)
		}
		if err := pace.wait(ctx, n); err != nil {
			return err
		}
		if err := s.raw.SetWriteDeadline(time.Now().Add(bulkTimeout)); err != nil {
			return err
		}
		buf = appendFrame(buf[:0], transport.ClassBulk, last, chunk[:n])
		if _, err := s.tls.Write(buf); err != nil {
			// The receiver may have given up and said why.
			if r := e.readResult(s); r != nil {
				var refused *RefusedError
				if errors.As(r, &refused) {
					return r
				}
			}
			return err
		}
		if last {
			return e.readResult(s)
		}
	}
}

// readResult reads how a transfer went.
func (e *Endpoint) readResult(s *session) error {
	if err := s.raw.SetReadDeadline(time.Now().Add(bulkTimeout)); err != nil {
		return err
	}
	msg, err := s.readControl(transport.MaxControl)
	switch {
	case err != nil:
		return unexpected(err)
	case len(msg) == 1 && msg[0] == kindResult:
		return nil
	case len(msg) > 1 && msg[0] == kindResult:
		return &RefusedError{Refusal: RefusedByOwner, Text: cleanText(string(msg[1:])), ByPeer: true}
	}
	return fmt.Errorf("%w: unexpected answer to a bulk transfer", ErrProtocol)
}
