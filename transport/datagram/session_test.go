package datagram

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

func newSession(t testing.TB, local, peer membership.NodeID, cfg Config) *Session {
	t.Helper()
	cfg.Local, cfg.Peer = local, peer
	s, err := NewSession(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func install(t testing.TB, s *Session, secret byte, seq uint64, fresh bool, now membership.Instant) {
	t.Helper()
	if err := s.Install(Chain{Secret: [SecretSize]byte{secret, byte(seq)}, Seq: seq, Fresh: fresh}, now); err != nil {
		t.Fatal(err)
	}
}

func pair(t testing.TB, cfg Config) (a, b *Session) {
	t.Helper()
	a, b = newSession(t, 1, 2, cfg), newSession(t, 2, 1, cfg)
	install(t, a, 1, 1, false, 0)
	install(t, b, 1, 1, false, 0)
	return a, b
}

func seal(t testing.TB, s *Session, link membership.LinkID, text string, now membership.Instant) []byte {
	t.Helper()
	p, err := s.Seal(nil, link, []byte(text), now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(s *Session, p []byte, link membership.LinkID, now membership.Instant) (string, Reason) {
	b, r := s.Open(bytes.Clone(p), link, now)
	return string(b), r
}

func accept(t testing.TB, s *Session, p []byte, link membership.LinkID, want string, now membership.Instant) {
	t.Helper()
	if got, r := open(s, p, link, now); r != Accepted || got != want {
		t.Fatalf("Open() = %q, %v, want %q, accepted", got, r, want)
	}
}

func drop(t testing.TB, s *Session, p []byte, link membership.LinkID, now membership.Instant, want Reason) {
	t.Helper()
	if got, r := open(s, p, link, now); r != want {
		t.Fatalf("Open() = %q, %v, want %v", got, r, want)
	}
}

func TestSession_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, err := NewSession(Config{Local: 1, Peer: 2})
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewSession(Config{Local: 2, Peer: 1})
		if err != nil {
			t.Fatal(err)
		}
		c := Chain{Secret: [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")), Seq: 1}
		if err := errors.Join(a.Install(c, 0), b.Install(c, 0)); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 5).Draw(t, "packets") {
			payload := rapid.SliceOfN(rapid.Byte(), 0, transport.MaxDatagram).Draw(t, "payload")
			link := membership.LinkID(rapid.IntRange(0, membership.MaxLinks-1).Draw(t, "link"))
			from, to := a, b
			if rapid.Bool().Draw(t, "back") {
				from, to = b, a
			}
			p, err := from.Seal(nil, link, payload, 0)
			if err != nil || len(p) != len(payload)+Overhead {
				t.Fatalf("Seal() = %d bytes, %v, want %d", len(p), err, len(payload)+Overhead)
			}
			got, r := to.Open(p, link, 0)
			if r != Accepted || !bytes.Equal(got, payload) {
				t.Fatalf("Open() = %x, %v, want %x", got, r, payload)
			}
		}
	})
}

// The header is as the package says, to the byte.
func TestSession_Header(t *testing.T) {
	t.Parallel()
	a, b := newSession(t, 0x0102, 0x0304, Config{}), newSession(t, 0x0304, 0x0102, Config{})
	install(t, a, 1, 1, false, 0)
	install(t, b, 1, 1, false, 0)
	seal(t, a, 3, "first", 0)
	p := seal(t, a, 3, "second", 0)
	first, err := expand(append([]byte{1, 1}, make([]byte, 30)...), "quorate datagram epoch", 2)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{1, typeData | first[1]<<5, first[0], first[1], 1, 2, 3, 4}, 0, 0, 0, 0, 0, 0, 0, 2)
	if !bytes.Equal(p[:HeaderSize], want) {
		t.Fatalf("header = %x, want %x", p[:HeaderSize], want)
	}
	accept(t, b, p, 3, "second", 0)
	// The cipher text is AES-256-GCM under the derived key, with salt and counter as the nonce.
	secret, err := expand(append([]byte{1, 1}, make([]byte, 30)...), fmt.Sprintf("quorate datagram %d %d", 0x0102, 0x0304), 32)
	if err != nil {
		t.Fatal(err)
	}
	k, err := expand(secret, "quorate datagram link 3", 36)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := newGCM(k[:32])
	if err != nil {
		t.Fatal(err)
	}
	text, err := gcm.Open(nil, append(bytes.Clone(k[32:]), want[8:]...), p[HeaderSize:], want)
	if err != nil || string(text) != "second" {
		t.Fatalf("AES-256-GCM = %q, %v, want %q", text, err, "second")
	}
}

// Every bit of a packet matters.
func TestSession_BitFlips(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	p := seal(t, a, 0, "heartbeat", 0)
	for bit := range len(p) * 8 {
		bad := bytes.Clone(p)
		bad[bit/8] ^= 1 << (bit % 8)
		want := DropForged
		switch bit / 8 {
		case 0:
			want = DropVersion
		case 2, 3:
			want = DropEpoch
		case 4, 5:
			want = DropSender
		case 6, 7:
			want = DropReceiver
		}
		_, r := open(b, bad, 0, 0)
		if r != want && !(want == DropEpoch && r == DropForged) {
			t.Fatalf("Open() with bit %d flipped = %v, want %v", bit, r, want)
		}
	}
	accept(t, b, p, 0, "heartbeat", 0)
}

// No size makes trouble, and a good packet with bytes cut off or added is dropped.
func TestSession_Sizes(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	good := seal(t, a, 0, string(make([]byte, transport.MaxDatagram)), 0)
	for n := range 1301 {
		want := DropForged
		switch {
		case n < Overhead:
			want = DropShort
		case n > MaxPacket:
			want = DropLong
		case n == MaxPacket:
			continue
		}
		p := make([]byte, n)
		copy(p, good)
		drop(t, b, p, 0, 0, want)
		z := make([]byte, n)
		if _, r := open(b, z, 0, 0); r == Accepted {
			t.Fatalf("Open() of %d zeroes = %v", n, r)
		}
	}
	drop(t, b, nil, 0, 0, DropShort)
	drop(t, b, make([]byte, 65507), 0, 0, DropLong)
	accept(t, b, good, 0, string(make([]byte, transport.MaxDatagram)), 0)
	if c := b.Counters(); c[Accepted] != 1 || c[DropShort] < 32 || c[DropLong] < 2 || c[DropForged] == 0 {
		t.Fatalf("Counters() = %v, want each size counted", c)
	}
}

func TestSession_Replay(t *testing.T) {
	t.Parallel()
	cfg := Config{RotateAfter: time.Hour, KeepOld: 30 * time.Second}
	a, b := pair(t, cfg)
	p := seal(t, a, 0, "x", 0)
	accept(t, b, p, 0, "x", 0)

	drop(t, b, p, 0, 0, DropReplay)   // same link
	drop(t, b, p, 1, 0, DropForged)   // other link
	drop(t, a, p, 0, 0, DropSender)   // back to its sender
	drop(t, b, p, 250, 0, DropEpoch)  // a link that can't be
	third := newSession(t, 3, 1, cfg) // other receiver, with keys of its own
	install(t, third, 7, 1, false, 0)
	drop(t, third, p, 0, 0, DropReceiver)
	readdressed := bytes.Clone(p)
	readdressed[7] = 3
	if _, r := open(third, readdressed, 0, 0); r != DropForged && r != DropEpoch {
		t.Fatalf("Open() of a packet readdressed to another receiver = %v", r)
	}

	// After a restart of the receiver: a new process has a new session, so a new secret.
	b2 := newSession(t, 2, 1, cfg)
	drop(t, b2, p, 0, 0, DropNoKey)
	install(t, b2, 9, 2, false, 0)
	if _, r := open(b2, p, 0, 0); r != DropEpoch && r != DropForged {
		t.Fatalf("Open() after a restart of the receiver = %v", r)
	}
	// After a restart of the sender: the receiver forgets the old chain at once.
	b3 := newSession(t, 2, 1, cfg)
	install(t, b3, 1, 1, false, 0)
	unseen := seal(t, a, 0, "y", 0)
	install(t, b3, 9, 2, true, 0)
	if _, r := open(b3, unseen, 0, 0); r != DropEpoch && r != DropForged {
		t.Fatalf("Open() of the old process's packet = %v", r)
	}

	// After rotation: the seen one is known, an unseen one is good for 30 seconds.
	unseen = seal(t, a, 0, "late", 0)
	accept(t, a, seal(t, b, 0, "hello", 0), 0, "hello", 0)
	now := membership.Instant(0).Add(time.Hour)
	next := seal(t, a, 0, "new epoch", now)
	if bytes.Equal(next[2:4], p[2:4]) {
		t.Fatal("the epoch did not change after an hour")
	}
	accept(t, b, next, 0, "new epoch", now)
	drop(t, b, p, 0, now, DropReplay)
	accept(t, b, unseen, 0, "late", now.Add(29*time.Second))
	drop(t, b, unseen, 0, now.Add(29*time.Second), DropReplay)
	drop(t, b, unseen, 0, now.Add(30*time.Second), DropEpoch)
	drop(t, b, next, 0, now, DropReplay)
	// Far behind the window.
	old := seal(t, a, 0, "slow", now)
	for range windowSize {
		accept(t, b, seal(t, a, 0, "z", now), 0, "z", now)
	}
	drop(t, b, old, 0, now, DropReplay)
}

// Rotation under traffic loses nothing. Method: datagrams go both ways on two links with random delays of up to 20 seconds, one link
// may be dead in one direction for long, and every datagram that the network delivers must be accepted exactly once.
func TestSession_RotationLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{RotateAfter: time.Minute, KeepOld: 30 * time.Second, RotatePackets: 40}
		mk := func(l, p membership.NodeID) *Session {
			cfg.Local, cfg.Peer = l, p
			s, err := NewSession(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		type flight struct {
			to     int
			link   membership.LinkID
			packet []byte
			text   string
			due    membership.Instant
		}
		s := [2]*Session{mk(1, 2), mk(2, 1)}
		var air []flight
		seq := uint64(0)
		pendingInstall := [2][]Chain{}
		newChain := func() {
			seq++
			c := Chain{Secret: [32]byte{byte(seq), byte(seq >> 8)}, Seq: seq}
			for i := range s {
				pendingInstall[i] = append(pendingInstall[i], c)
			}
		}
		newChain()
		for i := range s {
			if err := s[i].Install(pendingInstall[i][0], 0); err != nil {
				t.Fatal(err)
			}
			pendingInstall[i] = nil
		}
		now := membership.Instant(0)
		lastChain := now
		var dead [2]membership.Instant // the direction is dead until then
		for step := range rapid.IntRange(50, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(10, 2500).Draw(t, "ms")) * time.Millisecond)
			if now.Sub(lastChain) > 40*time.Second && rapid.IntRange(0, 30).Draw(t, "chain") == 0 {
				// Both ends learn of the new TLS session, but not at the same time.
				newChain()
				lastChain = now
			}
			for i := range s {
				for len(pendingInstall[i]) > 0 && rapid.IntRange(0, 2).Draw(t, "learn") == 0 {
					if err := s[i].Install(pendingInstall[i][0], now); err != nil {
						t.Fatal(err)
					}
					pendingInstall[i] = pendingInstall[i][1:]
				}
				if rapid.IntRange(0, 80).Draw(t, "cut") == 0 {
					dead[i] = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "cut s")) * time.Second)
				}
				link := membership.LinkID(rapid.IntRange(0, 1).Draw(t, "link"))
				text := fmt.Sprint(i, step)
				p, err := s[i].Seal(nil, link, []byte(text), now)
				if err != nil {
					t.Fatal(err)
				}
				confirm, ok := s[i].Confirm(nil, link, now)
				if now.Before(dead[i]) {
					continue
				}
				// Mostly quick, so that acknowledgements and window keep up; sometimes late.
				delay := func() membership.Instant {
					return now.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "delay")) * time.Millisecond)
				}
				air = append(air, flight{1 - i, link, p, text, delay()})
				if ok {
					air = append(air, flight{1 - i, link, confirm, "", delay()})
				}
			}
			var rest []flight
			for _, f := range air {
				if f.due > now {
					rest = append(rest, f)
					continue
				}
				text, r := open(s[f.to], f.packet, f.link, now)
				if f.text == "" {
					if r == Accepted {
						t.Fatalf("step %d: a confirmation was given to the owner: %v", step, r)
					}
				} else if r != Accepted || text != f.text {
					t.Fatalf("step %d: datagram %q (due %v) at %v = %v, want accepted", step, f.text, f.due, now, r)
				}
				if again, r := open(s[f.to], f.packet, f.link, now); r == Accepted {
					t.Fatalf("step %d: datagram %q was accepted twice", step, again)
				}
			}
			air = rest
		}
	})
}

// A receiver that heard nothing for many hours still opens the first packet that comes through: the sender waits for an acknowledgement
// before it rotates a second time.
func TestSession_LongSilence(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	accept(t, b, seal(t, a, 0, "1", 0), 0, "1", 0)
	accept(t, a, seal(t, b, 0, "2", 0), 0, "2", 0)
	now := membership.Instant(0)
	for range 100 {
		now = now.Add(time.Hour)
		seal(t, a, 0, "lost", now)
		seal(t, b, 0, "lost", now)
	}
	accept(t, b, seal(t, a, 0, "3", now), 0, "3", now)
	accept(t, a, seal(t, b, 0, "4", now), 0, "4", now)
	// Now both go on rotating.
	before := seal(t, a, 0, "5", now)
	accept(t, b, before, 0, "5", now)
	accept(t, a, seal(t, b, 0, "5", now), 0, "5", now)
	now = now.Add(2 * time.Hour)
	after := seal(t, a, 0, "6", now)
	if bytes.Equal(before[2:4], after[2:4]) {
		t.Fatal("the epoch did not change after the silence")
	}
	accept(t, b, after, 0, "6", now)
}

func TestSession_Exhausted(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{RotatePackets: 2})
	for range 2 * exhaustFactor {
		seal(t, a, 0, "x", 0)
	}
	if _, err := a.Seal(nil, 0, nil, 0); !errors.Is(err, ErrExhausted) {
		t.Fatalf("Seal() = %v, want %v", err, ErrExhausted)
	}
	if _, err := a.Seal(nil, 1, nil, 0); err != nil {
		t.Fatalf("Seal() on the other link = %v", err)
	}
	// An acknowledgement cures it.
	accept(t, a, seal(t, b, 0, "y", 0), 0, "y", 0)
	now := membership.Instant(0).Add(DefaultKeepOld)
	accept(t, b, seal(t, a, 0, "z", now), 0, "z", now)
}

func TestSession_Rotate(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	first := seal(t, a, 0, "1", 0)
	accept(t, b, first, 0, "1", 0)
	a.Rotate()
	now := membership.Instant(0).Add(DefaultKeepOld)
	if p := seal(t, a, 0, "2", now); !bytes.Equal(first[2:4], p[2:4]) {
		t.Fatal("the key was replaced before it was acknowledged")
	}
	accept(t, a, seal(t, b, 0, "3", now), 0, "3", now)
	p := seal(t, a, 0, "4", now)
	if bytes.Equal(first[2:4], p[2:4]) {
		t.Fatal("the key was not replaced")
	}
	accept(t, b, p, 0, "4", now)
	if q := seal(t, a, 0, "5", now); !bytes.Equal(q[2:4], p[2:4]) {
		t.Fatal("the key was replaced twice")
	}
}

func TestSession_ChangeOfChain(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	accept(t, b, seal(t, a, 0, "a", 0), 0, "a", 0)
	accept(t, a, seal(t, b, 0, "b", 0), 0, "b", 0)
	if _, ok := a.Confirm(nil, 0, 0); ok {
		t.Fatal("Confirm() without a new chain gave a packet")
	}
	install(t, a, 5, 2, false, 0)
	// b does not have it yet: a goes on under the old one, and confirms in vain.
	accept(t, b, seal(t, a, 0, "c", 0), 0, "c", 0)
	confirm, ok := a.Confirm(nil, 0, 0)
	if !ok {
		t.Fatal("Confirm() gave nothing")
	}
	if _, r := open(b, confirm, 0, 0); r != DropEpoch && r != DropForged {
		t.Fatalf("Open() of an unknown chain's packet = %v", r)
	}
	install(t, b, 5, 2, false, 0)
	confirm, _ = a.Confirm(nil, 0, 0)
	drop(t, b, confirm, 0, 0, Confirmed)
	drop(t, b, confirm, 0, 0, DropReplay)
	// Now b knows that a has it, uses it, and by that tells a.
	if _, ok := b.Confirm(nil, 0, 0); ok {
		t.Fatal("Confirm() after the change gave a packet")
	}
	late := seal(t, a, 0, "late", 0)
	accept(t, a, seal(t, b, 0, "d", 0), 0, "d", 0)
	if _, ok := a.Confirm(nil, 0, 0); ok {
		t.Fatal("Confirm() after the change gave a packet")
	}
	accept(t, b, seal(t, a, 0, "e", 0), 0, "e", 0)
	accept(t, b, late, 0, "late", membership.Instant(0).Add(29*time.Second))
	old := late
	if _, r := open(b, old, 0, membership.Instant(0).Add(30*time.Second)); r != DropEpoch {
		t.Fatalf("Open() 30 s after the change = %v, want %v", r, DropEpoch)
	}
	if len(a.chains) != 2 || len(b.chains) != 1 {
		t.Fatalf("chains = %d and %d, want 2 and 1", len(a.chains), len(b.chains))
	}
	// An older chain that is learnt late is ignored; many new ones are bounded, and the one in use stays.
	install(t, b, 4, 1, false, 0)
	for seq := range uint64(20) {
		install(t, a, 8, 3+seq, false, 0)
		if len(a.chains) > maxChains {
			t.Fatalf("%d chains, at most %d are allowed", len(a.chains), maxChains)
		}
		accept(t, b, seal(t, a, 0, "f", 0), 0, "f", 0)
		accept(t, a, seal(t, b, 0, "g", 0), 0, "g", 0)
	}
}

// The newer of two connections failed before the dialling side knew of it, and the other side learns of the older one last: they still find
// the one that both have.
func TestSession_OlderChainLast(t *testing.T) {
	t.Parallel()
	a, b := newSession(t, 1, 2, Config{}), newSession(t, 2, 1, Config{})
	install(t, a, 1, 1, false, 0)
	install(t, b, 1, 2, false, 0)
	install(t, b, 1, 1, false, 0)
	accept(t, b, seal(t, a, 0, "x", 0), 0, "x", 0)
	accept(t, a, seal(t, b, 0, "y", 0), 0, "y", 0)
	// The next connection replaces both.
	install(t, a, 1, 3, false, 0)
	install(t, b, 1, 3, false, 0)
	confirm, ok := a.Confirm(nil, 0, 0)
	if !ok {
		t.Fatal("Confirm() gave nothing")
	}
	drop(t, b, confirm, 0, 0, Confirmed)
	accept(t, a, seal(t, b, 0, "z", 0), 0, "z", 0)
	install(t, a, 1, 2, false, 0)
	if n := len(a.chains); n != 2 {
		t.Fatalf("%d chains, want 2: one older than that of the last data is ignored", n)
	}
}

// Two chains may have the same epoch number by chance; then both are tried.
func TestSession_EqualEpochs(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	accept(t, b, seal(t, a, 0, "1", 0), 0, "1", 0)
	accept(t, a, seal(t, b, 0, "2", 0), 0, "2", 0)
	install(t, a, 5, 2, false, 0)
	install(t, b, 5, 2, false, 0)
	for _, s := range []*Session{a, b} {
		n := s.chains[0].out.number
		c := s.chains[1]
		c.out.number, c.cur.number, c.next.number = n, n, n+1
	}
	confirm, ok := a.Confirm(nil, 0, 0)
	if !ok {
		t.Fatal("Confirm() gave nothing")
	}
	accept(t, b, seal(t, a, 0, "old chain", 0), 0, "old chain", 0)
	drop(t, b, confirm, 0, 0, Confirmed)
	accept(t, a, seal(t, b, 0, "new chain", 0), 0, "new chain", 0)
}

func TestSession_Refusals(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Local: 0, Peer: 1}, {Local: 1}, {Local: 1, Peer: 1}, {Local: 1, Peer: 2, RotateAfter: time.Second}, {Local: 1, Peer: 2, KeepOld: -1}} {
		if _, err := NewSession(cfg); err == nil {
			t.Errorf("NewSession(%+v) succeeded", cfg)
		}
	}
	s := newSession(t, 1, 2, Config{})
	if _, err := s.Seal(nil, 0, nil, 0); !errors.Is(err, ErrNoKey) || s.Ready() {
		t.Errorf("Seal() without a key = %v, want %v", err, ErrNoKey)
	}
	install(t, s, 1, 1, false, 0)
	if !s.Ready() || s.Peer() != 2 {
		t.Error("Ready() after Install() = false")
	}
	if _, err := s.Seal(nil, 0, make([]byte, transport.MaxDatagram+1), 0); !errors.Is(err, ErrTooLong) {
		t.Errorf("Seal() of too much = %v, want %v", err, ErrTooLong)
	}
	if _, err := s.Seal(nil, membership.MaxLinks, nil, 0); !errors.Is(err, ErrLink) {
		t.Errorf("Seal() on a link that can't be = %v, want %v", err, ErrLink)
	}
	broken := errors.New("no cipher")
	s = newSession(t, 1, 2, Config{aead: func([]byte) (cipher.AEAD, error) { return nil, broken }})
	if err := s.Install(Chain{Seq: 1}, 0); !errors.Is(err, broken) {
		t.Errorf("Install() = %v, want %v", err, broken)
	}
	if got := Reason(200).String(); got != "reason 200" {
		t.Errorf("String() = %q", got)
	}
	for r := range numReasons {
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
}

// An insider with valid keys sends types that do not exist.
func TestSession_UnknownType(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{})
	for _, tc := range []struct {
		kind byte
		text string
	}{{0, ""}, {3, ""}, {0x11, ""}, {0x12, ""}, {0x1f, "x"}, {typeConfirm, "payload"}} {
		p, err := a.seal(nil, a.send, tc.kind, 0, []byte(tc.text), 0)
		if err != nil {
			t.Fatal(err)
		}
		drop(t, b, p, 0, 0, DropType)
	}
}

// lax accepts everything: what a fault that switches authentication off would do.
type lax struct{ cipher.AEAD }

func (l lax) Open(dst, nonce, text, data []byte) ([]byte, error) {
	if out, err := l.AEAD.Open(dst, nonce, bytes.Clone(text), data); err == nil {
		return out, nil
	}
	return append(dst, text[:len(text)-tagSize]...), nil
}

// strict refuses everything.
type strict struct{ cipher.AEAD }

func (strict) Open([]byte, []byte, []byte, []byte) ([]byte, error) { return nil, errors.New("no") }

func TestSelfTest(t *testing.T) {
	t.Parallel()
	if err := SelfTest(); err != nil {
		t.Fatalf("SelfTest() = %v", err)
	}
	for name, wrap := range map[string]func(cipher.AEAD) cipher.AEAD{
		"lax":    func(a cipher.AEAD) cipher.AEAD { return lax{a} },
		"strict": func(a cipher.AEAD) cipher.AEAD { return strict{a} },
	} {
		err := selfTest(func(k []byte) (cipher.AEAD, error) {
			a, err := newGCM(k)
			return wrap(a), err
		})
		if !errors.Is(err, ErrSelfTest) {
			t.Errorf("%s: selfTest() = %v, want %v", name, err, ErrSelfTest)
		}
	}
	if err := selfTest(func([]byte) (cipher.AEAD, error) { return nil, errors.New("no") }); !errors.Is(err, ErrSelfTest) {
		t.Errorf("selfTest() = %v, want %v", err, ErrSelfTest)
	}
}

func TestSession_NoAllocation(t *testing.T) {
	a, b := pair(t, Config{})
	payload := make([]byte, 200)
	buf := make([]byte, 0, MaxPacket)
	if n := testing.AllocsPerRun(1000, func() {
		p, err := a.Seal(buf, 0, payload, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, r := b.Open(p, 0, 0); r != Accepted {
			t.Fatal(r)
		}
	}); n != 0 {
		t.Errorf("Seal() and Open() allocate %v times, want 0", n)
	}
}

func FuzzSession_Open(f *testing.F) {
	a, b := pair(f, Config{})
	f.Add(seal(f, a, 0, "hello", 0), byte(0))
	f.Add(make([]byte, Overhead), byte(1))
	f.Add([]byte{}, byte(9))
	f.Fuzz(func(t *testing.T, p []byte, link byte) {
		good := seal(t, a, 0, "good", 0)
		if _, r := b.Open(bytes.Clone(p), membership.LinkID(link), 0); r == Accepted && len(p) < Overhead {
			t.Fatalf("Open() accepted %d bytes", len(p))
		}
		accept(t, b, good, 0, "good", 0)
	})
}

func BenchmarkSession(b *testing.B) {
	for _, size := range []int{200, transport.MaxDatagram} {
		b.Run(fmt.Sprintf("SealOpen/bytes=%d", size), func(b *testing.B) {
			x, y := pair(b, Config{})
			payload := make([]byte, size)
			buf := make([]byte, 0, MaxPacket)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				p, err := x.Seal(buf, 0, payload, 0)
				if err != nil {
					b.Fatal(err)
				}
				if _, r := y.Open(p, 0, 0); r != Accepted {
					b.Fatal(r)
				}
			}
		})
	}
	b.Run("Forged", func(b *testing.B) {
		x, y := pair(b, Config{})
		p := seal(b, x, 0, string(make([]byte, 200)), 0)
		p[20] ^= 1
		q := make([]byte, len(p))
		b.ReportAllocs()
		for b.Loop() {
			copy(q, p)
			if _, r := y.Open(q, 0, 0); r != DropForged {
				b.Fatal(r)
			}
		}
	})
}
