package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

var testCluster = transport.ClusterIDFromBytes([16]byte{1, 2, 3})

func TestHello_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u64 := rapid.Uint64()
		h := Hello{
			MinVersion: 1, MaxVersion: rapid.Uint16Range(1, 65535).Draw(t, "max"), Cluster: testCluster,
			Node: membership.NodeID(rapid.Uint16().Draw(t, "node")), Name: membership.NodeName(rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,200}`).Draw(t, "name")),
			Link: membership.LinkID(rapid.Byte().Draw(t, "link")), RaftID: membership.RaftID(u64.Draw(t, "raft")),
			Incarnation: membership.Incarnation(u64.Draw(t, "incarnation")), Seq: u64.Draw(t, "seq"), Term: u64.Draw(t, "term"), Index: u64.Draw(t, "index"),
			purpose: rapid.SampledFrom([]byte{purposeMain, purposeBulk}).Draw(t, "purpose"),
		}
		b, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > transport.MaxControl {
			t.Fatalf("hello has %d bytes", len(b))
		}
		// A later version may add fields at the end.
		for _, more := range []string{"", "more"} {
			got, err := parseHello(append(bytes.Clone(b[1:]), more...), 1, 1)
			if err != nil || got != h {
				t.Fatalf("parseHello() = %+v, %v, want %+v", got, err, h)
			}
		}
		for n := range len(b) - 1 {
			if _, err := parseHello(b[1:1+n], 1, 1); !errors.Is(err, ErrProtocol) {
				t.Fatalf("parseHello() of %d bytes = %v, want %v", n, err, ErrProtocol)
			}
		}
	})
}

func TestParseHello_Refusals(t *testing.T) {
	t.Parallel()
	good := Hello{MinVersion: 1, MaxVersion: 1, Cluster: testCluster, Node: 1, Name: "n1", purpose: purposeMain}
	for _, tc := range []struct {
		name   string
		change func(*Hello)
		want   func(error) bool
	}{
		{"newer only", func(h *Hello) { h.MinVersion, h.MaxVersion = 2, 9 }, refusedFor(RefusedVersion, false)},
		{"older only", func(h *Hello) { h.MinVersion, h.MaxVersion = 0, 0 }, refusedFor(RefusedVersion, false)},
		{"range turned round", func(h *Hello) { h.MinVersion, h.MaxVersion = 2, 1 }, is(ErrProtocol)},
		{"purpose", func(h *Hello) { h.purpose = 3 }, is(ErrProtocol)},
		{"no name", func(h *Hello) { h.Name = "" }, is(ErrProtocol)},
		{"bad name", func(h *Hello) { h.Name = "a\x1b[2J" }, is(ErrProtocol)},
	} {
		h := good
		tc.change(&h)
		b, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseHello(b[1:], 1, 1); !tc.want(err) {
			t.Errorf("%s: parseHello() = %v", tc.name, err)
		}
	}
	for name, h := range map[string]Hello{"cluster": {Cluster: "x"}, "name": {Cluster: testCluster, Name: membership.NodeName(strings.Repeat("a", 300))}} {
		if _, err := h.encode(); err == nil {
			t.Errorf("%s: encode() succeeded", name)
		}
	}
}

func TestJoinRequest_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		blob := rapid.SliceOfN(rapid.Byte(), 0, 500)
		r := &JoinRequest{
			Cluster: testCluster, TokenID: [8]byte{1, 2}, Node: "n1", Proof: [32]byte{9},
			Request: append([]byte{}, blob.Draw(t, "request")...), Info: append([]byte{}, blob.Draw(t, "info")...),
		}
		b, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseJoinRequest(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("parseJoinRequest() = %+v, %v, want %+v", got, err, r)
		}
		for n := range b {
			if _, err := parseJoinRequest(b[:n]); !errors.Is(err, ErrProtocol) {
				t.Fatalf("parseJoinRequest() of %d bytes = %v, want %v", n, err, ErrProtocol)
			}
		}
		if _, err := parseJoinRequest(append(b, 0)); !errors.Is(err, ErrProtocol) {
			t.Fatalf("parseJoinRequest() of a byte too many = %v, want %v", err, ErrProtocol)
		}
		b[0] = 2
		if _, err := parseJoinRequest(b); !errors.Is(err, ErrProtocol) {
			t.Fatalf("parseJoinRequest() of version 2 = %v, want %v", err, ErrProtocol)
		}
	})
	big := &JoinRequest{Cluster: testCluster, Node: "n1", Request: make([]byte, MaxJoinBlob), Info: make([]byte, MaxJoinBlob)}
	b, err := big.encode()
	if err != nil || len(b) > maxJoin {
		t.Fatalf("encode() of the largest = %d bytes, %v", len(b), err)
	}
	if _, err := parseJoinRequest(b); err != nil {
		t.Errorf("parseJoinRequest() of the largest = %v", err)
	}
	big.Info = make([]byte, MaxJoinBlob+1)
	if _, err := big.encode(); err == nil {
		t.Error("encode() of too much succeeded")
	}
	for _, r := range []JoinRequest{{Cluster: "x", Node: "n"}, {Cluster: testCluster, Node: ""}, {Cluster: testCluster, Node: "a b"}} {
		b, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseJoinRequest(b); !errors.Is(err, ErrProtocol) {
			t.Errorf("parseJoinRequest(%+v) = %v, want %v", r, err, ErrProtocol)
		}
	}
}

func TestRefusal_Text(t *testing.T) {
	t.Parallel()
	err := parseRefusal(refuse(RefusedByOwner, "line\nbreak \x1b[31m\u202e%s", strings.Repeat("x", 5000)).encode()[1:])
	var r *RefusedError
	if !errors.As(err, &r) || !r.ByPeer || strings.ContainsAny(r.Text, "\n\x1b\u202e") || len(r.Text) > maxText {
		t.Errorf("parseRefusal() = %q", err)
	}
	for i := Refusal(0); i < 20; i++ {
		if i.String() == "" {
			t.Errorf("refusal %d has no name", i)
		}
	}
}

// Messages of two classes whose frames alternate come out whole.
func TestAssembler(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		msg := func(label string) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, label) }
		raft, client := msg("raft"), msg("client")
		step := rapid.IntRange(1, 50).Draw(t, "step")
		var b []byte
		r, c := raft, client
		rDone, cDone := false, false
		for !rDone || !cDone {
			if !rDone && (cDone || rapid.Bool().Draw(t, "raft next")) {
				n := min(step, len(r))
				rDone = n == len(r)
				b = appendFrame(b, transport.ClassRaft, rDone, r[:n])
				r = r[n:]
			} else {
				n := min(step, len(c))
				cDone = n == len(c)
				b = appendFrame(b, transport.ClassClient, cDone, c[:n])
				c = c[n:]
			}
		}
		var asm assembler
		in := bytes.NewReader(b)
		got := map[transport.Class][]byte{}
		for in.Len() > 0 {
			class, m, _, done, err := asm.read(in)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				got[class] = m
			}
		}
		if !bytes.Equal(got[transport.ClassRaft], raft) || !bytes.Equal(got[transport.ClassClient], client) {
			t.Fatalf("messages = %x, want %x and %x", got, raft, client)
		}
	})
}

// Every length at its edges.
func TestAssembler_Limits(t *testing.T) {
	t.Parallel()
	full := appendFrame(nil, transport.ClassRaft, false, make([]byte, maxFrame))
	endless := io.MultiReader(bytes.NewReader(bytes.Repeat(full, transport.MaxRaft/maxFrame)), bytes.NewReader(appendFrame(nil, transport.ClassRaft, true, []byte{1})))
	var asm assembler
	for {
		_, _, _, done, err := asm.read(endless)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatalf("read() = %v, want %v", err, ErrProtocol)
			}
			break
		}
		if done {
			t.Fatal("a message beyond the limit was taken")
		}
	}
	for name, b := range map[string][]byte{"header": {2, 1, 0}, "payload": {2, 1, 0, 5, 1, 2}} {
		var asm assembler
		if _, _, _, _, err := asm.read(bytes.NewReader(b)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s cut: read() = %v, want %v", name, err, io.ErrUnexpectedEOF)
		}
	}
	var none assembler
	if _, _, _, _, err := none.read(bytes.NewReader(nil)); err != io.EOF {
		t.Errorf("read() at the end = %v, want io.EOF", err)
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add(appendFrame(nil, transport.ClassRaft, true, []byte("hello")))
	f.Add(appendFrame(appendFrame(nil, transport.ClassClient, false, []byte("a")), transport.ClassControl, true, nil))
	f.Add([]byte{2, 1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var asm assembler
		r := bytes.NewReader(b)
		total := 0
		for {
			_, m, _, done, err := asm.read(r)
			if err != nil {
				return
			}
			if done {
				total += len(m)
			}
			if total > len(b) {
				t.Fatalf("%d bytes came out of %d", total, len(b))
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	h := Hello{MinVersion: 1, MaxVersion: 1, Cluster: testCluster, Node: 1, Name: "n1", purpose: purposeMain}
	b, err := h.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b, 1, 1)
		if err != nil {
			return
		}
		again, err := h.encode()
		if err != nil {
			t.Fatalf("encode() of a parsed hello = %v", err)
		}
		if !bytes.HasPrefix(b, again[1:]) {
			t.Fatalf("encode() = %x, want a prefix of %x", again[1:], b)
		}
	})
}

func FuzzJoinRequest(f *testing.F) {
	r := JoinRequest{Cluster: testCluster, Node: "n1", Request: []byte("csr"), Info: []byte("info")}
	b, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseJoinRequest(b)
		if err != nil {
			return
		}
		if again, err := r.encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encode() = %x, %v, want %x", again, err, b)
		}
	})
}

func FuzzControl(f *testing.F) {
	f.Add([]byte{kindPing, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add(binary.BigEndian.AppendUint32([]byte{kindWindow}, 5))
	f.Add((&RefusedError{Refusal: RefusedBusy, Text: "no"}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &conn{session: &session{}, wake: make(chan struct{}, 1), credit: ClientWindow / 2, p: &peer{}}
		_ = c.handleControl(b)
		c.gather(nil)
	})
}

// Order of classes, without a network: an urgent message goes ahead of the rest of a large one, and raft does not starve clients.
func TestConn_Gather(t *testing.T) {
	t.Parallel()
	p := &peer{}
	c := &conn{session: &session{}, wake: make(chan struct{}, 1), credit: ClientWindow, p: p}
	p.out.active = c
	push := func(class transport.Class, n int) {
		t.Helper()
		if _, err := p.out.push(class, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	classes := func(b []byte) (out string) {
		for len(b) > 0 {
			f, err := parseFrame([4]byte(b[:4]))
			if err != nil {
				t.Fatal(err)
			}
			out += map[transport.Class]string{1: "p", 2: "r", 3: "c"}[f.class]
			b = b[4+f.size:]
		}
		return out
	}
	next := func() string { b, _ := c.gather(nil); return classes(b) }
	push(transport.ClassClient, 10*maxFrame)
	if got := next(); got != "cc" {
		t.Fatalf("gather() = %q, want two frames, not the whole message", got)
	}
	push(transport.ClassRaft, 100)
	c.pongDue = true
	if got := next(); got != "prcc" {
		t.Fatalf("gather() = %q, want control and raft first", got)
	}
	for range 30 {
		push(transport.ClassRaft, 10)
	}
	if got := next(); got != "rrrrrrrrcrrrrrrrrc" {
		t.Fatalf("gather() = %q, want one client frame after %d of raft", got, raftRun)
	}
	// Without credit, client messages wait and raft goes on.
	for next() != "" {
	}
	c.credit = maxFrame
	push(transport.ClassClient, 5)
	push(transport.ClassRaft, 5)
	if got := next(); got != "r" {
		t.Fatalf("gather() without credit = %q, want raft alone", got)
	}
	c.credit = ClientWindow
	if got := next(); got != "c" {
		t.Fatalf("gather() with credit = %q, want the client message", got)
	}
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	c := &conn{wake: make(chan struct{}, 1)}
	d := &conn{wake: make(chan struct{}, 1)}
	var o outbox
	o.setActive(c)
	n := 0
	for ; ; n++ {
		if _, err := o.push(transport.ClassRaft, []byte{1}); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if n != maxQueue {
		t.Errorf("%d messages fit, want %d", n, maxQueue)
	}
	if _, ok := o.take(d, transport.ClassRaft); ok {
		t.Error("a connection that is not active got a message")
	}
	if m, _ := o.take(c, transport.ClassRaft); string(m) != "\x01" {
		t.Errorf("take() = %q", m)
	}
	o.setActive(d)
	o.giveBack(transport.ClassRaft, []byte("again"))
	if m, _ := o.take(d, transport.ClassRaft); string(m) != "again" {
		t.Errorf("take() = %q, want what was given back", m)
	}
	big := make([]byte, transport.MaxRaft)
	for i := range 3 {
		if _, err := o.push(transport.ClassClient, big); (err == nil) != (i < 2) {
			t.Errorf("push() of large message %d = %v", i, err)
		}
	}
	room, err := o.push(transport.ClassClient, big)
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	o.setActive(nil)
	<-room // waiting senders learn that the connection is gone
	o.giveBack(transport.ClassRaft, []byte("lost"))
	o.setActive(d)
	if m, ok := o.take(d, transport.ClassRaft); ok {
		t.Errorf("take() = %d bytes, want nothing of what waited for a lost peer", len(m))
	}
	o.setActive(nil)
	if _, err := o.push(transport.ClassClient, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("push() = %v, want %v", err, ErrNotConnected)
	}
}
