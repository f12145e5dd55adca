package stream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

func rawChain(cs *tls.ConnectionState) [][]byte {
	var out [][]byte
	for _, c := range cs.PeerCertificates {
		out = append(out, c.Raw)
	}
	return out
}

// baseTLS returns what both sides have in common.
func baseTLS(protocol string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		MaxVersion:             tls.VersionTLS13,
		NextProtos:             []string{protocol},
		SessionTicketsDisabled: true,
	}
}

// clientTLS makes the client's side. verify must say who the server is; crypto/tls itself is told not to, because it wants
// a host name, and would refuse an expired certificate of a member.
func clientTLS(protocol string, cert *tls.Certificate, verify func(*tls.ConnectionState) error) *tls.Config {
	c := baseTLS(protocol)
	c.InsecureSkipVerify = true
	if cert != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.NegotiatedProtocol != protocol {
			return fmt.Errorf("server does not speak %s", protocol)
		}
		return verify(&cs)
	}
	return c
}

// verifyPeer returns the check of the other side's certificates for a session.
func (e *Endpoint) verifyPeer(s *session, role transport.Role) func(*tls.ConnectionState) error {
	return func(cs *tls.ConnectionState) error {
		chain := rawChain(cs)
		id, err := e.cfg.Verify(chain, role)
		if err != nil {
			return err
		}
		s.id, s.chain, s.role = id, chain, role
		return nil
	}
}

// hello returns this node's hello for a connection.
func (e *Endpoint) hello(purpose byte, link membership.LinkID, seq uint64) ([]byte, error) {
	h := e.cfg.Hello()
	h.MinVersion, h.MaxVersion = e.cfg.minVersion, e.cfg.maxVersion
	h.Cluster, h.Node, h.Link, h.Seq, h.purpose = e.cfg.Cluster, e.cfg.Node, link, seq, purpose
	return h.encode()
}

func (s *session) write(class transport.Class, msg []byte) error {
	var buf []byte
	for {
		n := min(len(msg), maxFrame)
		buf = appendFrame(buf, class, n == len(msg), msg[:n])
		msg = msg[n:]
		if len(msg) == 0 {
			_, err := s.tls.Write(buf)
			return err
		}
	}
}

// readControl reads one control message of at most limit bytes.
func (s *session) readControl(limit int) ([]byte, error) {
	asm := assembler{limit: limit}
	for {
		class, msg, _, done, err := asm.read(s.r)
		if err != nil {
			return nil, err
		}
		if class != transport.ClassControl {
			return nil, fmt.Errorf("%w: %v before the hello", ErrProtocol, class)
		}
		if done {
			return msg, nil
		}
	}
}

// readHello reads the other side's hello, or its refusal.
func (e *Endpoint) readHello(s *session) error {
	msg, err := s.readControl(transport.MaxControl)
	if err != nil {
		return err
	}
	switch {
	case len(msg) > 0 && msg[0] == kindRefusal:
		return parseRefusal(msg[1:])
	case len(msg) == 0 || msg[0] != kindHello:
		return fmt.Errorf("%w: no hello", ErrProtocol)
	}
	s.hello, err = parseHello(msg[1:], e.cfg.minVersion, e.cfg.maxVersion)
	s.version = min(s.hello.MaxVersion, e.cfg.maxVersion)
	return err
}

// checkHello checks what both sides check.
func (e *Endpoint) checkHello(s *session, p Peer, link membership.LinkID) error {
	h := &s.hello
	switch {
	case h.Cluster != e.cfg.Cluster:
		return refuse(RefusedCluster, "node %d is of cluster %s, node %d of %s", h.Node, h.Cluster, e.cfg.Node, e.cfg.Cluster)
	case h.Node != s.id.Node:
		return refuse(RefusedNode, "it says that it is node %d, but its certificate is node %d's", h.Node, s.id.Node)
	case h.Node != p.Node:
		return refuse(RefusedNode, "it is node %d, expected was node %d", h.Node, p.Node)
	case s.id.Key != p.Key:
		return refuse(RefusedNode, "its key is not the one that the member list has for node %d", h.Node)
	case h.Name != p.Name:
		return refuse(RefusedNode, "it says that its name is %q, but node %d is %q", h.Name, h.Node, p.Name)
	case h.Link != link:
		return refuse(RefusedAddress, "it connected for link %d at the address of link %d", h.Link, link)
	}
	if e.cfg.CheckHello != nil {
		if err := e.cfg.CheckHello(*h); err != nil {
			return refuse(RefusedByOwner, "%v", err)
		}
	}
	return nil
}

// tell sends a refusal to the other side, if the error is one of this side.
func (s *session) tell(err error) {
	var r *RefusedError
	if errors.As(err, &r) && !r.ByPeer {
		// If it can't be told, the other side sees a closed connection.
		_ = s.write(transport.ClassControl, r.encode())
	}
}

func (s *session) export() error {
	cs := s.tls.ConnectionState()
	b, err := cs.ExportKeyingMaterial(transport.ExportDatagram, nil, transport.ExportSize)
	if err != nil {
		return fmt.Errorf("export the datagram secret: %w", err)
	}
	copy(s.secret[:], b)
	clear(b)
	return nil
}

// connect dials a peer and says hello. The result is ready to use.
func (e *Endpoint) connect(ctx context.Context, p Peer, link membership.LinkID, local netip.Addr, purpose byte) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := e.cfg.Dial(ctx, local, p.Addresses[link])
	if err != nil {
		return nil, err
	}
	s := &session{raw: raw, dialled: true, seq: e.seq.Add(1)}
	stop := context.AfterFunc(ctx, s.close)
	err = e.greet(ctx, s, p, link, purpose)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (e *Endpoint) greet(ctx context.Context, s *session, p Peer, link membership.LinkID, purpose byte) error {
	cert := e.cfg.Credentials().Client
	verify := e.verifyPeer(s, transport.RoleServer)
	s.tls = tls.Client(s.raw, clientTLS(transport.ALPNPeer, &cert, func(cs *tls.ConnectionState) error {
		if err := verify(cs); err != nil {
			return err
		}
		if s.id.Node != p.Node {
			return refuse(RefusedNode, "its certificate is node %d's, expected was node %d", s.id.Node, p.Node)
		}
		return nil
	}))
	if err := s.tls.HandshakeContext(ctx); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := s.raw.SetDeadline(deadline); err != nil {
		return err
	}
	s.r = bufio.NewReaderSize(s.tls, maxFrame)
	h, err := e.hello(purpose, link, s.seq)
	if err != nil {
		return err
	}
	if err := s.write(transport.ClassControl, h); err != nil {
		return err
	}
	if err := e.readHello(s); err != nil {
		s.tell(err)
		return err
	}
	err = e.checkHello(s, p, link)
	if err == nil && (s.hello.Seq != s.seq || s.hello.purpose != purpose) {
		err = fmt.Errorf("%w: the answer is not to this hello", ErrProtocol)
	}
	if err != nil {
		s.tell(err)
		return err
	}
	if err := s.export(); err != nil {
		return err
	}
	return s.raw.SetDeadline(time.Time{})
}

// slots limits handshakes. It is guarded by Endpoint.mu.
type slots struct {
	peers, joins int
	source       map[netip.Addr]int
}

// take takes a place for a connection from a source that is the address of n peers (0: a joiner).
func (s *slots) take(source netip.Addr, n int) bool {
	total, limit, each := &s.peers, maxHandshakes, maxSource*n
	if n == 0 {
		total, limit, each = &s.joins, maxJoins, maxJoinSource
	}
	if *total >= limit || s.source[source] >= each {
		return false
	}
	*total++
	s.source[source]++
	return true
}

func (s *slots) release(source netip.Addr, n int) {
	if n == 0 {
		s.joins--
	} else {
		s.peers--
	}
	if s.source[source]--; s.source[source] == 0 {
		delete(s.source, source)
	}
}

// startListener starts the accept loop of a listener. The caller holds mu.
func (e *Endpoint) startListener(l *listener) {
	e.spawn(func(ctx context.Context) { e.acceptLoop(ctx, l) })
}

func (e *Endpoint) acceptLoop(ctx context.Context, l *listener) {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			if err == nil {
				_ = raw.Close()
			}
			return
		}
		if err != nil {
			// Out of descriptors, or a connection that broke before it was accepted.
			e.report(Report{Link: l.link, Err: fmt.Errorf("accept: %w", err)})
			if !sleep(ctx, maxPause) {
				return
			}
			continue
		}
		e.admit(l, raw)
	}
}

// admit decides by the source address alone whether a connection may begin a handshake.
func (e *Endpoint) admit(l *listener, raw net.Conn) {
	source := remoteAddr(raw)
	joining := e.cfg.Join != nil && e.cfg.Join.Open()
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, p := range e.peers {
		if canonical(p.spec.Addresses[l.link].Addr()) == source.Addr() {
			n++
		}
	}
	switch {
	case !source.IsValid() || n == 0 && !joining:
		e.stats.refusedSource.Add(1)
		_ = raw.Close()
		return
	case !e.slots.take(source.Addr(), n):
		e.stats.refusedBusy.Add(1)
		_ = raw.Close()
		return
	}
	release := func() {
		e.mu.Lock()
		e.slots.release(source.Addr(), n)
		e.mu.Unlock()
	}
	if !e.spawn(func(ctx context.Context) { e.receive(ctx, l, raw, source, n > 0, joining, release) }) {
		e.slots.release(source.Addr(), n)
		_ = raw.Close()
	}
}

// receive runs an accepted connection to its end. release gives its place back when the handshake is over.
func (e *Endpoint) receive(ctx context.Context, l *listener, raw net.Conn, source netip.AddrPort, listed, joining bool, release func()) {
	s := &session{raw: raw}
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	defer s.close()
	released := false
	free := func() {
		if !released {
			released = true
			release()
		}
	}
	defer free()
	fail := func(err error) {
		if ctx.Err() == nil {
			s.tell(err)
			e.report(Report{Link: l.link, Remote: source, Err: err})
		}
	}
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	deadline, _ := hctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		return
	}
	s.tls = tls.Server(raw, e.serverTLS(s, listed, joining))
	s.r = bufio.NewReaderSize(s.tls, maxFrame)
	if err := s.tls.HandshakeContext(hctx); err != nil {
		e.report(Report{Link: l.link, Remote: source, Err: err})
		return
	}
	if s.tls.ConnectionState().NegotiatedProtocol == transport.ALPNJoin {
		if err := e.serveJoin(ctx, s, source); err != nil {
			e.report(Report{Link: l.link, Remote: source, Err: err})
		}
		return
	}
	if err := e.readHello(s); err != nil {
		fail(err)
		return
	}
	p, err := e.checkIncoming(s, l.link, source)
	if err != nil {
		fail(err)
		return
	}
	s.seq = s.hello.Seq
	if err := s.export(); err != nil {
		fail(err)
		return
	}
	if s.hello.purpose == purposeBulk {
		if err := e.takeBulk(s, p, l.link); err != nil {
			fail(err)
			return
		}
		defer e.releaseBulk(s, p, true)
		if err := e.answer(s, l.link, purposeBulk); err != nil {
			fail(err)
			return
		}
		free()
		if err := e.receiveBulk(ctx, s); err != nil {
			fail(err)
		}
		return
	}
	c := e.newConn(p, l.link, s)
	if err := e.displace(c); err != nil {
		fail(err)
		return
	}
	// It is in the books before the peer gets the answer, since from then on the peer may let the connection go that this one replaces.
	if err := e.register(c); err != nil {
		fail(err)
		return
	}
	if err := e.answer(s, l.link, purposeMain); err != nil {
		c.fail(err)
		e.finish(c)
		fail(err)
		return
	}
	free()
	e.announce(c)
	c.serve()
}

// answer sends this node's hello and ends the handshake.
func (e *Endpoint) answer(s *session, link membership.LinkID, purpose byte) error {
	h, err := e.hello(purpose, link, s.seq)
	if err != nil {
		return err
	}
	if err := s.write(transport.ClassControl, h); err != nil {
		return err
	}
	return s.raw.SetDeadline(time.Time{})
}

// checkIncoming finds the peer that a connection is from.
func (e *Endpoint) checkIncoming(s *session, link membership.LinkID, source netip.AddrPort) (*peer, error) {
	e.mu.Lock()
	p := e.peers[s.id.Node]
	var spec Peer
	if p != nil {
		spec = p.spec
	}
	e.mu.Unlock()
	if s.hello.Cluster == e.cfg.Cluster && p == nil {
		return nil, refuse(RefusedNode, "node %d is not in the list of peers", s.id.Node)
	}
	if err := e.checkHello(s, spec, link); err != nil {
		return nil, err
	}
	switch want := canonical(spec.Addresses[link].Addr()); {
	case source.Addr() != want:
		return nil, refuse(RefusedAddress, "it comes from %v, but the address of node %d on link %d is %v", source.Addr(), spec.Node, link, want)
	case s.hello.purpose == purposeMain && spec.Node > e.cfg.Node:
		return nil, refuse(RefusedDirection, "node %d is to dial node %d, not the reverse", e.cfg.Node, spec.Node)
	}
	return p, nil
}

// serverTLS returns the server's side, which depends on what the client asks for and where it comes from.
func (e *Endpoint) serverTLS(s *session, listed, joining bool) *tls.Config {
	outer := baseTLS(transport.ALPNPeer)
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) != 1 {
			return nil, fmt.Errorf("client offers %d protocols, must offer exactly one", len(hello.SupportedProtos))
		}
		switch proto := hello.SupportedProtos[0]; {
		case proto == transport.ALPNPeer && listed:
			c := baseTLS(proto)
			c.Certificates = []tls.Certificate{e.cfg.Credentials().Server}
			c.ClientAuth = tls.RequireAnyClientCert
			verify := e.verifyPeer(s, transport.RoleClient)
			c.VerifyConnection = func(cs tls.ConnectionState) error { return verify(&cs) }
			return c, nil
		case proto == transport.ALPNJoin && joining:
			c := baseTLS(proto)
			c.Certificates = []tls.Certificate{e.cfg.Credentials().Server}
			return c, nil
		default:
			return nil, fmt.Errorf("protocol %.40q is not answered here", proto)
		}
	}
	return outer
}
