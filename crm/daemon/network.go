package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
	"github.com/quorate/quorate/transport/datagram"
	"github.com/quorate/quorate/transport/keyring"
	"github.com/quorate/quorate/transport/stream"
)

// maxSnapshot bounds a snapshot that comes from a peer, in bytes.
const maxSnapshot = 1 << 30

// snapshotHeader describes a bulk transfer that carries a raft snapshot message.
var snapshotHeader = []byte("raft snapshot 1")

// network joins streams and datagrams to the node.
type network struct {
	d      *instance
	stream *stream.Endpoint
	hub    *datagram.Hub
	judged map[membership.NodeID]membership.Incarnation // whose hello was found good; only the loop touches it

	mu      sync.Mutex // guards what follows
	ids     map[membership.RaftID]membership.NodeID
	raft    map[membership.NodeID]membership.RaftID
	seen    map[membership.NodeID]membership.Incarnation
	trust   keyring.Trust
	shown   stream.Credentials
	alarms  map[membership.NodeID][]string // about the certificates that connected peers showed
	up      map[membership.NodeID]bool     // connected peers
	refused map[netip.Addr]refused
	gone    map[membership.NodeID]bool // members that said that this node was removed
	layout  layout
	sockets map[membership.LinkID]openSocket
	group   sync.WaitGroup
	ctx     context.Context
	failed  bool // some socket could not be opened: to be tried again
}

// layout is where everybody is.
type layout struct {
	links   []string
	members []node.Known
	stream  uint16
	dgram   uint16
}

type openSocket struct {
	at   netip.AddrPort
	stop context.CancelFunc
	done chan struct{}
}

func newNetwork(d *instance, known layout) (*network, error) {
	n := &network{d: d, ids: map[membership.RaftID]membership.NodeID{}, raft: map[membership.NodeID]membership.RaftID{},
		seen: map[membership.NodeID]membership.Incarnation{}, judged: map[membership.NodeID]membership.Incarnation{}, alarms: map[membership.NodeID][]string{}, up: map[membership.NodeID]bool{}, gone: map[membership.NodeID]bool{}, refused: map[netip.Addr]refused{}, sockets: map[membership.LinkID]openSocket{}}
	var err error
	if n.shown, err = credentials(d.id); err != nil {
		return nil, err
	}
	if n.hub, err = datagram.NewHub(datagram.HubConfig{Local: d.id.ID, Now: d.loop.now, Receive: n.receive}); err != nil {
		return nil, err
	}
	n.stream, err = stream.New(stream.Config{
		Cluster: d.id.Cluster, Node: d.id.ID,
		Hello: func() stream.Hello {
			d.loop.mu.Lock()
			h := d.loop.hello
			d.loop.mu.Unlock()
			return stream.Hello{Name: membership.NodeName(d.name), RaftID: h.ID, Incarnation: d.loop.incarnation, Term: h.Term, Index: h.Last}
		},
		Credentials: func() stream.Credentials {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.shown
		},
		Verify: func(chain [][]byte, role transport.Role) (transport.Identity, error) {
			n.mu.Lock()
			t := n.trust
			n.mu.Unlock()
			return t.Verify(chain, role, time.Now())
		},
		Event: n.event,
		Bulk:  n.bulk,
		Join:  joins{d},
	})
	if err != nil {
		return nil, err
	}
	l := known
	if s := d.loop.state; len(s.Members) > 0 {
		l = layoutOf(s)
	}
	if err := n.trustIn(l, d.id.CAs); err != nil {
		return nil, err
	}
	n.layout = l
	return n, nil
}

func layoutOf(s *command.State) layout {
	l := layout{links: s.Links, stream: streamPort(s), dgram: datagramPort(s)}
	for i := range s.Members {
		m := &s.Members[i]
		if !m.Removed {
			l.members = append(l.members, node.Known{Name: m.Name, Node: membership.NodeID(m.NodeID), Raft: membership.RaftID(m.RaftID),
				Key: m.Key, Links: linksOf(s, m.Name)})
		}
	}
	return l
}

// credentials are what this node shows on streams. The server's chain ends with the CA, which joiners pin.
func credentials(id *keyring.Node) (stream.Credentials, error) {
	if len(id.CAs) == 0 {
		return stream.Credentials{}, errors.New("no CA certificate is stored")
	}
	return stream.Credentials{
		Server: tls.Certificate{Certificate: [][]byte{id.Server, id.CAs[0]}, PrivateKey: id.Key},
		Client: tls.Certificate{Certificate: [][]byte{id.Client}, PrivateKey: id.Key},
	}, nil
}

// knownPeers reads what a joining node was told; it counts until the node has the document.
func (d *instance) knownPeers() (layout, error) {
	l := layout{stream: transport.StreamPort, dgram: transport.DatagramPort}
	data, err := os.ReadFile(d.paths.peersFile())
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	var r joinReply
	if err := cbor.Unmarshal(data, &r); err != nil {
		return l, fmt.Errorf("%s: %w", d.paths.peersFile(), err)
	}
	if r.Stream > 0 {
		l.stream = r.Stream
	}
	if r.Dgram > 0 {
		l.dgram = r.Dgram
	}
	l.links = r.Links
	for _, m := range r.Members {
		l.members = append(l.members, node.Known{Name: m.Name, Node: membership.NodeID(m.Node), Raft: membership.RaftID(m.Raft), Key: m.Key, Links: m.Links})
	}
	return l, nil
}

// trustIn takes over whom to believe.
func (n *network) trustIn(l layout, cas [][]byte) error {
	certs, err := keyring.ParseCAs(cas)
	if err != nil {
		return err
	}
	t := keyring.Trust{Cluster: n.d.id.Cluster, CAs: certs, Members: map[membership.NodeID]transport.KeyHash{}}
	ids := map[membership.RaftID]membership.NodeID{}
	raft := map[membership.NodeID]membership.RaftID{}
	for _, m := range l.members {
		t.Members[m.Node] = transport.KeyHash(sha256.Sum256(m.Key))
		ids[m.Raft], raft[m.Node] = m.Node, m.Raft
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trust, n.ids, n.raft = t, ids, raft
	return nil
}

// Run works until ctx ends.
func (n *network) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.mu.Lock()
	n.ctx = ctx
	l := n.layout
	n.mu.Unlock()
	ran := make(chan error, 1)
	go func() { ran <- n.stream.Run(ctx) }()
	if err := n.apply(l, true); err != nil {
		cancel()
		<-ran
		n.group.Wait()
		return err
	}
	err := <-ran
	cancel()
	n.group.Wait()
	return err
}

// apply opens this node's sockets and tells streams and datagrams where the peers are. Only the first call
// fails, for a port that is taken: later a link that cannot be opened is a warning, since the others go on, and so
// is an address that the machine does not have, since at boot it may come later.
func (n *network) apply(l layout, first bool) error {
	var local []stream.LocalLink
	sockets := map[membership.LinkID]netip.AddrPort{}
	var peers []stream.Peer
	var dpeers []datagram.Peer
	for _, m := range l.members {
		p := stream.Peer{Node: m.Node, Name: membership.NodeName(m.Name), Key: transport.KeyHash(sha256.Sum256(m.Key))}
		dp := datagram.Peer{Node: m.Node}
		for _, link := range m.Links {
			at := slices.Index(l.links, link.Link)
			if at < 0 || at >= membership.MaxLinks {
				continue
			}
			a, err := netip.ParseAddr(link.Address)
			if err != nil {
				n.d.log.Warn("address of a node is not usable", "peer", m.Name, "link", link.Link, "address", link.Address)
				continue
			}
			p.Addresses[at] = netip.AddrPortFrom(a, l.stream)
			dp.Addresses[at] = netip.AddrPortFrom(a, l.dgram)
			if m.Node == n.d.id.ID {
				if bind, ok := n.d.config.Bind[link.Link]; ok {
					if b, err := netip.ParseAddr(bind); err == nil {
						a = b
					}
				}
				local = append(local, stream.LocalLink{Link: membership.LinkID(at), Address: netip.AddrPortFrom(a, l.stream)})
				sockets[membership.LinkID(at)] = netip.AddrPortFrom(a, l.dgram)
			}
		}
		if m.Node != n.d.id.ID {
			peers = append(peers, p)
			dpeers = append(dpeers, dp)
		}
	}
	var errs []error
	if err := n.stream.SetLinks(local); err != nil {
		errs = append(errs, err)
	}
	if err := n.listen(sockets); err != nil {
		errs = append(errs, err)
	}
	if err := n.stream.SetPeers(peers); err != nil {
		errs = append(errs, err)
	}
	if err := n.hub.SetPeers(dpeers); err != nil {
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	n.mu.Lock()
	n.failed = err != nil
	n.mu.Unlock()
	if err != nil && first && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return &ConfigError{portError(err)}
	}
	if err != nil {
		n.d.log.Warn("network settings", "error", portError(err))
	}
	return nil
}

// portError says what to do about a socket that cannot be opened.
func portError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: another program has the port; \"ss -lntup\" shows which one", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: no interface of this machine has the address (yet); \"ip address\" shows those that it has", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: ports below 1024 are for root alone; set another one in [cluster.ports]", err)
	}
	return err
}

// listen opens the datagram sockets of the links and closes those that are not wanted any more.
func (n *network) listen(want map[membership.LinkID]netip.AddrPort) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for link, s := range n.sockets {
		if want[link] != s.at {
			s.stop()
			<-s.done
			delete(n.sockets, link)
		}
	}
	var errs []error
	for link, at := range want {
		if _, open := n.sockets[link]; open {
			continue
		}
		socket, err := n.hub.Listen(link, at)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ctx, stop := context.WithCancel(n.ctx)
		s := openSocket{at: at, stop: stop, done: make(chan struct{})}
		n.sockets[link] = s
		n.group.Go(func() {
			defer close(s.done)
			if err := socket.Run(ctx); err != nil {
				n.d.log.Warn("datagram socket", "address", at, "error", err)
			}
		})
	}
	return errors.Join(errs...)
}

// event takes an event of the streams.
func (n *network) event(e stream.Event) {
	d := n.d
	switch e := e.(type) {
	case stream.PeerUp:
		n.mu.Lock()
		fresh := n.seen[e.Node] != e.Hello.Incarnation
		n.seen[e.Node] = e.Hello.Incarnation
		n.up[e.Node], n.alarms[e.Node] = true, e.Alarms
		delete(n.gone, e.Node)
		n.accepted(e.Node)
		n.mu.Unlock()
		d.wakeRounds()
		if err := n.hub.Install(e.Node, datagram.Chain{Secret: e.DatagramSecret, Seq: e.Hello.Seq, Fresh: fresh}); err != nil {
			d.log.Warn("datagram keys", "peer", string(e.Hello.Name), "error", err)
		}
		for _, alarm := range e.Alarms {
			d.log.Warn("certificate of a peer", "peer", string(e.Hello.Name), "alarm", alarm)
		}
		d.log.Debug("stream is up", "peer", string(e.Hello.Name), "link", int(e.Link))
		d.loop.post(func() {
			// One process loses nothing while it runs; and hellos of its connections may overtake one another, so
			// that a later one shows less.
			if n.judged[e.Node] != e.Hello.Incarnation {
				if err := d.loop.n.Observe(replica.Hello{ID: e.Hello.RaftID, Term: e.Hello.Term, Last: e.Hello.Index}); err != nil {
					d.log.Error("peer is refused", "peer", string(e.Hello.Name), "error", err)
				} else {
					n.judged[e.Node] = e.Hello.Incarnation
				}
			}
			d.loop.n.StreamUp(d.loop.now(), e.Node, e.Link)
		})
	case stream.PeerDown:
		var refused *stream.RefusedError
		if errors.As(e.Err, &refused) && refused.ByPeer && refused.Refusal == stream.RefusedRemoved {
			n.dismissed(e.Node)
		}
		if e.Last {
			n.mu.Lock()
			delete(n.up, e.Node)
			delete(n.alarms, e.Node)
			n.mu.Unlock()
			d.hands.lost(e.Node)
		}
		d.log.Debug("stream is down", "peer", int(e.Node), "link", int(e.Link), "error", e.Err)
		d.loop.post(func() {
			d.loop.n.StreamDown(d.loop.now(), e.Node, e.Link, closedByPeer(e.Err))
			if e.Last {
				if id := n.raftOf(e.Node); id != 0 {
					d.loop.n.Unreachable(d.loop.now(), id)
				}
			}
		})
	case stream.Message:
		if e.Class == transport.ClassClient {
			if handMessage(e.Payload) {
				d.hands.take(n.ctx, e.Node, e.Payload)
			} else {
				d.authority.take(e.Node, e.Payload, time.Now())
			}
			return
		}
		m := &raftpb.Message{}
		if err := proto.Unmarshal(e.Payload, m); err != nil {
			d.log.Warn("malformed raft message", "peer", int(e.Node), "error", err)
			return
		}
		n.step(e.Node, m, nil)
	case stream.Report:
		d.log.Debug("no connection", "remote", e.Remote, "peer", int(e.Node), "error", e.Err, "suppressed", e.Suppressed)
		if why := refusal(e); why != "" && n.refuses(e.Remote.Addr(), why, time.Now()) {
			d.log.Warn("connection refused", "remote", e.Remote, "peer", int(e.Node), "reason", why)
		}
	}
}

// refused is the newest reason for which a machine was not talked to, or did not talk to this node.
type refused struct {
	text                string
	first, seen, logged time.Time
}

// Bounds of what is told of refused connections.
const (
	maxRefused   = 64               // machines
	refusedAgain = 10 * time.Minute // after which the same reason is logged again
	refusedFresh = 30 * time.Second // for which it counts as a present fault
	refusedAfter = 5 * time.Second  // for which a reason must hold: while a member starts, it takes no connections for a moment
)

// refusal says why the other machine is not who it must be; "" where it may just be away.
func refusal(e stream.Report) string {
	var r *stream.RefusedError
	if errors.As(e.Err, &r) {
		if r.Refusal == stream.RefusedStale || r.Refusal == stream.RefusedBusy {
			return "" // these pass by themselves
		}
		return e.Err.Error()
	}
	for _, known := range []error{keyring.ErrChain, keyring.ErrForm, keyring.ErrRole, keyring.ErrCluster, keyring.ErrNotMember, keyring.ErrKey, keyring.ErrRevoked} {
		if errors.Is(e.Err, known) {
			return e.Err.Error()
		}
	}
	if e.Node != 0 && closedByPeer(e.Err) {
		// That is all that a machine says to an address that is not in its list of members.
		return "it takes no connection from this node: it is of another cluster, or does not have this node and its address among its members"
	}
	return ""
}

// accepted forgets why a member was refused before. The caller holds mu.
func (n *network) accepted(id membership.NodeID) {
	for _, m := range n.layout.members {
		for _, l := range m.Links {
			if a, err := netip.ParseAddr(l.Address); err == nil && m.Node == id {
				delete(n.refused, a)
			}
		}
	}
}

// refuses notes why a machine is refused, and reports whether that is news: a machine tries again every second.
func (n *network) refuses(from netip.Addr, text string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, known := n.refused[from]
	if !known && len(n.refused) >= maxRefused {
		for addr, old := range n.refused {
			if now.Sub(old.seen) > refusedFresh {
				delete(n.refused, addr)
			}
		}
		if len(n.refused) >= maxRefused {
			return false
		}
	}
	if r.text != text || now.Sub(r.seen) > refusedFresh {
		r = refused{text: text, first: now}
	}
	news := now.Sub(r.first) >= refusedAfter && now.Sub(r.logged) > refusedAgain
	if news {
		r.logged = now
	}
	r.seen = now
	n.refused[from] = r
	return news
}

// closedByPeer reports whether the peer's machine closed the connection, as it does when the process ends.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// step hands a raft message to the node if its sender is who it says, with the state of the snapshot in it.
func (n *network) step(from membership.NodeID, m *raftpb.Message, state *command.State) {
	if id := n.raftOf(from); id == 0 || uint64(id) != m.GetFrom() {
		n.d.log.Debug("raft message of another identity", "peer", int(from), "from", m.GetFrom())
		return
	}
	n.d.loop.post(func() {
		l := n.d.loop
		var err error
		if state == nil {
			err = l.n.Raft(l.now(), time.Now(), m)
		} else {
			err = l.n.RaftSnapshot(l.now(), time.Now(), m, state)
		}
		if err != nil {
			l.hc.Debug("raft message", "peer", int(from), "error", err)
		}
	})
}

func (n *network) raftOf(id membership.NodeID) membership.RaftID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.raft[id]
}

// receive takes a heartbeat; payload is valid only during the call.
func (n *network) receive(from membership.NodeID, link membership.LinkID, payload []byte) {
	data := bytes.Clone(payload)
	l := n.d.loop
	select {
	case l.in <- func() {
		if err := l.n.HeartbeatReceived(l.now(), time.Now(), from, link, data); err != nil {
			l.hc.Warn("heartbeat", "peer", int(from), "error", err)
		}
	}:
	default: // the loop is behind: a heartbeat more or less does not matter
	}
}

// bulk takes a snapshot.
func (n *network) bulk(_ context.Context, from membership.NodeID, header []byte, r io.Reader) error {
	if !bytes.Equal(header, snapshotHeader) {
		return errors.New("unknown kind of bulk transfer")
	}
	data, err := io.ReadAll(io.LimitReader(r, maxSnapshot+1))
	if err != nil {
		return err
	}
	if len(data) > maxSnapshot {
		return fmt.Errorf("the snapshot has more than %d bytes", maxSnapshot)
	}
	m := &raftpb.Message{}
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	var state *command.State
	if s := m.GetSnapshot(); s != nil {
		state, err = command.DecodeState(s.GetData())
		if err != nil {
			n.d.log.Error("snapshot of a peer", "peer", int(from), "error", err)
		}
	}
	n.step(from, m, state)
	return nil
}

// Raft sends a raft message.
func (n *network) Raft(m *raftpb.Message) error {
	n.mu.Lock()
	to, ok := n.ids[membership.RaftID(m.GetTo())]
	n.mu.Unlock()
	if !ok {
		return stream.ErrNoPeer
	}
	data, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return n.stream.Send(to, transport.ClassRaft, data)
}

// Snapshot sends the newest stored snapshot over a connection of its own.
func (n *network) Snapshot(ctx context.Context, m replica.SnapshotMessage, done func(ok bool)) {
	n.mu.Lock()
	to, ok := n.ids[m.To]
	n.mu.Unlock()
	if !ok {
		go done(false)
		return
	}
	n.group.Go(func() {
		snap, err := n.d.loop.log.ReadSnapshot()
		if err == nil {
			var data []byte
			if data, err = proto.Marshal(m.With(snap)); err == nil {
				err = n.stream.SendBulk(ctx, to, snapshotHeader, bytes.NewReader(data))
			}
		}
		if err != nil {
			n.d.log.Warn("send snapshot", "peer", int(to), "error", err)
		}
		done(err == nil)
	})
}

// dismissed notes that a member says that this node was removed. One alone could lie; when more than half of the
// others say so, the node ends.
func (n *network) dismissed(by membership.NodeID) {
	n.mu.Lock()
	n.gone[by] = true
	others, said := 0, 0
	for _, m := range n.layout.members {
		if m.Node == n.d.id.ID {
			continue
		}
		others++
		if n.gone[m.Node] {
			said++
		}
	}
	n.mu.Unlock()
	n.d.log.Warn("a member says that this node was removed from the cluster", "peer", int(by))
	if said > others/2 {
		n.d.loop.fail(errRemoved)
	}
}

// notice sends a notice to a member.
func (n *network) notice(to membership.NodeID, m *notice) error {
	data, err := cbor.Marshal(m)
	if err != nil {
		return err
	}
	return n.stream.Send(to, transport.ClassClient, data)
}

// show makes new connections show the node's new certificates.
func (n *network) show(id *keyring.Node) {
	shown, err := credentials(id)
	if err != nil {
		n.d.log.Error("show new certificates", "error", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shown = shown
}

// connected lists the members that a stream is up to, in order.
func (n *network) connected() []membership.NodeID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.up))
}

// refresh makes new connections, and with them new datagram keys, to the peers that this node dials.
func (n *network) refresh() {
	for _, id := range n.connected() {
		if id > n.d.id.ID {
			if err := n.stream.Renew(id); err != nil {
				n.d.log.Debug("renew connections", "peer", int(id), "error", err)
			}
		}
	}
}

// again opens the sockets that could not be opened before, such as those of a link that was not up yet.
func (n *network) again() {
	n.mu.Lock()
	failed, l := n.failed, n.layout
	n.mu.Unlock()
	if failed {
		_ = n.apply(l, false) // it logs what is still wrong
	}
}

// Heartbeat sends a heartbeat.
func (n *network) Heartbeat(h node.Heartbeat) {
	if err := n.hub.Send(h.To, h.Link, h.Payload); err != nil && !errors.Is(err, datagram.ErrNoKey) {
		n.d.log.Trace("send heartbeat", "peer", int(h.To), "link", int(h.Link), "error", err)
	}
}

// MembersChanged takes over new members, addresses and keys.
func (n *network) MembersChanged(s *command.State) {
	if len(s.Members) == 0 {
		return
	}
	l := layoutOf(s)
	n.d.wakeRounds() // other voters, perhaps
	n.mu.Lock()
	ctx := n.ctx
	n.layout = l
	n.mu.Unlock()
	if err := n.trustIn(l, s.CAs); err != nil {
		n.d.log.Error("trusted CAs of the document", "error", err)
		return
	}
	if ctx == nil || ctx.Err() != nil {
		return
	}
	if err := n.apply(l, false); err != nil {
		n.d.log.Error("network settings", "error", err)
	}
}

// describe fills in the addresses of links for status output.
func (n *network) describe(out *api.Local) {
	clocks := n.d.authority.clocks() // before the lock: the authority calls show while it holds its own
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, addr := range slices.SortedFunc(maps.Keys(n.refused), netip.Addr.Compare) {
		if r := n.refused[addr]; !r.logged.IsZero() && time.Since(r.seen) < refusedFresh {
			out.Warnings = append(out.Warnings, fmt.Sprintf("no connection with %v: %s", addr, r.text))
		}
	}
	for i := range out.Peers {
		for _, m := range n.layout.members {
			if m.Name != out.Peers[i].Node {
				continue
			}
			if ahead, known := clocks[m.Node]; known && out.Peers[i].Connected {
				out.Peers[i].ClockAhead = &ahead
			}
			out.Warnings = append(out.Warnings, n.alarms[m.Node]...)
			for j := range out.Peers[i].Links {
				at := slices.IndexFunc(m.Links, func(l cib.NodeLink) bool { return l.Link == out.Peers[i].Links[j].Link })
				if at >= 0 {
					out.Peers[i].Links[j].Address = m.Links[at].Address
				}
			}
		}
	}
}
