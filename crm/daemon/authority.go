package daemon

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport/keyring"
)

// noticeKind says what a notice is. The list is append-only.
type noticeKind uint8

const (
	noticeClock        noticeKind = 1 // Wall: what the sender's clock shows
	noticeAuthority    noticeKind = 2 // Certificate, Key: the cluster's CA, for a voter
	noticeHave         noticeKind = 3 // the sender has the CA key on its disk
	noticeRenew        noticeKind = 4 // the sender asks for new certificates for its key
	noticeCertificates noticeKind = 5 // Server, Client: the new certificates
	noticeRun          noticeKind = 6 // a handNotice: the receiver is asked to run an operation by hand
	noticeRan          noticeKind = 7 // a handNotice: what came of it
)

// notice is a message between two members about clocks, keys and certificates. It goes over a stream, so the
// sender is known and nobody else reads it. None is needed for anything else to go on: what gets lost is sent
// again by a later round.
type notice struct {
	Kind        noticeKind `cbor:"1,keyasint"`
	Wall        int64      `cbor:"2,keyasint,omitempty"` // milliseconds since 1970
	Certificate []byte     `cbor:"3,keyasint,omitempty"` // DER
	Key         []byte     `cbor:"4,keyasint,omitempty"` // PKCS #8
	Server      []byte     `cbor:"5,keyasint,omitempty"` // DER
	Client      []byte     `cbor:"6,keyasint,omitempty"`
}

// maxNotice bounds a notice in bytes; the largest has two certificates of less than 1 KiB.
const maxNotice = 32 << 10

// Rounds of the authority.
const (
	// roundTime is the time between two rounds.
	roundTime = time.Minute
	// clockAlarm is the difference of two clocks from which on it is called an alarm. Rules with dates, times of
	// the history and of tokens go by these clocks.
	clockAlarm = 2 * time.Second
)

// peers is what the authority needs to know of the others in one round.
type peers struct {
	voters    []membership.NodeID
	keys      map[membership.NodeID][]byte // public keys of the members (SubjectPublicKeyInfo)
	connected []membership.NodeID          // in order
}

// authority takes care of this node's certificates and of the cluster's CA key: a holder of the key gives it to
// each voter, and issues new certificates for keys in the member list to members that ask. Its methods may be
// called by several goroutines.
type authority struct {
	self membership.NodeID
	keys *keyring.Folder
	log  hclog.Logger
	// send, show and note are called while mu is held, so they must not call back.
	send func(to membership.NodeID, n *notice) error
	show func(*keyring.Node) // new certificates are to be shown from now on
	note func(event string, data map[string]any)

	mu      sync.Mutex // guards what follows
	id      keyring.Node
	ca      *keyring.CA // nil = this node does not have the key
	known   peers
	has     map[membership.NodeID]bool // members that said that they have the key
	next    int                        // whom to ask for certificates
	offsets map[membership.NodeID]time.Duration
	alarmed map[membership.NodeID]bool // clocks that were logged as far off
	problem string                     // why certificates could not be renewed
}

func newAuthority(id *keyring.Node, keys *keyring.Folder, log hclog.Logger) (*authority, error) {
	a := &authority{self: id.ID, keys: keys, log: log, id: *id, has: map[membership.NodeID]bool{},
		offsets: map[membership.NodeID]time.Duration{}, alarmed: map[membership.NodeID]bool{},
		note: func(string, map[string]any) {}, show: func(*keyring.Node) {}}
	var err error
	if a.ca, err = keys.LoadCA(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return a, nil
}

// authority returns the CA, nil where this node does not have its key.
func (a *authority) authority() *keyring.CA {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ca
}

// round does what is due at now.
func (a *authority) round(now time.Time, p peers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = p
	for id := range a.has {
		if !slices.Contains(p.connected, id) {
			delete(a.has, id) // it may come back with an empty disk
		}
	}
	a.spread(p)
	a.renew(now, p)
	for _, id := range p.connected {
		a.tell(id, &notice{Kind: noticeClock, Wall: now.UnixMilli()})
	}
}

// spread gives the CA key to voters that do not have it. A node that does not vote any more gives it away and keeps
// none, once a voter has said that it is on its disk.
func (a *authority) spread(p peers) {
	if a.ca == nil {
		return
	}
	safe := false
	for _, id := range p.voters {
		if id == a.self || !slices.Contains(p.connected, id) {
			continue
		}
		if a.has[id] {
			safe = true
			continue
		}
		key, err := x509.MarshalPKCS8PrivateKey(a.ca.Key())
		if err != nil {
			a.log.Error("encode the CA key", "error", err)
			return
		}
		a.tell(id, &notice{Kind: noticeAuthority, Certificate: a.ca.Certificate(), Key: key})
		clear(key)
	}
	if safe && len(p.voters) > 0 && !slices.Contains(p.voters, a.self) {
		if err := a.keys.Remove(keyring.FileCAKey); err != nil {
			a.log.Error("remove the CA key of a node that does not vote", "error", err)
			return
		}
		a.ca = nil
		a.log.Info("the CA key was handed to the voters and removed here: this node does not vote any more")
		a.note("key-dropped", map[string]any{"key": "ca"})
	}
}

// renew gets new certificates when two thirds of the life of the present ones are over.
func (a *authority) renew(now time.Time, p peers) {
	at, err := renewAt(&a.id)
	if err != nil || now.Before(at) {
		a.problem = ""
		return
	}
	if a.ca != nil {
		certs, err := a.ca.Issue(keyring.Issue{Node: a.self, Key: &a.id.Key.PublicKey, Now: now}, rand.Reader)
		if err == nil {
			err = a.install(certs, now)
		}
		a.problem = ""
		if err != nil {
			a.problem = err.Error()
			a.log.Error("renew certificates", "error", err)
		}
		return
	}
	var voters []membership.NodeID
	for _, id := range p.voters {
		if slices.Contains(p.connected, id) {
			voters = append(voters, id)
		}
	}
	if len(voters) == 0 {
		a.problem = "no voter is connected that could issue new certificates"
		return
	}
	// One after the other: some voter may not have the key yet.
	to := voters[a.next%len(voters)]
	a.next++
	a.problem = "new certificates were asked for and have not come yet"
	a.tell(to, &notice{Kind: noticeRenew})
}

// renewAt is when the first of a node's certificates is to be renewed.
func renewAt(id *keyring.Node) (time.Time, error) {
	var at time.Time
	for _, der := range [][]byte{id.Server, id.Client} {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return at, err
		}
		if t := keyring.RenewAt(cert); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at, nil
}

// install saves and shows new certificates of this node. The caller holds mu.
func (a *authority) install(certs keyring.Certificates, now time.Time) error {
	next := a.id
	next.Certificates = certs
	if err := next.Check(); err != nil {
		return err
	}
	old, err := renewAt(&a.id)
	if err != nil {
		return err
	}
	fresh, err := renewAt(&next)
	if err != nil {
		return err
	}
	if !fresh.After(old) {
		return nil // an older answer
	}
	if err := a.keys.SaveNode(&next); err != nil {
		return err
	}
	a.id, a.problem = next, ""
	a.show(&next)
	a.log.Info("certificates renewed", "next", fresh.UTC().Format(time.RFC3339))
	a.note("certificate-renewed", map[string]any{"renew_at": fresh.UTC().Format(time.RFC3339)})
	return nil
}

// tell sends a notice; what cannot be sent is sent by a later round.
func (a *authority) tell(to membership.NodeID, n *notice) {
	if err := a.send(to, n); err != nil {
		a.log.Debug("notice to a member", "peer", int(to), "kind", int(n.Kind), "error", err)
	}
}

// take handles a notice that came from a member at now.
func (a *authority) take(from membership.NodeID, payload []byte, now time.Time) {
	var n notice
	if len(payload) > maxNotice {
		a.log.Warn("notice of a member is too long", "peer", int(from), "bytes", len(payload))
		return
	}
	if err := cbor.Unmarshal(payload, &n); err != nil {
		a.log.Warn("malformed notice of a member", "peer", int(from), "error", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	switch n.Kind {
	case noticeClock:
		a.clock(from, time.UnixMilli(n.Wall).Sub(now))
	case noticeAuthority:
		if err = a.receive(&n); err == nil {
			a.tell(from, &notice{Kind: noticeHave})
		}
	case noticeHave:
		a.has[from] = true
	case noticeRenew:
		err = a.issue(from, now)
	case noticeCertificates:
		err = a.install(keyring.Certificates{Server: n.Server, Client: n.Client}, now)
	default:
		a.log.Debug("notice of a newer build", "peer", int(from), "kind", int(n.Kind))
	}
	if err != nil {
		a.log.Warn("notice of a member", "peer", int(from), "kind", int(n.Kind), "error", err)
	}
}

// clock remembers how far a peer's clock is ahead of this one. The way of the notice counts as well, which is
// milliseconds.
func (a *authority) clock(from membership.NodeID, ahead time.Duration) {
	a.offsets[from] = ahead
	far := ahead.Abs() >= clockAlarm
	if far && !a.alarmed[from] {
		a.log.Warn("the clocks of two nodes differ: set them by the network (chronyd or systemd-timesyncd)", "peer", int(from), "ahead", ahead.Round(time.Millisecond))
	}
	a.alarmed[from] = far
}

// receive takes the CA key of the cluster from another member.
func (a *authority) receive(n *notice) error {
	parsed, err := x509.ParsePKCS8PrivateKey(n.Key)
	clear(n.Key)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return errors.New("the CA key that a member sent is not readable")
	}
	if !slices.ContainsFunc(a.id.CAs, func(der []byte) bool { return bytes.Equal(der, n.Certificate) }) {
		return errors.New("the CA that a member sent is not one that this node trusts")
	}
	ca, err := keyring.ParseCA(n.Certificate, key)
	if err != nil {
		return err
	}
	if a.ca != nil && bytes.Equal(a.ca.Certificate(), ca.Certificate()) {
		return nil
	}
	if err := a.keys.SaveCA(ca); err != nil {
		return err
	}
	a.ca = ca
	a.log.Info("received the CA key: this node issues certificates and answers joins now")
	a.note("key-received", map[string]any{"key": "ca"})
	return nil
}

// issue makes new certificates for a member's key as the member list has it.
func (a *authority) issue(to membership.NodeID, now time.Time) error {
	if a.ca == nil {
		return nil // the asker tries the next voter
	}
	spki, ok := a.known.keys[to]
	if !ok {
		return fmt.Errorf("node %d asks for certificates but is no member", to)
	}
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return err
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("the key of node %d is not ECDSA", to)
	}
	certs, err := a.ca.Issue(keyring.Issue{Node: to, Key: key, Now: now}, rand.Reader)
	if err != nil {
		return err
	}
	a.note("certificate-issued", map[string]any{"node_id": int(to)})
	a.tell(to, &notice{Kind: noticeCertificates, Server: certs.Server, Client: certs.Client})
	return nil
}

// validity tells of this node's certificates: when they end and are to be renewed, and what keeps them from it.
func (a *authority) validity() (ends, renew time.Time, problem string, holder bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, der := range [][]byte{a.id.Server, a.id.Client} {
		if cert, err := x509.ParseCertificate(der); err == nil && (ends.IsZero() || cert.NotAfter.Before(ends)) {
			ends = cert.NotAfter
		}
	}
	renew, _ = renewAt(&a.id)
	return ends, renew, a.problem, a.ca != nil
}

// clocks says how far the clocks of peers are ahead, of those that have told.
func (a *authority) clocks() map[membership.NodeID]time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.offsets)
}
