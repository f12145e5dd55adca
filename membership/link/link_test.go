package link

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/membership/detector"
	"github.com/quorate/quorate/membership/identity"
)

const ms = time.Millisecond

// feed sends n heartbeats at the interval, each lost when drop says so.
func feed(l *Link, seq *uint64, now *Instant, n int, drop func() bool) {
	for range n {
		*now = now.Add(100 * ms)
		*seq++
		l.Tick(*now)
		if !drop() {
			l.Receive(*seq, *now)
		}
	}
}

func never() bool  { return false }
func always() bool { return true }

func TestLink_States(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	now, seq := Instant(0), uint64(0)
	l := New(detector.Default, 0)
	check := func(what string, want State) {
		t.Helper()
		if l.State() != want {
			t.Errorf("%s: %v (%+v), want %v", what, l.State(), l.Quality(), want)
		}
	}
	check("new", Unknown)
	feed(&l, &seq, &now, 1, never)
	check("first heartbeat", Up)
	feed(&l, &seq, &now, 200, func() bool { return rng.IntN(100) < 1 })
	check("1 % loss", Up)
	feed(&l, &seq, &now, 200, func() bool { return rng.IntN(100) < 25 })
	check("25 % loss", Degraded)
	if q := l.Quality(); q.Loss < 10 || q.Loss > 45 {
		t.Errorf("measured loss %d %%, want about 25", q.Loss)
	}
	feed(&l, &seq, &now, 40, never)
	check("loss still in the window", Degraded)
	feed(&l, &seq, &now, 40, never)
	check("no loss for a window", Up)
	feed(&l, &seq, &now, 16, always)
	check("silence", Dead)
	feed(&l, &seq, &now, 2, never)
	check("two heartbeats", Dead)
	feed(&l, &seq, &now, 1, never)
	check("three heartbeats", Up)
	if l.Quality().Loss != 0 {
		t.Errorf("loss %d %% after a dead time, want 0: it says nothing about now", l.Quality().Loss)
	}
	if !l.Avoided(now) || l.Avoided(now.Add(flapPenalty)) {
		t.Error("a link that died once is avoided for the penalty, no longer")
	}
	for range 20 {
		l.RTT(150 * ms)
	}
	check("round trip of 150 ms", Degraded)
	feed(&l, &seq, &now, 64, never)
	for range 40 {
		l.RTT(1 * ms)
	}
	check("round trip of 1 ms", Up)
	l.RTT(-1)
	l.RTT(2 * time.Minute)
	if got := l.Quality().RTT; got > 5*ms {
		t.Errorf("impossible round trips count: %v", got)
	}
}

func TestLink_Numbers(t *testing.T) {
	t.Parallel()
	l := New(detector.Default, 0)
	for i, tt := range []struct {
		seq   uint64
		fresh bool
		loss  int
	}{{0, false, 0}, {1, true, 0}, {1, false, 0}, {4, true, 50}, {2, false, 25}, {3, false, 0}, {100, true, 98}, {1, false, 98}, {1<<64 - 1, true, 98}, {5, false, 98}} {
		if got := l.Receive(tt.seq, Instant(i)); got != tt.fresh || l.Quality().Loss != tt.loss {
			t.Errorf("Receive(%d) = %v, loss %d; want %v, %d", tt.seq, got, l.Quality().Loss, tt.fresh, tt.loss)
		}
	}
}

// However a link behaves: alarms are at most the burst and one for each interval, each tells a change, and
// the last one tells the truth.
func TestLink_AlarmsAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := New(detector.Fast, 0)
		now, seq, told := Instant(0), uint64(0), Unknown
		alarms := 0
		poll := func() {
			if a, ok := l.Alarm(now); ok {
				alarms++
				if a.From != told || a.To != l.State() || a.To == a.From || a.Suppressed < 0 {
					t.Fatalf("alarm %+v, told %v, state %v", a, told, l.State())
				}
				told = a.To
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "phases") {
			drop := rapid.SampledFrom([]func() bool{never, always}).Draw(t, "drop")
			for range rapid.IntRange(1, 80).Draw(t, "length") {
				now = now.Add(20 * ms)
				seq++
				l.Tick(now)
				if !drop() {
					l.Receive(seq, now)
				}
				poll()
			}
		}
		if limit := alarmBurst + 1 + int(now.Sub(0)/AlarmInterval); alarms > limit {
			t.Fatalf("%d alarms in %v, at most %d", alarms, now.Sub(0), limit)
		}
		if at, ok := l.AlarmAt(); ok {
			now = max(now, at)
			poll()
		}
		if told != l.State() {
			t.Fatalf("told %v, but it is %v", told, l.State())
		}
	})
}

func TestLink_RestartKeepsDead(t *testing.T) {
	t.Parallel()
	l := New(detector.Default, 0)
	l.Receive(1000, 1)
	l.Tick(Instant(2 * time.Second))
	if l.State() != Dead {
		t.Fatalf("state %v, want dead", l.State())
	}
	l.Restart(Instant(3 * time.Second))
	for i := range uint64(3) {
		if l.State() != Dead {
			t.Errorf("up after %d heartbeats", i)
		}
		if !l.Receive(i+1, Instant(3*time.Second).Add(time.Duration(i)*100*ms)) {
			t.Errorf("heartbeat %d of the new process is not fresh", i+1)
		}
	}
	if l.State() != Up {
		t.Errorf("state %v, want up", l.State())
	}
}

func TestBest(t *testing.T) {
	t.Parallel()
	q := func(rtt time.Duration, loss int) Quality { return Quality{RTT: rtt, Loss: loss} }
	tests := []struct {
		name    string
		cands   []Candidate
		current int // -1 = none
		want    int // -1 = none
	}{
		{"nothing", nil, -1, -1},
		{"all dead", []Candidate{{ID: 0, State: Dead}, {ID: 1}}, 0, -1},
		{"lowest number", []Candidate{{ID: 1, State: Up}, {ID: 0, State: Up}}, -1, 0},
		{"current stays", []Candidate{{ID: 0, State: Up}, {ID: 1, State: Up}}, 1, 1},
		{"current died", []Candidate{{ID: 0, State: Up}, {ID: 1, State: Dead}}, 1, 0},
		{"current degraded", []Candidate{{ID: 0, State: Degraded}, {ID: 1, State: Up}}, 0, 1},
		{"flapped", []Candidate{{ID: 0, State: Up, Avoided: true}, {ID: 1, State: Degraded}}, 0, 1},
		{"only one flapped", []Candidate{{ID: 0, State: Degraded, Avoided: true}, {ID: 1, State: Dead}}, -1, 0},
		{"slightly faster", []Candidate{{ID: 0, State: Up, Quality: q(3*ms, 0)}, {ID: 1, State: Up, Quality: q(2*ms, 0)}}, 0, 0},
		{"much faster", []Candidate{{ID: 0, State: Up, Quality: q(9*ms, 0)}, {ID: 1, State: Up, Quality: q(2*ms, 0)}}, 0, 1},
		{"faster in the noise", []Candidate{{ID: 0, State: Up, Quality: q(900*time.Microsecond, 0)}, {ID: 1, State: Up, Quality: q(100*time.Microsecond, 0)}}, 0, 0},
		{"loses less", []Candidate{{ID: 0, State: Up, Quality: q(1*ms, 6)}, {ID: 1, State: Up, Quality: q(1*ms, 0)}}, 0, 1},
		{"unknown is not used", []Candidate{{ID: 0, State: Unknown}, {ID: 1, State: Degraded}}, -1, 1},
	}
	for _, tt := range tests {
		for range 2 {
			id, ok := Best(tt.cands, identity.LinkID(max(tt.current, 0)), tt.current >= 0)
			got := -1
			if ok {
				got = int(id)
			}
			if got != tt.want {
				t.Errorf("%s: Best() = %d, want %d", tt.name, got, tt.want)
			}
			slices.Reverse(tt.cands)
		}
	}
}
