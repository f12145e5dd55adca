package membership

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// encode is what beat does, for any content.
func encode(h *heartbeat) []byte {
	b := append(h.appendHead(nil), byte(len(h.rows)))
	for i := range h.rows {
		b = appendRow(b, &h.rows[i].row, h.rows[i].age)
	}
	return b
}

func drawRow(t *rapid.T) wireRow {
	w := wireRow{row: Row{Node: NodeID(rapid.Uint16Range(1, 1<<16-1).Draw(t, "node"))}}
	w.age = time.Duration(rapid.IntRange(0, 60_000).Draw(t, "age")) * time.Millisecond
	last := 0
	for range rapid.IntRange(0, 6).Draw(t, "heard") {
		last += rapid.IntRange(1, 5000).Draw(t, "step")
		w.row.Heard = append(w.row.Heard, Heard{NodeID(last), LinkSet(rapid.Byte().Draw(t, "links"))})
	}
	last = 0
	for range rapid.IntRange(0, 3).Draw(t, "nostream") {
		last += rapid.IntRange(1, 5000).Draw(t, "step")
		w.row.NoStream = append(w.row.NoStream, NodeID(last))
	}
	return w
}

func TestHeartbeat_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := &heartbeat{
			flags:       rapid.Byte().Draw(t, "flags"),
			incarnation: Incarnation(rapid.Uint64Range(1, 1<<64-1).Draw(t, "incarnation")),
			seq:         rapid.Uint64Range(1, 1<<64-1).Draw(t, "seq"),
			sent:        rapid.Uint64().Draw(t, "sent"),
			interval:    time.Duration(rapid.IntRange(1, 5000).Draw(t, "interval")) * time.Millisecond,
			leader:      NodeID(rapid.Uint16().Draw(t, "leader")),
			applied:     rapid.Uint64().Draw(t, "applied"),
			boot:        rapid.StringMatching("[a-z0-9-]{0,64}").Draw(t, "boot"),
		}
		if h.flags&flagEcho != 0 {
			h.echo, h.held = rapid.Uint64().Draw(t, "echo"), rapid.Uint64().Draw(t, "held")
		}
		for range rapid.IntRange(1, 8).Draw(t, "rows") {
			h.rows = append(h.rows, drawRow(t))
		}
		got, err := decodeHeartbeat(encode(h))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, h) {
			t.Fatalf("decode(encode(h)) = %+v, want %+v", got, h)
		}
	})
}

// The largest row and head fit the size that the code reserves for them.
func TestHeartbeat_LargestFits(t *testing.T) {
	t.Parallel()
	h := &heartbeat{flags: 0xff, incarnation: 1<<64 - 1, seq: 1<<64 - 1, sent: 1<<64 - 1, echo: 1<<64 - 1, held: 1<<64 - 1,
		interval: 5 * time.Second, leader: 1<<16 - 1, applied: 1<<64 - 1, boot: strings.Repeat("b", MaxBoot)}
	if n := len(h.appendHead(nil)) + 1; n > maxHead {
		t.Errorf("head of %d bytes, more than maxHead %d", n, maxHead)
	}
	r := Row{Node: 1<<16 - 1}
	for i := range MaxMembers - 1 {
		id := NodeID((i + 1) * 1000)
		r.Heard = append(r.Heard, Heard{id, 0xff})
		r.NoStream = append(r.NoStream, id)
	}
	if n := len(appendRow(nil, &r, time.Hour)); n > maxRow {
		t.Errorf("row of %d bytes, more than maxRow %d", n, maxRow)
	}
}

func sample() *heartbeat {
	return &heartbeat{flags: flagEcho | flagQuorate, incarnation: 7, seq: 1, sent: 1000, echo: 5, held: 6, interval: 100 * time.Millisecond,
		leader: 1, applied: 99, boot: "boot",
		rows: []wireRow{{row: Row{Node: 2, Heard: []Heard{{1, 3}, {3, 1}}, NoStream: []NodeID{3}}}, {row: Row{Node: 3}, age: time.Second}}}
}

func TestHeartbeat_BadInput(t *testing.T) {
	t.Parallel()
	good := encode(sample())
	for n := range good {
		if _, err := decodeHeartbeat(good[:n]); !errors.Is(err, ErrHeartbeat) {
			t.Errorf("first %d of %d bytes: error %v, want ErrHeartbeat", n, len(good), err)
		}
	}
	change := func(f func(*heartbeat)) []byte {
		h := sample()
		f(h)
		return encode(h)
	}
	tests := []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "it ends before its version"},
		{"other version", append([]byte{2}, good[1:]...), "its version is 2, this program knows version 1"},
		{"trailing", append(append([]byte{}, good...), 0), "1 bytes follow its end"},
		{"too long", make([]byte, MaxHeartbeat+1), "it has 1101 bytes, at most 1100 are possible"},
		{"no incarnation", change(func(h *heartbeat) { h.incarnation = 0 }), "the incarnation is 0"},
		{"no sequence", change(func(h *heartbeat) { h.seq = 0 }), "the sequence is 0"},
		{"no interval", change(func(h *heartbeat) { h.interval = 0 }), "the interval is 0"},
		{"interval too long", change(func(h *heartbeat) { h.interval = 6 * time.Second }), "the interval is 6000, at most 5000 is possible"},
		{"no row", change(func(h *heartbeat) { h.rows = nil }), "it has no row of its sender"},
		{"row of nobody", change(func(h *heartbeat) { h.rows[1].row.Node = 0 }), "a row is of node 0"},
		{"same peer twice", change(func(h *heartbeat) { h.rows[0].row.Heard[1].Node = 1 }), "not ascending"},
	}
	for _, tt := range tests {
		if _, err := decodeHeartbeat(tt.b); !errors.Is(err, ErrHeartbeat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// No datagram makes a core panic, and a refused one changes nothing.
func FuzzReceiveHeartbeat(f *testing.F) {
	f.Add(encode(sample()))
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := testCore(t)
		c.Ready()
		before := fmt.Sprint(c.View(), c.Matrix())
		if err := c.ReceiveHeartbeat(2, 0, b, 1000); err != nil {
			if !errors.Is(err, ErrHeartbeat) {
				t.Fatalf("error %v does not wrap ErrHeartbeat", err)
			}
			if after := fmt.Sprint(c.View(), c.Matrix()); after != before {
				t.Fatalf("refused heartbeat changed the view:\n%s\n%s", before, after)
			}
		}
		for i := range 100 {
			c.Tick(Instant(1000).Add(time.Duration(i) * 50 * time.Millisecond))
			for _, hb := range c.Ready().Heartbeats {
				if len(hb.Payload) > MaxHeartbeat {
					t.Fatalf("heartbeat of %d bytes", len(hb.Payload))
				}
				if _, err := decodeHeartbeat(hb.Payload); err != nil {
					t.Fatalf("own heartbeat: %v", err)
				}
			}
		}
	})
}

func testCore(t testing.TB) *Core {
	t.Helper()
	c, err := New(Config{Self: 1, Incarnation: 1, IgnoreStreams: true, Members: []Member{
		{ID: 1, Links: 3, Voter: true}, {ID: 2, Links: 3, Voter: true}, {ID: 3, Links: 1, Voter: true}}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCore_RefusesStrangers(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	for name, tc := range map[string]struct {
		from NodeID
		link LinkID
		want string
	}{
		"no member":      {9, 0, "node 9 is no member"},
		"itself":         {1, 0, "this node itself"},
		"unused link":    {3, 1, "link 1, which is not used"},
		"no such link":   {2, 200, "link 200, which is not used"},
		"row of another": {3, 0, "first row is of node 2"},
	} {
		err := c.ReceiveHeartbeat(tc.from, tc.link, encode(sample()), 5)
		if !errors.Is(err, ErrHeartbeat) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
}

// A datagram of a process that is gone does not replace the one that runs, and no process is refused for ever.
func TestCore_LateDatagramOfOldProcess(t *testing.T) {
	t.Parallel()
	c := testCore(t)
	now := Instant(0)
	beat := func(inc Incarnation, seq uint64) error {
		now = now.Add(50 * time.Millisecond)
		h := sample()
		h.incarnation, h.seq, h.sent = inc, seq, seq*1000
		return c.ReceiveHeartbeat(2, 0, encode(h), now)
	}
	incarnation := func() Incarnation { m, _ := memberOf(c, 2); return m.Incarnation }
	for i := range uint64(3) {
		if err := beat(20, i+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := beat(10, 500); err == nil || incarnation() != 20 {
		t.Errorf("one late datagram: error %v, incarnation %d, want refusal and 20", err, incarnation())
	}
	_ = beat(20, 4)
	if err := beat(10, 501); err == nil {
		t.Error("another late datagram was taken")
	}
	if err := beat(10, 502); err != nil || incarnation() != 10 {
		t.Errorf("two in a row: error %v, incarnation %d, want 10", err, incarnation())
	}
	// Back to the one replaced: it takes more, but it is possible.
	n := 0
	for i := uint64(5); incarnation() != 20 && n < 50; i++ {
		_ = beat(20, i)
		n++
	}
	if n != oldNeeds {
		t.Errorf("the old process was believed after %d heartbeats, want %d", n, oldNeeds)
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	good := Config{Self: 1, Incarnation: 5, Members: []Member{{ID: 1, Links: 1}, {ID: 2, Links: 1}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no incarnation", func(c *Config) { c.Incarnation = 0 }, "incarnation of this process is 0"},
		{"stranger", func(c *Config) { c.Self = 3 }, "number 3, which is not among the members"},
		{"zero", func(c *Config) { c.Members = append(c.Members, Member{Links: 1}) }, "a member has number 0"},
		{"twice", func(c *Config) { c.Members = append(c.Members, Member{ID: 2, Links: 1}) }, "two members have number 2"},
		{"no link", func(c *Config) { c.Members[1].Links = 0 }, "member 2 has no link"},
		{"boot", func(c *Config) { c.Boot = strings.Repeat("x", 65) }, "boot mark has 65 bytes"},
		{"many", func(c *Config) { c.Members = make([]Member, 65) }, "65 members, at most 64"},
		{"timing", func(c *Config) { c.Timing = Timing{Interval: time.Second, Dead: time.Second} }, "less than 7 heartbeat intervals"},
	}
	for _, tt := range tests {
		c := good
		c.Members = append([]Member{}, good.Members...)
		tt.change(&c)
		if err := c.Validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
		if _, err := New(c, 0); err == nil {
			t.Errorf("%s: New accepted it", tt.name)
		}
	}
}

func TestCore_AloneIsQuiet(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Self: 1, Incarnation: 1, Members: []Member{{ID: 1, Voter: true}}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := c.NextTick(); ok {
		t.Errorf("a cluster of one waits for %v", at)
	}
	if v := c.View(); len(v.Together) != 1 {
		t.Errorf("together %v, want [1]", v.Together)
	}
	c.Goodbye(5)
	if !c.Ready().Gone {
		t.Error("a goodbye to nobody is not done")
	}
}

func BenchmarkReceiveHeartbeat(b *testing.B) {
	for _, n := range []int{3, 16, 64} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			var ms []Member
			for i := range n {
				ms = append(ms, Member{ID: NodeID(i + 1), Links: 3, Voter: i < 7})
			}
			mk := func(self NodeID) *Core {
				c, err := New(Config{Self: self, Incarnation: 1, Members: ms, IgnoreStreams: true}, 0)
				if err != nil {
					b.Fatal(err)
				}
				return c
			}
			one, two := mk(1), mk(2)
			two.Ready()
			now := Instant(0)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(100 * time.Millisecond)
				two.Tick(now)
				for _, hb := range two.Ready().Heartbeats {
					if hb.To == 1 {
						if err := one.ReceiveHeartbeat(2, hb.Link, hb.Payload, now); err != nil {
							b.Fatal(err)
						}
					}
				}
				one.Ready()
			}
		})
	}
}
