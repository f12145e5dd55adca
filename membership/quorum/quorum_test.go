package quorum

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func ids(s ...ID) []ID { return s }

func TestDecide(t *testing.T) {
	t.Parallel()
	seen := func(present ...ID) Input { return Input{Self: present[0], Present: present, SeenAll: true} }
	fenced := func(in Input, f ...ID) Input { in.Fenced = f; return in }
	alone := func(in Input) Input { in.SeenAll = false; return in }
	told := func(in Input) Input { in.SeenAll, in.Told = false, true; return in }
	two, three, four := Config{Voters: ids(1, 2)}, Config{Voters: ids(1, 2, 3)}, Config{Voters: ids(1, 2, 3, 4)}
	tie := Config{Voters: ids(1, 2, 3, 4), TieBreaker: 3}
	tests := []struct {
		name    string
		cfg     Config
		in      Input
		quorate bool
		reason  Reason
		fence   []ID
	}{
		{"single", Config{Voters: ids(1)}, alone(seen(1)), true, Majority, nil},
		{"two of two", two, alone(seen(1, 2)), true, Majority, nil},
		{"one of two", two, seen(1), false, Split, ids(2)},
		{"one of two, fenced", two, fenced(seen(1), 2), true, Survivor, nil},
		{"one of two, fenced and back", two, fenced(seen(1, 2), 2), true, Majority, nil},
		{"booted alone", two, alone(seen(1)), false, Waiting, nil},
		{"booted alone, even when fenced", two, fenced(alone(seen(1)), 2), false, Waiting, nil},
		{"booted alone, told", two, fenced(told(seen(1)), 2), true, Survivor, nil},
		{"told does not replace fencing", two, told(seen(1)), false, Split, ids(2)},
		{"two, tie-breaker elsewhere", Config{Voters: ids(1, 2), TieBreaker: 2}, seen(1), false, Split, nil},
		{"two, tie-breaker here", Config{Voters: ids(1, 2), TieBreaker: 1}, seen(1), false, Split, ids(2)},
		{"two of three", three, alone(seen(3, 1)), true, Majority, nil},
		{"one of three", three, seen(3), false, Minority, nil},
		{"one of three, others fenced", three, fenced(seen(3), 1, 2), false, Minority, nil},
		{"two of three, wait for all", Config{Voters: ids(1, 2, 3), WaitForAll: true}, alone(seen(1, 2)), false, Waiting, nil},
		{"three of three, wait for all", Config{Voters: ids(1, 2, 3), WaitForAll: true}, alone(seen(1, 2, 3)), true, Majority, nil},
		{"two of three, wait for all, seen", Config{Voters: ids(1, 2, 3), WaitForAll: true}, seen(1, 2), true, Majority, nil},
		{"half of four", four, seen(1, 2), false, Split, nil},
		{"half of four with tie-breaker", tie, seen(3, 4), false, Split, ids(1, 2)},
		{"half of four without it", tie, seen(1, 2), false, Split, nil},
		{"half of four, half fenced", tie, fenced(seen(3, 4), 1), false, Split, ids(2)},
		{"half of four, all fenced", tie, fenced(seen(3, 4), 1, 2), true, Survivor, nil},
		{"not a voter, majority", three, seen(9, 1, 2), true, Majority, nil},
		{"not a voter, alone", three, seen(9), false, Minority, nil},
	}
	for _, tt := range tests {
		d := Decide(tt.cfg, tt.in)
		if d.Quorate != tt.quorate || d.Reason != tt.reason || !slices.Equal(d.MayFence, tt.fence) {
			t.Errorf("%s: Decide() = %v %q fence %v, want %v %q fence %v", tt.name, d.Quorate, d.Reason, d.MayFence, tt.quorate, tt.reason, tt.fence)
		}
	}
}

// Whatever partition: two sides are never quorate at once, as long as only what a side was allowed to fence
// was fenced, and a fenced node decides nothing.
func TestDecide_NeverTwoQuorateSides(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "voters")
		cfg := Config{WaitForAll: rapid.Bool().Draw(t, "wfa")}
		for i := range n {
			cfg.Voters = append(cfg.Voters, ID(i+1))
		}
		if rapid.Bool().Draw(t, "tie") {
			cfg.TieBreaker = ID(rapid.IntRange(1, n).Draw(t, "breaker"))
		}
		sides := make([][]ID, 3)
		for _, v := range cfg.Voters {
			s := rapid.IntRange(0, 2).Draw(t, "side")
			sides[s] = append(sides[s], v)
		}
		off := map[ID]bool{}
		quorate := func() int {
			q := 0
			for _, side := range sides {
				side = slices.DeleteFunc(slices.Clone(side), func(v ID) bool { return off[v] })
				if len(side) == 0 {
					continue
				}
				var f []ID
				for v := range off {
					f = append(f, v)
				}
				if Decide(cfg, Input{Self: side[0], Present: side, Fenced: f, SeenAll: true}).Quorate {
					q++
				}
			}
			return q
		}
		if quorate() > 1 {
			t.Fatalf("%v: two quorate sides", sides)
		}
		// Sides that may fence do so in a random order; a fenced side fences no more.
		for range 2 * n {
			side := slices.DeleteFunc(slices.Clone(sides[rapid.IntRange(0, 2).Draw(t, "fencer")]), func(v ID) bool { return off[v] })
			if len(side) == 0 {
				continue
			}
			var f []ID
			for v := range off {
				f = append(f, v)
			}
			d := Decide(cfg, Input{Self: side[0], Present: side, Fenced: f, SeenAll: true})
			if len(d.MayFence) > 0 {
				off[d.MayFence[0]] = true
			}
			if quorate() > 1 {
				t.Fatalf("%v: two quorate sides after fencing %v", sides, off)
			}
		}
	})
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	if err := (Config{Voters: ids(3, 1), TieBreaker: 1}).Validate(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{}, "no voter"},
		{Config{Voters: ids(1, 0)}, "0 is no raft identity"},
		{Config{Voters: ids(1, 1)}, "listed twice"},
		{Config{Voters: ids(1), TieBreaker: 2}, "tie-breaker 2 is not a voter"},
	} {
		if err := tt.c.Validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.c, err, tt.want)
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	want := []int{0, 1, 2, 3, 3, 5, 5, 7, 7, 7, 7}
	for n, w := range want {
		if got := Target(n); got != w {
			t.Errorf("Target(%d) = %d, want %d", n, got, w)
		}
	}
}

func up(id ID) Candidate {
	return Candidate{ID: id, Present: true, CaughtUp: true, Steady: time.Hour}
}

func TestNext(t *testing.T) {
	t.Parallel()
	with := func(c Candidate, f func(*Candidate)) Candidate { f(&c); return c }
	gone := func(id ID, d time.Duration) Candidate {
		return Candidate{ID: id, Steady: d}
	}
	witness := func(id ID) Candidate { return with(up(id), func(c *Candidate) { c.Witness = true }) }
	tests := []struct {
		name   string
		cands  []Candidate
		voters []ID
		want   Change
	}{
		{"as it should be", []Candidate{up(1), up(2), up(3)}, ids(1, 2, 3), Change{}},
		{"second member", []Candidate{up(1), up(2)}, ids(1), Change{Add: 2}},
		{"second member behind", []Candidate{up(1), with(up(2), func(c *Candidate) { c.CaughtUp = false })}, ids(1), Change{}},
		{"third member", []Candidate{up(1), up(2), up(3)}, ids(1, 2), Change{Add: 3}},
		{"fourth member stays a learner", []Candidate{up(1), up(2), up(3), up(4)}, ids(1, 2, 3), Change{}},
		{"fifth", []Candidate{up(1), up(2), up(3), up(4), up(5)}, ids(1, 2, 3), Change{Add: 4}},
		{"five, one not ready", []Candidate{up(1), up(2), up(3), up(4), gone(5, time.Minute)}, ids(1, 2, 3), Change{}},
		{"two, one absent: both stay", []Candidate{up(1), gone(2, time.Hour)}, ids(1, 2), Change{}},
		{"absent for long", []Candidate{up(1), up(2), gone(3, ReplaceAfter), up(4)}, ids(1, 2, 3), Change{Add: 4}},
		{"then it goes", []Candidate{up(1), up(2), gone(3, ReplaceAfter), up(4)}, ids(1, 2, 3, 4), Change{Remove: 3}},
		{"absent for a reboot", []Candidate{up(1), up(2), gone(3, ReplaceAfter-1), up(4)}, ids(1, 2, 3), Change{}},
		{"no member any more", []Candidate{up(1), up(2)}, ids(1, 2, 3), Change{Remove: 3}},
		{"one of four went", []Candidate{up(1), up(2), up(3)}, ids(1, 2, 3, 4), Change{Remove: 4}},
		{"barred", []Candidate{up(1), with(up(2), func(c *Candidate) { c.Barred = true }), up(3)}, ids(1, 2, 3), Change{Remove: 2}},
		{"no quorum, no change", []Candidate{up(1), gone(2, time.Hour), gone(3, time.Hour), up(4)}, ids(1, 2, 3), Change{}},
		{"witness first", []Candidate{up(1), up(2), up(3), witness(4)}, ids(1, 2), Change{Add: 4}},
		{"witness replaces", []Candidate{up(1), up(2), up(3), witness(4)}, ids(1, 2, 3), Change{Add: 4}},
		{"and the last member goes", []Candidate{up(1), up(2), up(3), witness(4)}, ids(1, 2, 3, 4), Change{Remove: 3}},
		{"barred, but its vote is needed first", []Candidate{up(1), with(up(2), func(c *Candidate) { c.Barred = true }), gone(3, time.Minute)}, ids(1, 2, 3), Change{Remove: 3}},
		{"barred, but needed until an absent one is gone", []Candidate{up(1), up(2), with(up(3), func(c *Candidate) { c.Barred = true }), gone(4, 0), gone(5, 0)}, ids(1, 2, 3, 4, 5), Change{Remove: 5}},
		{"the leader stays", []Candidate{up(1), up(2)}, ids(1), Change{Add: 2}},
		{"unstable goes first", []Candidate{up(1), with(up(2), func(c *Candidate) { c.Losses = 3 }), up(3), up(4)}, ids(1, 2, 3, 4), Change{Remove: 2}},
		{"removing must leave a majority", []Candidate{up(1), up(2), gone(3, time.Hour), gone(4, time.Minute)}, ids(1, 2, 3, 4), Change{}},
	}
	for _, tt := range tests {
		got, ok := Next(tt.cands, tt.voters, 1)
		if got.Add != tt.want.Add || got.Remove != tt.want.Remove || ok != (tt.want != Change{}) {
			t.Errorf("%s: Next() = %+v %v, want %+v", tt.name, got, ok, tt.want)
		}
	}
}

// From any state: every step keeps a majority present, the steps end, they never take the vote of the
// leader, and with all members present the number of voters is right in the end.
func TestNext_Settles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "members")
		var cands []Candidate
		all := true
		for i := range n {
			c := up(ID(i + 1))
			c.Witness = rapid.IntRange(0, 5).Draw(t, "witness") == 0
			if i > 0 {
				c.Present = rapid.IntRange(0, 4).Draw(t, "present") > 0
				c.Barred = rapid.IntRange(0, 3).Draw(t, "barred") == 0
			}
			c.Losses = rapid.IntRange(0, 3).Draw(t, "losses")
			all = all && c.Present && !c.Barred
			cands = append(cands, c)
		}
		voters := ids(1)
		for i := 1; i < n; i++ {
			if rapid.Bool().Draw(t, "voter") {
				voters = append(voters, ID(i+1))
			}
		}
		for step := 0; ; step++ {
			ch, ok := Next(cands, voters, 1)
			if !ok {
				break
			}
			if step > 30 {
				t.Fatalf("no end: voters %v, change %+v, candidates %+v", voters, ch, cands)
			}
			if (ch.Add == 0) == (ch.Remove == 0) || ch.Remove == 1 || ch.Reason == "" {
				t.Fatalf("change %+v", ch)
			}
			if ch.Add != 0 {
				if slices.Contains(voters, ch.Add) {
					t.Fatalf("adds voter %d again", ch.Add)
				}
				voters = append(voters, ch.Add)
			}
			voters = slices.DeleteFunc(voters, func(v ID) bool { return v == ch.Remove })
			present := 0
			for _, v := range voters {
				if cands[v-1].Present {
					present++
				}
			}
			if present < Needed(len(voters)) {
				t.Fatalf("change %+v leaves %d of %d voters present", ch, present, len(voters))
			}
		}
		if all && len(voters) != Target(n) {
			t.Fatalf("%d voters of %d members in the end, want %d", len(voters), n, Target(n))
		}
	})
}
