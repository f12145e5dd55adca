package executor

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/membership/identity"
)

const (
	ms  = identity.Instant(time.Millisecond)
	sec = identity.Instant(time.Second)
)

func core(t testing.TB, cfg Config) *Core {
	t.Helper()
	cfg.Incarnation = 7
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Adopt(0, nil)
	return c
}

func request(resource string, op agents.Operation, interval time.Duration) agents.Request {
	return agents.Request{Resource: resource, Operation: op, Interval: interval, Timeout: 20 * time.Second, Agent: agents.Ref{Class: "ocf", Provider: "p", Type: "t"}}
}

func action(n uint64, resource string, op agents.Operation, interval time.Duration) Start {
	return Start{Key: Key{1, 1, n}, Index: 10, Incarnation: 7, Request: request(resource, op, interval)}
}

// show writes an output in a short form for comparison.
func show(o Output) string {
	var parts []string
	for _, id := range o.Cancel {
		parts = append(parts, "cancel "+id)
	}
	for _, r := range o.Start {
		parts = append(parts, fmt.Sprintf("run %s %s %s", r.ID, r.Operation, r.Resource))
	}
	for _, r := range o.Results {
		first := ""
		if r.First {
			first = " first"
		}
		parts = append(parts, fmt.Sprintf("result %d %s %s call %d: %s%s", r.Key.Action, r.Operation, r.Resource, r.Call, r.Result.Describe(), first))
	}
	for _, r := range o.Refused {
		parts = append(parts, fmt.Sprintf("refused %d: %s", r.Key.Action, r.Reason))
	}
	for _, r := range o.ByHand {
		parts = append(parts, fmt.Sprintf("by hand %s: %s", r.ID, r.Describe()))
	}
	return strings.Join(parts, "; ")
}

func expect(t *testing.T, c *Core, want string) {
	t.Helper()
	if got := show(c.Ready()); got != want {
		t.Errorf("Ready() = %q, want %q", got, want)
	}
}

func done(id string, rc agents.ExitCode) agents.Result {
	return agents.Result{ID: id, RC: rc}
}

func TestDo_OneResourceInOrder_OthersSideBySide(t *testing.T) {
	t.Parallel()
	c := core(t, Config{MaxParallel: 2, LastCall: 40})
	c.Do(0, action(1, "a", "start", 0))
	c.Do(0, action(2, "a", "promote", 0))
	c.Do(0, action(3, "b", "start", 0))
	c.Do(0, action(4, "c", "start", 0))
	expect(t, c, "run a.1.1.1.41.7 start a; run a.1.1.3.42.7 start b")
	c.RunFinished(3*sec, done("a.1.1.3.42.7", 0))
	expect(t, c, "run a.1.1.4.43.7 start c; result 3 start b call 42: ok first")
	c.RunFinished(4*sec, done("a.1.1.1.41.7", 0))
	out := c.Ready()
	if got, want := show(out), "run a.1.1.2.44.7 promote a; result 1 start a call 41: ok first"; got != want {
		t.Errorf("Ready() = %q, want %q", got, want)
	}
	c.RunFinished(5*sec, done("a.1.1.2.44.7", 1))
	out = c.Ready()
	if len(out.Results) != 1 || out.Results[0].Result.QueueTime != 4*time.Second {
		t.Errorf("queue time = %+v, want 4 s", out.Results)
	}
}

func TestDo_Idempotent(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Do(0, action(1, "a", "start", 0))
	c.Do(0, action(1, "a", "start", 0))
	expect(t, c, "run a.1.1.1.1.7 start a")
	c.RunFinished(1, done("a.1.1.1.1.7", 0))
	c.RunFinished(1, done("a.1.1.1.1.7", 1))
	expect(t, c, "result 1 start a call 1: ok first")
	c.Do(2, action(1, "a", "start", 0))
	expect(t, c, "result 1 start a call 1: ok first")
	if c.Busy() {
		t.Error("Busy() with nothing to do")
	}
}

func TestDo_RefusesTheOldAndTheForeign(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Observe(2, 50)
	with := func(n, term, index uint64, inc identity.Incarnation) Start {
		s := action(n, "a", "start", 0)
		s.Term, s.Index, s.Incarnation = term, index, inc
		return s
	}
	c.Do(0, with(1, 1, 99, 7))
	c.Do(0, with(2, 2, 49, 7))
	c.Do(0, with(3, 2, 50, 8))
	out := c.Ready()
	if len(out.Start) != 0 || len(out.Refused) != 3 || !strings.Contains(out.Refused[0].Reason, "term 1") || !strings.Contains(out.Refused[2].Reason, "incarnation 8") {
		t.Errorf("Ready() = %s", show(out))
	}
	c.Do(0, with(4, 2, 50, 7))
	c.Cancel(0, CancelStart{Key: Key{2, 1, 5}, Index: 40, Incarnation: 7, Resource: "a", Operation: "monitor", Interval: time.Second})
	out = c.Ready()
	if len(out.Start) != 1 || len(out.Refused) != 1 {
		t.Errorf("Ready() = %s", show(out))
	}
}

func TestDo_NotValidHasAResult(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	bad := action(1, "$(id)", "start", 0)
	c.Do(0, bad)
	short := action(2, "a", "monitor", time.Millisecond)
	c.Do(0, short)
	out := c.Ready()
	if len(out.Start) != 0 || len(out.Results) != 2 {
		t.Fatalf("Ready() = %s", show(out))
	}
	for _, r := range out.Results {
		if r.Result.Status != agents.StatusInvalid || !r.First {
			t.Errorf("result = %+v, want invalid", r)
		}
	}
}

// finishAll lets time go on to the limit; each run takes the given time and ends with the code.
func simulate(c *Core, from, to identity.Instant, take identity.Instant, rc func(agents.Request, identity.Instant) agents.ExitCode) (starts map[string][]identity.Instant, results []string) {
	starts = map[string][]identity.Instant{}
	ends := map[string]identity.Instant{}
	reqs := map[string]agents.Request{}
	begun := map[string]identity.Instant{}
	now := from
	for {
		out := c.Ready()
		for _, r := range out.Start {
			key := string(r.Operation) + " " + r.Resource
			starts[key] = append(starts[key], now)
			ends[r.ID], reqs[r.ID], begun[r.ID] = now+take, r, now
		}
		for _, r := range out.Results {
			results = append(results, fmt.Sprintf("%v %s %s %v", time.Duration(now), r.Operation, r.Resource, r.Result.RC))
		}
		next, ok := c.Deadline()
		if !ok {
			next = to
		}
		var id string
		for _, k := range slices.Sorted(maps.Keys(ends)) {
			if ends[k] <= next {
				next, id = ends[k], k
			}
		}
		if next >= to {
			return starts, results
		}
		now = next
		if id != "" {
			delete(ends, id)
			c.RunFinished(now, done(id, rc(reqs[id], begun[id])))
		} else {
			c.Tick(now)
		}
	}
}

func ok(agents.Request, identity.Instant) agents.ExitCode { return 0 }

func TestRecurring_FixedTimesAndReportsChangesOnly(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Do(0, action(1, "a", "monitor", 10*time.Second))
	starts, results := simulate(c, 0, 120*sec, 3*sec, func(_ agents.Request, at identity.Instant) agents.ExitCode {
		if at > 50*sec && at < 80*sec {
			return 7
		}
		return 0
	})
	got := starts["monitor a"]
	if len(got) < 12 || got[0] != 0 || got[1] < 5*sec || got[1] > 10*sec {
		t.Fatalf("starts = %v", got)
	}
	for i := 2; i < len(got); i++ {
		if got[i]-got[i-1] != 10*sec {
			t.Errorf("runs %d and %d are %v apart, want 10 s", i-1, i, time.Duration(got[i]-got[i-1]))
		}
	}
	if len(results) != 3 || !strings.HasSuffix(results[1], "not running") || !strings.HasSuffix(results[2], "ok") {
		t.Errorf("results = %q, want ok, not running, ok", results)
	}
}

func TestRecurring_SlowRunsLeaveTimesOut(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Do(0, action(1, "a", "monitor", 10*time.Second))
	starts, _ := simulate(c, 0, 200*sec, 14*sec, ok)
	got := starts["monitor a"]
	for i := 1; i < len(got); i++ {
		if d := got[i] - got[i-1]; d < 14*sec || d > 20*sec {
			t.Errorf("runs %v apart, want 14 to 20 s", time.Duration(d))
		}
	}
}

func TestRecurring_SpreadAndAligned(t *testing.T) {
	t.Parallel()
	c := core(t, Config{MaxParallel: 1000})
	for i := range 100 {
		c.Do(0, action(uint64(i), fmt.Sprintf("r%d", i), "monitor", 10*time.Second))
	}
	starts, _ := simulate(c, 0, 20*sec, 10*ms, ok)
	slots := map[identity.Instant]int{}
	for _, s := range starts {
		slots[s[1]/(500*ms)]++
	}
	for slot, n := range slots {
		if n > 30 {
			t.Errorf("%d of 100 monitors run within half a second (%v)", n, time.Duration(slot*500*ms))
		}
	}
	c = core(t, Config{})
	s := action(1, "a", "monitor", 10*time.Second)
	s.Delay, s.Aligned = 3*time.Second, true
	c.Do(0, s)
	starts, _ = simulate(c, 0, 40*sec, 1*sec, ok)
	if want := []identity.Instant{3 * sec, 13 * sec, 23 * sec, 33 * sec}; !slices.Equal(starts["monitor a"], want) {
		t.Errorf("aligned starts = %v, want %v", starts["monitor a"], want)
	}
}

func TestRecurring_WaitsForActionsAndIsPreempted(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Do(0, action(1, "a", "monitor", time.Second))
	c.RunFinished(0, done("a.1.1.1.1.7", 0))
	c.Ready()
	due, _ := c.Deadline()
	c.Do(due-1, action(2, "a", "promote", 0))
	expect(t, c, "run a.1.1.2.2.7 promote a")
	c.Tick(due)
	expect(t, c, "") // postponed
	c.RunFinished(due+5, done("a.1.1.2.2.7", 0))
	expect(t, c, "run m.3.7 monitor a; result 2 promote a call 2: ok first")
	c.Do(due+10, action(3, "a", "demote", 0))
	expect(t, c, "")
	at, _ := c.Deadline()
	for at < due+10+identity.Instant(PreemptDelay) {
		c.Tick(at)
		expect(t, c, "")
		at, _ = c.Deadline()
	}
	c.Tick(at)
	expect(t, c, "cancel m.3.7")
	c.Tick(at + 1)
	expect(t, c, "")
	c.RunFinished(at+2, agents.Result{ID: "m.3.7", Status: agents.StatusCancelled, RC: agents.RCUnknown})
	expect(t, c, "run a.1.1.3.4.7 demote a") // and no result of the cancelled run
}

func TestStopEndsMonitors(t *testing.T) {
	t.Parallel()
	for _, op := range []agents.Operation{"start", "stop", "migrate_to", "migrate_from"} {
		c := core(t, Config{})
		c.Do(0, action(1, "a", "monitor", time.Second))
		c.Do(0, action(2, "b", "monitor", time.Second))
		c.Ready()
		c.Do(1, action(3, "a", op, 0))
		expect(t, c, "result 1 monitor a call 1: cancelled (ended by "+string(op)+") first")
		c.RunFinished(2, done("a.1.1.1.1.7", 0))
		expect(t, c, "run a.1.1.3.3.7 "+string(op)+" a")
		if len(c.monitors) != 1 || c.monitors[0].key.resource != "b" {
			t.Errorf("%s: monitors = %v, want that of b alone", op, c.monitors)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Do(0, action(1, "a", "monitor", time.Second))
	c.RunFinished(0, done("a.1.1.1.1.7", 0))
	c.Ready()
	cancel := CancelStart{Key: Key{1, 1, 2}, Index: 10, Incarnation: 7, Resource: "a", Operation: "monitor", Interval: time.Second}
	c.Cancel(1, cancel)
	expect(t, c, "result 2 monitor a call 2: ok first")
	if at, any := c.Deadline(); any {
		t.Errorf("Deadline() = %v, want none", at)
	}
	c.Cancel(1, cancel)
	expect(t, c, "result 2 monitor a call 2: ok first")
}

func TestCancelAction(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Do(0, action(1, "a", "start", 0))
	c.Do(0, action(2, "a", "promote", 0))
	c.Do(0, action(3, "a", "monitor", time.Second))
	c.Ready()
	c.CancelAction(1, Key{1, 1, 2})
	expect(t, c, "result 2 promote a call 2: cancelled (cancelled before it ran) first")
	c.CancelAction(1, Key{1, 1, 3})
	expect(t, c, "result 3 monitor a call 3: cancelled (cancelled) first")
	c.CancelAction(1, Key{1, 1, 1})
	c.CancelAction(1, Key{1, 1, 1})
	c.CancelAction(1, Key{9, 9, 9})
	expect(t, c, "cancel a.1.1.1.1.7")
	c.RunFinished(2, agents.Result{ID: "a.1.1.1.1.7", Status: agents.StatusCancelled, RC: agents.RCUnknown})
	expect(t, c, "result 1 start a call 1: cancelled first")
}

func TestStartDelay(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	s := action(1, "a", "start", 0)
	s.Delay = 5 * time.Second
	c.Do(0, s)
	c.Do(0, action(2, "a", "promote", 0)) // must not overtake
	expect(t, c, "")
	if at, _ := c.Deadline(); at != 5*sec {
		t.Errorf("Deadline() = %v, want 5 s", at)
	}
	c.Tick(5 * sec)
	expect(t, c, "run a.1.1.1.1.7 start a")
}

func TestRunnerGivesNoAnswer(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Do(0, action(1, "a", "start", 0))
	c.Do(0, action(2, "a", "stop", 0))
	c.Ready()
	at, _ := c.Deadline()
	if want := 20*sec + identity.Instant(RunnerMargin); at != want {
		t.Fatalf("Deadline() = %v, want %v", at, want)
	}
	c.Tick(at)
	out := c.Ready()
	if len(out.Results) != 1 || out.Results[0].Result.Status != agents.StatusTimeout || len(out.Cancel) != 1 || len(out.Start) != 0 {
		t.Errorf("Ready() = %s, want a timeout and nothing started", show(out))
	}
	c.RunFinished(at+1, done("a.1.1.1.1.7", 0))
	expect(t, c, "run a.1.1.2.2.7 stop a") // now it is known to have ended
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	c.Adopt(0, []Running{
		{ID: "a.1.1.3.9.5", Resource: "b", Operation: "start", Finished: true},
		{ID: "a.1.1.1.12.5", Resource: "a", Operation: "start", Timeout: 20 * time.Second, Age: 5 * time.Second},
		{ID: "m.13.5", Resource: "b", Operation: "monitor", Interval: 10 * time.Second, Timeout: 20 * time.Second},
		{ID: "foreign", Resource: "c", Operation: "monitor", Timeout: time.Second},
	})
	c.RunFinished(0, done("a.1.1.3.9.5", 0))
	expect(t, c, "result 3 start b call 9: ok first")
	last := agents.Result{RC: 0}
	c.SetRecurring(0, []Recurring{{Origin: Key{1, 1, 4}, Call: 10, Request: request("b", "monitor", 10*time.Second), Last: &last}})
	again := action(1, "a", "start", 0)
	again.Incarnation = 5
	c.Do(0, again) // the entry is applied again after the restart
	stop := action(2, "a", "stop", 0)
	c.Do(0, stop)
	expect(t, c, "") // the resource is busy
	if at, _ := c.Deadline(); at > 15*sec+identity.Instant(RunnerMargin) {
		t.Errorf("Deadline() = %v, want the rest of the timeout at most", at)
	}
	c.RunFinished(3, done("m.13.5", 7))
	expect(t, c, "result 4 monitor b call 10: not running")
	c.RunFinished(4, done("a.1.1.1.12.5", 0))
	expect(t, c, "run a.1.1.2.14.7 stop a; result 1 start a call 12: ok first")
}

func TestNothingRunsBeforeAdopt(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Incarnation: 7})
	if err != nil {
		t.Fatal(err)
	}
	c.Do(0, action(1, "a", "stop", 0))
	c.SetRecurring(0, []Recurring{{Request: request("b", "monitor", time.Second)}})
	c.Tick(5 * sec)
	expect(t, c, "")
	c.Adopt(6*sec, []Running{{ID: "a.1.1.9.3.5", Resource: "a", Operation: "start", Timeout: 20 * time.Second}})
	expect(t, c, "run m.4.7 monitor b")
	c.RunFinished(7*sec, done("a.1.1.9.3.5", 0))
	expect(t, c, "run a.1.1.1.5.7 stop a; result 9 start a call 3: ok first")
}

func TestSetRecurring(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	last := agents.Result{RC: 0}
	list := []Recurring{
		{Origin: Key{1, 1, 1}, Call: 5, Request: request("a", "monitor", 10*time.Second), Digest: "d", Last: &last},
		{Origin: Key{1, 1, 2}, Call: 6, Request: request("b", "monitor", 10*time.Second), Digest: "d", Last: &last},
		{Origin: Key{1, 1, 3}, Call: 7, Request: request("c", "monitor", 0)},
	}
	c.SetRecurring(0, list)
	out := c.Ready()
	if len(out.Start) != 0 || len(out.Refused) != 1 {
		t.Fatalf("Ready() = %s, want nothing started and one refused", show(out))
	}
	starts, results := simulate(c, 0, 30*sec, sec, ok)
	if len(starts["monitor a"]) != 3 || len(starts["monitor b"]) != 3 || len(results) != 0 {
		t.Errorf("starts = %v, results = %v, want three each and no news", starts, results)
	}
	list[0].Digest = "e" // parameters changed
	c.SetRecurring(30*sec, list[:1])
	starts, results = simulate(c, 30*sec, 60*sec, sec, ok)
	if len(starts["monitor a"]) != 3 || len(starts["monitor b"]) != 0 || len(results) != 1 {
		t.Errorf("starts = %v, results = %v, want a alone and its new digest reported once", starts, results)
	}
}

func TestOriginDelay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 7, 500e6, time.UTC)
	for _, tt := range []struct {
		origin   time.Time
		interval time.Duration
		want     time.Duration
	}{
		{now, time.Hour, 0},
		{now.Add(-time.Hour), time.Hour, 0},
		{now.Add(-time.Minute), time.Hour, 59 * time.Minute},
		{now.Add(time.Minute), time.Hour, time.Minute},
		{now.Add(61 * time.Minute), time.Hour, time.Minute},
		{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), 10 * time.Second, 2500 * time.Millisecond},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 10 * time.Second, 2500 * time.Millisecond},
		{now, 0, 0},
	} {
		if got := OriginDelay(now, tt.origin, tt.interval); got != tt.want {
			t.Errorf("OriginDelay(%v, %v) = %v, want %v", tt.origin, tt.interval, got, tt.want)
		}
	}
}

func TestNew_Refused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{MaxParallel: -1}, {LastCall: -1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New(%+v) passes", cfg)
		}
	}
}

func TestRememberedIsBounded(t *testing.T) {
	t.Parallel()
	c := core(t, Config{})
	for i := range uint64(Remembered + 100) {
		c.Cancel(0, CancelStart{Key: Key{1, 1, i}, Index: 10, Incarnation: 7, Resource: "a", Operation: "monitor", Interval: time.Second})
		c.Ready()
	}
	if len(c.finished) != Remembered || len(c.order) != Remembered {
		t.Errorf("%d remembered, want %d", len(c.finished), Remembered)
	}
}

// event is one input of a random history.
type event struct {
	kind     int
	dt       identity.Instant
	action   uint64
	resource string
	op       agents.Operation
	interval time.Duration
	pick     int
	rc       agents.ExitCode
	index    uint64
}

// play feeds a history and checks what must always hold; it returns everything the core said.
func play(t *rapid.T, events []event) (said []string) {
	c, err := New(Config{Incarnation: 7, MaxParallel: 3})
	if err != nil {
		t.Fatal(err)
	}
	c.Adopt(0, nil)
	now := identity.Instant(0)
	running := map[string]agents.Request{}
	ran := map[uint64]bool{}
	results := map[uint64]int{}
	asked := map[uint64]bool{}
	refused := map[uint64]bool{}
	check := func() {
		out := c.Ready()
		said = append(said, show(out))
		for _, r := range out.Start {
			for _, other := range running {
				if other.Resource == r.Resource {
					t.Fatalf("two runs of %s at a time: %s and %s", r.Resource, other.ID, r.ID)
				}
			}
			if _, twice := running[r.ID]; twice {
				t.Fatalf("run id %s is used twice", r.ID)
			}
			if key, _, isAction := parseID(r.ID); isAction {
				if ran[key.Action] {
					t.Fatalf("action %d runs twice", key.Action)
				}
				ran[key.Action] = true
			}
			running[r.ID] = r
		}
		if n := c.countRunning(); n > 3 { // without those that were given up
			t.Fatalf("%d runs at a time, at most 3", n)
		}
		for _, r := range out.Results {
			if r.First {
				results[r.Key.Action]++
			}
		}
		for _, r := range out.Refused {
			refused[r.Key.Action] = true
		}
		if at, any := c.Deadline(); any && at <= now {
			t.Fatalf("Deadline() = %v is not after %v", at, now)
		}
	}
	for _, e := range events {
		// Time goes on in the steps that the core asks for.
		until := now + e.dt
		for {
			at, any := c.Deadline()
			if !any || at > until {
				break
			}
			now = at
			c.Tick(now)
			check()
		}
		now = until
		switch e.kind {
		case 0, 1:
			s := action(e.action, e.resource, e.op, e.interval)
			s.Index = e.index
			if !asked[e.action] {
				asked[e.action] = true
				c.Do(now, s)
			}
		case 2:
			ids := slices.Sorted(maps.Keys(running))
			if len(ids) > 0 {
				id := ids[e.pick%len(ids)]
				delete(running, id)
				c.RunFinished(now, done(id, e.rc))
			}
		case 3:
			if !asked[e.action] {
				asked[e.action] = true
				c.Cancel(now, CancelStart{Key: Key{1, 1, e.action}, Index: e.index, Incarnation: 7, Resource: e.resource, Operation: "monitor", Interval: e.interval})
			}
		case 4:
			c.CancelAction(now, Key{1, 1, e.action})
		case 5:
			c.SetRecurring(now, []Recurring{{Origin: Key{1, 1, 1 << 40}, Request: request(e.resource, "monitor", 3*time.Second)}})
		}
		check()
	}
	// Everything that runs ends, then every action that was taken has exactly one result.
	for len(running) > 0 || c.Busy() {
		ids := slices.Sorted(maps.Keys(running))
		if len(ids) == 0 {
			at, any := c.Deadline()
			if !any {
				t.Fatal("an action waits, nothing runs, and no time is asked for")
			}
			now = at
			c.Tick(now)
			check()
			continue
		}
		delete(running, ids[0])
		c.RunFinished(now, done(ids[0], 0))
		check()
		if !c.Busy() {
			break
		}
	}
	for n := range asked {
		want := 1
		if refused[n] {
			want = 0
		}
		if results[n] != want {
			t.Fatalf("action %d has %d results, want %d", n, results[n], want)
		}
	}
	return said
}

func TestProperties(t *testing.T) {
	t.Parallel()
	gen := rapid.Custom(func(t *rapid.T) event {
		return event{
			kind:     rapid.IntRange(0, 5).Draw(t, "kind"),
			dt:       identity.Instant(rapid.Int64Range(0, int64(4*time.Second)).Draw(t, "dt")),
			action:   rapid.Uint64Range(1, 60).Draw(t, "action"),
			resource: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "resource"),
			op:       rapid.SampledFrom([]agents.Operation{"start", "stop", "monitor", "promote"}).Draw(t, "op"),
			interval: rapid.SampledFrom([]time.Duration{0, 0, time.Second, 3 * time.Second}).Draw(t, "interval"),
			pick:     rapid.IntRange(0, 9).Draw(t, "pick"),
			rc:       agents.ExitCode(rapid.IntRange(0, 9).Draw(t, "rc")),
			index:    rapid.Uint64Range(10, 11).Draw(t, "index"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		// Slices of a free length have five elements on average, which is too short a history.
		n := rapid.SampledFrom([]int{3, 30, 100, 200}).Draw(t, "n")
		events := rapid.SliceOfN(gen, n, n).Draw(t, "events")
		if first, second := play(t, events), play(t, events); !reflect.DeepEqual(first, second) {
			t.Fatalf("equal inputs, different outputs:\n%q\n%q", first, second)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("a.1.2.3.4.5")
	f.Add("m.1.2")
	f.Fuzz(func(t *testing.T, id string) {
		key, call, isAction := parseID(id)
		if call < 0 || !isAction && key != (Key{}) {
			t.Fatalf("parseID(%q) = %v, %d, %v", id, key, call, isAction)
		}
	})
}

// TestHand runs operations that no decision asked for beside those of the cluster.
func TestHand(t *testing.T) {
	t.Parallel()
	c := core(t, Config{MaxParallel: 2})
	hold := func(now identity.Instant, resource string, want error) *Hold {
		t.Helper()
		h, err := c.Hold(now, resource)
		if err != want {
			t.Errorf("Hold(%s) = %v, want %v", resource, err, want)
		}
		return h
	}
	hand := func(now identity.Instant, resource string, op agents.Operation, h *Hold, want error) string {
		t.Helper()
		id, err := c.Hand(now, request(resource, op, 0), h)
		if err != want {
			t.Errorf("Hand(%s, %s) = %v, want %v", resource, op, err, want)
		}
		return id
	}
	// A recurring monitor that runs is ended in time, and set up no more after a change.
	c.Do(0, action(1, "a", "monitor", 10*time.Second))
	c.RunFinished(1*sec, done("a.1.1.1.1.7", 0))
	c.Ready()
	c.Tick(11 * sec)
	expect(t, c, "run m.2.7 monitor a")
	hold(11*sec, "a", ErrBusy)
	c.Tick(13 * sec)
	expect(t, c, "cancel m.2.7")
	c.RunFinished(13*sec, agents.Result{ID: "m.2.7", Status: agents.StatusCancelled})
	expect(t, c, "")
	h := hold(13*sec, "a", nil)
	c.Tick(30 * sec) // the monitor is due, and waits
	expect(t, c, "")
	hand(30*sec, "a", "monitor", nil, ErrBusy) // one at a time
	if id := hand(30*sec, "a", "stop", h, nil); id != "h.3.7" {
		t.Errorf("id = %s, want h.3.7", id)
	}
	expect(t, c, "run h.3.7 stop a")
	c.Release(30*sec, h) // it was used
	hand(30*sec, "a", "monitor", nil, ErrBusy)
	c.Tick(70 * sec) // the monitor has ended; the run has not answered
	expect(t, c, "cancel h.3.7; by hand h.3.7: timed out (the runner gave no result within 35s)")
	hand(70*sec, "a", "monitor", nil, ErrBusy) // whether the agent still runs is not known
	c.RunFinished(71*sec, done("h.3.7", 0))
	expect(t, c, "")

	// What the cluster wants meanwhile waits, and does not end the run.
	hand(71*sec, "a", "monitor", nil, nil)
	expect(t, c, "run h.4.7 monitor a")
	c.Do(71*sec, action(2, "a", "start", 0))
	c.Tick(80 * sec)
	expect(t, c, "")
	hold(80*sec, "a", ErrBusy)
	c.RunFinished(81*sec, done("h.4.7", 7))
	expect(t, c, "run a.1.1.2.5.7 start a; by hand h.4.7: not running")

	// A hold that was not used lets go.
	h = hold(81*sec, "b", nil)
	c.Do(81*sec, action(3, "b", "start", 0))
	expect(t, c, "")
	c.Release(82*sec, h)
	expect(t, c, "run a.1.1.3.6.7 start b")

	// The node does not run more than it may.
	hold(82*sec, "c", ErrBusy)
	if _, err := c.Hand(82*sec, request("a b", "start", 0), nil); err == nil || err == ErrBusy {
		t.Errorf("Hand() = %v for a bad name, want that it is not valid", err)
	}
	fresh, err := New(Config{Incarnation: 8})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Hold(0, "a"); err != ErrBusy {
		t.Errorf("Hold() = %v before it is known what runs, want ErrBusy", err)
	}
}

// TestHand_Adopted has a run by hand outlive the process that began it: it is left to end, and what the cluster wants comes after it.
func TestHand_Adopted(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Incarnation: 8})
	if err != nil {
		t.Fatal(err)
	}
	c.Adopt(0, []Running{{ID: "h.3.7", Resource: "a", Operation: "start", Timeout: 20 * time.Second}})
	c.Do(0, Start{Key: Key{1, 1, 1}, Index: 10, Incarnation: 8, Request: request("a", "monitor", 0)})
	c.Tick(5 * sec)
	expect(t, c, "")
	c.RunFinished(6*sec, done("h.3.7", 0))
	if got := show(c.Ready()); !strings.Contains(got, "run a.1.1.1.1.8 monitor a") {
		t.Errorf("Ready() = %q, want the probe", got)
	}
}
