package datagram

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Sizes in bytes.
const (
	// HeaderSize is the size of the header.
	HeaderSize = 16
	// Overhead is what sealing adds to a payload.
	Overhead = HeaderSize + tagSize
	// MaxPacket is the largest sealed packet.
	MaxPacket = transport.MaxDatagram + Overhead
	// SecretSize is the size of a chain secret.
	SecretSize = 32

	tagSize  = 16
	keySize  = 32
	saltSize = 4
)

const (
	version1    = 1
	typeData    = 1
	typeConfirm = 2
	typeMask    = 0x0f
	zeroMask    = 0x10
	ackShift    = 5
)

// Defaults of Config.
const (
	// DefaultRotateAfter is the age at which a key is replaced.
	DefaultRotateAfter = time.Hour
	// DefaultRotatePackets is the number of packets on a link after which a key is replaced.
	DefaultRotatePackets = 1 << 32
	// DefaultKeepOld is how long a replaced key opens packets that were on their way.
	DefaultKeepOld = 30 * time.Second

	// maxChains bounds the chains of a session: the one in use, the one that the peer uses, the newest, and one that is being forgotten.
	maxChains = 4
	// exhaustFactor times RotatePackets is the end of a key that could not be replaced.
	exhaustFactor = 256
)

// Errors of Seal.
var (
	// ErrNoKey: there was no TLS session with the peer yet.
	ErrNoKey = errors.New("no key: no stream to this peer was connected yet")
	// ErrTooLong: the payload exceeds transport.MaxDatagram.
	ErrTooLong = errors.New("datagram is too long")
	// ErrLink: the link is not one of the session's.
	ErrLink = errors.New("no such link")
	// ErrExhausted: the key was used for too many packets and the peer never acknowledged it.
	ErrExhausted = errors.New("datagram key is used up: the peer does not acknowledge it")
)

// Reason says why a packet was dropped. The list is append-only.
type Reason uint8

// Reasons.
const (
	// Accepted: it was not dropped.
	Accepted Reason = iota
	// DropShort: shorter than a header and a tag.
	DropShort
	// DropLong: longer than MaxPacket.
	DropLong
	// DropVersion: unknown version.
	DropVersion
	// DropSender: the sender in the header is not the peer with this address.
	DropSender
	// DropReceiver: the receiver in the header is not this node.
	DropReceiver
	// DropNoKey: there was no TLS session with the peer yet.
	DropNoKey
	// DropEpoch: no key with this number, or not any more.
	DropEpoch
	// DropForged: the tag does not fit.
	DropForged
	// DropReplay: the counter was seen before or is older than the window.
	DropReplay
	// DropType: authentic, but of an unknown type.
	DropType
	// DropSource: it came from an address that is no peer's on this link.
	DropSource
	// Confirmed: authentic and without payload; it confirmed a chain. Not a fault.
	Confirmed

	numReasons
)

var reasonNames = [numReasons]string{"accepted", "short", "long", "version", "sender", "receiver", "no key", "epoch", "forged", "replay", "type", "source", "confirmed"}

// String returns the name of the reason, as counters show it.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Counters counts packets by reason.
type Counters [numReasons]uint64

// Config describes a session.
type Config struct {
	// Local and Peer are the two nodes; they must differ.
	Local, Peer membership.NodeID
	// RotateAfter is the age at which a sending key is replaced; 0 means DefaultRotateAfter. It must be longer than KeepOld.
	RotateAfter time.Duration
	// RotatePackets is the number of packets on one link after which it is replaced, though never within KeepOld; 0 means DefaultRotatePackets.
	RotatePackets uint64
	// KeepOld is how long a replaced key still opens packets; 0 means DefaultKeepOld.
	KeepOld time.Duration

	// aead makes the cipher for a key of 32 bytes; nil means AES-256-GCM. It is the one place where the algorithm is
	// chosen: by the version of the protocol and never by a packet.
	aead func(key []byte) (cipher.AEAD, error)
}

func (c *Config) validate() error {
	if c.RotateAfter == 0 {
		c.RotateAfter = DefaultRotateAfter
	}
	if c.RotatePackets == 0 {
		c.RotatePackets = DefaultRotatePackets
	}
	if c.KeepOld == 0 {
		c.KeepOld = DefaultKeepOld
	}
	if c.aead == nil {
		c.aead = newGCM
	}
	switch {
	case c.Local == 0 || c.Peer == 0:
		return errors.New("datagram session: node id 0 is no node")
	case c.Local == c.Peer:
		return fmt.Errorf("datagram session: node %d is its own peer", c.Local)
	case c.KeepOld < 0 || c.RotateAfter <= c.KeepOld:
		return fmt.Errorf("datagram session: keys are kept for %v after rotation, which must be less than the %v between rotations", c.KeepOld, c.RotateAfter)
	}
	return nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Session seals and opens the datagrams between this node and one peer, on all links.
type Session struct {
	cfg    Config
	chains []*chain // by seq, ascending
	send   *chain   // the one that Seal uses; nil without chains
	data   *chain   // the one under which data came last; nil if none did
	// nonce and scratch are here because what goes through an interface would be allocated for each packet otherwise.
	nonce    [saltSize + 8]byte
	scratch  [MaxPacket]byte
	counters Counters
}

type chain struct {
	seq   uint64
	heard bool // the peer has sent something under this chain
	// forget is when the chain is dropped, if dying.
	forget membership.Instant
	dying  bool

	sendSecret [SecretSize]byte // of the epoch out.number
	out        *sendKeys
	since      membership.Instant // when out became the sending epoch
	acked      bool               // the peer has accepted epoch out.number
	force      bool               // rotate as soon as possible

	recvSecret [SecretSize]byte // of the epoch next.number
	prev       *recvKeys        // nil when there is none
	prevUntil  membership.Instant
	cur, next  *recvKeys
}

type linkKey struct {
	aead cipher.AEAD
	salt [saltSize]byte
}

type sendKeys struct {
	number  uint16
	keys    [membership.MaxLinks]linkKey
	counter [membership.MaxLinks]uint64 // of the last packet sent
}

type recvKeys struct {
	number uint16
	keys   [membership.MaxLinks]linkKey
	seen   [membership.MaxLinks]window
}

// NewSession returns a session without keys.
func NewSession(cfg Config) (*Session, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Session{cfg: cfg}, nil
}

// Peer returns the node at the other end.
func (s *Session) Peer() membership.NodeID { return s.cfg.Peer }

// Counters returns how many packets were opened and dropped, by reason.
func (s *Session) Counters() Counters { return s.counters }

// Ready reports whether there is a key to seal with.
func (s *Session) Ready() bool { return s.send != nil }

// Chain describes the secret of a new TLS session.
type Chain struct {
	Secret [SecretSize]byte
	// Seq is the number that the dialling side gave the connection. It grows with each dial.
	Seq uint64
	// Fresh says that the peer's process is not the one that the chains so far were shared with. They are forgotten at once.
	Fresh bool
}

// Install adds a chain. One that is there, or older than one under which data came, is ignored: the peer uses a newer one. Otherwise an
// older one is taken, too, because the connection of the newer one may have failed before the dialling side knew it.
func (s *Session) Install(c Chain, now membership.Instant) error {
	if c.Fresh {
		s.Clear()
	}
	if s.data != nil && c.Seq < s.data.seq || slices.ContainsFunc(s.chains, func(o *chain) bool { return o.seq == c.Seq }) {
		return nil
	}
	nc, err := s.newChain(c, now)
	if err != nil {
		return err
	}
	s.expire(now)
	if len(s.chains) == maxChains {
		s.evict()
	}
	s.chains = append(s.chains, nc)
	slices.SortFunc(s.chains, func(a, b *chain) int { return cmp.Compare(a.seq, b.seq) })
	s.choose()
	return nil
}

// Clear forgets all keys.
func (s *Session) Clear() {
	for _, c := range s.chains {
		c.erase()
	}
	s.chains, s.send, s.data = nil, nil, nil
}

func (c *chain) erase() { *c = chain{} }

// evict drops the oldest chain that neither side uses. There is one: of maxChains, two are in use, and the newest stays.
func (s *Session) evict() {
	for i, c := range s.chains[:len(s.chains)-1] {
		if c != s.send && c != s.data {
			s.remove(i)
			return
		}
	}
}

func (s *Session) remove(i int) {
	c := s.chains[i]
	s.chains = append(s.chains[:i], s.chains[i+1:]...)
	if s.data == c {
		s.data = nil
	}
	if s.send == c {
		s.choose()
	}
	c.erase()
}

// choose sets the chain to seal with: the newest one that the peer is known to have, else the newest.
func (s *Session) choose() {
	s.send = nil
	for i := len(s.chains) - 1; i >= 0; i-- {
		if s.chains[i].heard {
			s.send = s.chains[i]
			return
		}
	}
	if n := len(s.chains); n > 0 {
		s.send = s.chains[n-1]
	}
}

func (s *Session) expire(now membership.Instant) {
	for i := 0; i < len(s.chains); {
		c := s.chains[i]
		if c.dying && !now.Before(c.forget) {
			s.remove(i)
			continue
		}
		if c.prev != nil && !now.Before(c.prevUntil) {
			c.prev = nil
		}
		i++
	}
}

func expand(secret []byte, info string, size int) ([]byte, error) {
	return hkdf.Expand(sha256.New, secret, info, size)
}

func (s *Session) newChain(in Chain, now membership.Instant) (*chain, error) {
	c := &chain{seq: in.Seq, since: now}
	first, err := expand(in.Secret[:], "quorate datagram epoch", 2)
	if err != nil {
		return nil, fmt.Errorf("derive datagram keys: %w", err)
	}
	epoch := binary.BigEndian.Uint16(first)
	for _, dir := range []struct {
		from, to membership.NodeID
		secret   *[SecretSize]byte
	}{{s.cfg.Local, s.cfg.Peer, &c.sendSecret}, {s.cfg.Peer, s.cfg.Local, &c.recvSecret}} {
		b, err := expand(in.Secret[:], fmt.Sprintf("quorate datagram %d %d", dir.from, dir.to), SecretSize)
		if err != nil {
			return nil, fmt.Errorf("derive datagram keys: %w", err)
		}
		copy(dir.secret[:], b)
		clear(b)
	}
	c.out = &sendKeys{number: epoch}
	if err := s.derive(&c.sendSecret, &c.out.keys); err != nil {
		return nil, err
	}
	c.cur = &recvKeys{number: epoch}
	if err := s.derive(&c.recvSecret, &c.cur.keys); err != nil {
		return nil, err
	}
	if c.next, err = s.nextRecv(c); err != nil {
		return nil, err
	}
	return c, nil
}

// derive makes the keys of an epoch for all links.
func (s *Session) derive(secret *[SecretSize]byte, keys *[membership.MaxLinks]linkKey) error {
	for i := range keys {
		b, err := expand(secret[:], fmt.Sprintf("quorate datagram link %d", i), keySize+saltSize)
		if err != nil {
			return fmt.Errorf("derive datagram keys: %w", err)
		}
		copy(keys[i].salt[:], b[keySize:])
		keys[i].aead, err = s.cfg.aead(b[:keySize])
		clear(b)
		if err != nil {
			return fmt.Errorf("derive datagram keys: %w", err)
		}
	}
	return nil
}

// ratchet replaces the secret of an epoch by that of the next.
func ratchet(secret *[SecretSize]byte) error {
	b, err := expand(secret[:], "quorate datagram next", SecretSize)
	if err != nil {
		return fmt.Errorf("derive datagram keys: %w", err)
	}
	copy(secret[:], b)
	clear(b)
	return nil
}

func (s *Session) nextRecv(c *chain) (*recvKeys, error) {
	if err := ratchet(&c.recvSecret); err != nil {
		return nil, err
	}
	k := &recvKeys{number: c.cur.number + 1}
	return k, s.derive(&c.recvSecret, &k.keys)
}

// Rotate makes Seal use a new key, as soon as the peer has acknowledged the present one and that is KeepOld old.
func (s *Session) Rotate() {
	if s.send != nil {
		s.send.force = true
	}
}

func (s *Session) rotate(c *chain, now membership.Instant) error {
	if err := ratchet(&c.sendSecret); err != nil {
		return err
	}
	k := &sendKeys{number: c.out.number + 1}
	if err := s.derive(&c.sendSecret, &k.keys); err != nil {
		return err
	}
	c.out, c.since, c.acked, c.force = k, now, false, false
	return nil
}

// Seal appends the packet for a payload to dst, which should have room for Overhead bytes more than the payload, and
// returns the result. dst and payload must not overlap.
func (s *Session) Seal(dst []byte, link membership.LinkID, payload []byte, now membership.Instant) ([]byte, error) {
	if int(link) >= membership.MaxLinks {
		return dst, fmt.Errorf("%w: %d", ErrLink, link)
	}
	if len(payload) > transport.MaxDatagram {
		return dst, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLong, len(payload), transport.MaxDatagram)
	}
	s.expire(now)
	if s.send == nil {
		return dst, ErrNoKey
	}
	return s.seal(dst, s.send, typeData, link, payload, now)
}

// Confirm appends a packet that shows the peer that this node has the newest chain. It reports false if none is needed, which
// is nearly always. The caller sends the packet beside each datagram.
func (s *Session) Confirm(dst []byte, link membership.LinkID, now membership.Instant) ([]byte, bool) {
	n := len(s.chains)
	if int(link) >= membership.MaxLinks || n == 0 || s.chains[n-1] == s.send {
		return dst, false
	}
	out, err := s.seal(dst, s.chains[n-1], typeConfirm, link, nil, now)
	return out, err == nil
}

func (s *Session) seal(dst []byte, c *chain, kind byte, link membership.LinkID, payload []byte, now membership.Instant) ([]byte, error) {
	age := now.Sub(c.since)
	if c.acked && age >= s.cfg.KeepOld && (c.force || age >= s.cfg.RotateAfter || c.out.counter[link] >= s.cfg.RotatePackets) {
		if err := s.rotate(c, now); err != nil {
			return dst, err
		}
	}
	k := c.out
	if k.counter[link]/exhaustFactor >= s.cfg.RotatePackets {
		return dst, ErrExhausted
	}
	k.counter[link]++
	counter := k.counter[link]
	kind |= byte(c.cur.number) << ackShift
	start := len(dst)
	dst = append(dst, version1, kind)
	dst = binary.BigEndian.AppendUint16(dst, k.number)
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.cfg.Local))
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.cfg.Peer))
	dst = binary.BigEndian.AppendUint64(dst, counter)
	key := &k.keys[link]
	copy(s.nonce[:], key.salt[:])
	binary.BigEndian.PutUint64(s.nonce[saltSize:], counter)
	return key.aead.Seal(dst, s.nonce[:], payload, dst[start:start+HeaderSize]), nil
}

// Open opens a packet that came on a link, in place: packet is overwritten, and the payload lies in it. The payload is to be
// used only if the reason is Accepted.
func (s *Session) Open(packet []byte, link membership.LinkID, now membership.Instant) ([]byte, Reason) {
	payload, r := s.open(packet, link, now)
	s.counters[r]++
	return payload, r
}

func (s *Session) open(packet []byte, link membership.LinkID, now membership.Instant) ([]byte, Reason) {
	switch {
	case len(packet) < Overhead:
		return nil, DropShort
	case len(packet) > MaxPacket:
		return nil, DropLong
	case packet[0] != version1:
		return nil, DropVersion
	case binary.BigEndian.Uint16(packet[4:]) != uint16(s.cfg.Peer):
		return nil, DropSender
	case binary.BigEndian.Uint16(packet[6:]) != uint16(s.cfg.Local):
		return nil, DropReceiver
	case int(link) >= membership.MaxLinks:
		return nil, DropEpoch
	}
	s.expire(now)
	if len(s.chains) == 0 {
		return nil, DropNoKey
	}
	epoch := binary.BigEndian.Uint16(packet[2:])
	counter := binary.BigEndian.Uint64(packet[8:])
	// The numbers of two chains are random, so nearly always only one has this epoch. Newest first. If
	// there are more, each gets a copy of the packet, since a failed Open clears it.
	candidates := 0
	for _, c := range s.chains {
		if c.lookup(epoch) != nil {
			candidates++
		}
	}
	if candidates == 0 {
		return nil, DropEpoch
	}
	for i := len(s.chains) - 1; i >= 0; i-- {
		c := s.chains[i]
		k := c.lookup(epoch)
		if k == nil {
			continue
		}
		if candidates--; candidates > 0 {
			copy(s.scratch[:], packet)
		}
		key := &k.keys[link]
		copy(s.nonce[:], key.salt[:])
		binary.BigEndian.PutUint64(s.nonce[saltSize:], counter)
		payload, err := key.aead.Open(packet[HeaderSize:HeaderSize], s.nonce[:], packet[HeaderSize:], packet[:HeaderSize])
		if err == nil {
			return s.admit(c, k, packet[1], counter, link, payload, now)
		}
		if candidates > 0 {
			copy(packet, s.scratch[:len(packet)])
		}
	}
	return nil, DropForged
}

// lookup returns the keys of an epoch that the chain accepts, or nil.
func (c *chain) lookup(epoch uint16) *recvKeys {
	switch {
	case epoch == c.cur.number:
		return c.cur
	case epoch == c.next.number:
		return c.next
	case c.prev != nil && epoch == c.prev.number:
		return c.prev
	}
	return nil
}

// admit does what an authentic packet asks for.
func (s *Session) admit(c *chain, k *recvKeys, kind byte, counter uint64, link membership.LinkID, payload []byte, now membership.Instant) ([]byte, Reason) {
	if !k.seen[link].accept(counter) {
		return nil, DropReplay
	}
	if t := kind & typeMask; kind&zeroMask != 0 || t != typeData && t != typeConfirm || t == typeConfirm && len(payload) != 0 {
		return nil, DropType
	}
	if k == c.next {
		next := c.next
		// nextRecv counts on from cur.
		prev := c.cur
		c.cur = next
		nn, err := s.nextRecv(c)
		if err != nil {
			// Can't happen: HKDF and AES fail only for wrong sizes, which are constants. The old state stays usable.
			c.cur = prev
			return nil, DropEpoch
		}
		c.prev, c.prevUntil, c.next = prev, now.Add(s.cfg.KeepOld), nn
	}
	if kind>>ackShift == byte(c.out.number)<<ackShift>>ackShift {
		c.acked = true
	}
	if !c.heard {
		c.heard = true
		s.choose()
	}
	if kind&typeMask == typeConfirm {
		return nil, Confirmed
	}
	if s.data == nil || c.seq > s.data.seq {
		s.data = c
		for _, o := range s.chains {
			if o.seq < c.seq && !o.dying {
				o.dying, o.forget = true, now.Add(s.cfg.KeepOld)
			}
		}
	}
	return payload, Accepted
}
