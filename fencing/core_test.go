package fencing

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bench is a core with devices that answer by a script.
type bench struct {
	t       *testing.T
	c       *Core
	now     Instant
	answers []Answer
	order   string
	runs    []string // "T device operation port", T in seconds
	// reply says how a run ends and after what time; nil = success after a second.
	reply func(r Run, n int) (Result, time.Duration)
	due   []pendingReply
	n     int
}

type pendingReply struct {
	at  Instant
	run string
	r   Result
}

func newBench(t *testing.T, topo Topology, devices ...Device) *bench {
	b := &bench{t: t, c: NewCore("r")}
	b.c.Configure(devices, topo, nil)
	return b
}

func static(id string, hosts ...string) Device {
	return Device{ID: id, Hosts: hosts, Argument: "plug", Limit: 1}
}

func (b *bench) take() {
	o := b.c.Ready()
	b.answers = append(b.answers, o.Answers...)
	for _, r := range o.Runs {
		b.runs = append(b.runs, fmt.Sprintf("%g %s %s %s", time.Duration(b.now).Seconds(), r.Device, r.Operation, r.Port))
		res, d := Result{Outcome: Success}, time.Second
		if b.reply != nil {
			res, d = b.reply(r, b.n)
		}
		b.n++
		if d >= 0 {
			b.due = append(b.due, pendingReply{b.now.Add(d), r.ID, res})
		}
	}
}

func (b *bench) start(o Order) {
	b.c.Start(o, b.now)
	b.take()
}

// run lets time pass, with ticks exactly when they are asked for.
func (b *bench) run(d time.Duration) {
	end := b.now.Add(d)
	for range 10_000 {
		next := end
		tick, ok := b.c.NextTick()
		if ok {
			next = min(next, tick)
		}
		at := -1
		for i, p := range b.due {
			if p.at <= next && (at < 0 || p.at < b.due[at].at) {
				at = i
			}
		}
		if at >= 0 {
			p := b.due[at]
			b.due = slices.Delete(b.due, at, at+1)
			b.now = max(b.now, p.at)
			b.c.Finished(p.run, p.r, b.now)
			b.take()
			continue
		}
		b.now = next
		if next == end && !(ok && tick <= end) {
			return
		}
		b.c.Tick(b.now)
		b.take()
		if b.now == end {
			if tick, ok := b.c.NextTick(); !ok || tick > end {
				return
			}
		}
	}
	b.t.Fatalf("no end: the core wants a tick at %v again and again", b.now)
}

func (b *bench) wantRuns(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.runs, want) {
		b.t.Errorf("runs:\n  %s\nwant:\n  %s", strings.Join(b.runs, "\n  "), strings.Join(want, "\n  "))
	}
}

func (b *bench) wantAnswers(want ...string) {
	b.t.Helper()
	var got []string
	for _, a := range b.answers {
		s := fmt.Sprintf("%v %s %s ok=%v at=%g", a.Orders, a.Action, a.Target, a.OK, time.Duration(a.Ended).Seconds())
		if a.Late {
			s += " late"
		}
		if len(a.Devices) > 0 {
			s += " by " + strings.Join(a.Devices, ",")
		}
		got = append(got, s)
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("answers:\n  %s\nwant:\n  %s\nproblems: %v", strings.Join(got, "\n  "), strings.Join(want, "\n  "), b.answers)
	}
}

func fail(r Run, _ int) (Result, time.Duration) {
	return Result{Reason: "refused"}, time.Second
}

func TestCore_Plain(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, static("d1", "n1"), static("d2", "n2"))
	b.start(Order{ID: "a", Target: "n2", Action: Reboot})
	b.run(time.Minute)
	b.wantRuns("0 d2 reboot n2")
	b.wantAnswers("[a] reboot n2 ok=true at=1 by d2")
}

func TestCore_NobodyCan(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, static("d1", "n1"))
	b.start(Order{ID: "a", Target: "n2", Action: Off})
	b.start(Order{ID: "b", Target: "n1", Action: "explode"})
	b.start(Order{ID: "c", Target: "", Action: Off})
	b.wantRuns()
	b.wantAnswers("[a] off n2 ok=false at=0", "[b] explode n1 ok=false at=0", "[c] off  ok=false at=0")
	if p := b.answers[0].Problems[0]; p != "no device can fence n2: device d1 does not know n2" {
		t.Errorf("problem %q", p)
	}
}

func TestCore_RetriesAndNextDevice(t *testing.T) {
	t.Parallel()
	d1 := static("d1", "n1")
	d1.Off.Attempts = 3
	b := newBench(t, nil, d1, static("d2", "n1"))
	b.reply = func(r Run, n int) (Result, time.Duration) {
		if r.Device == "d1" {
			return fail(r, n)
		}
		return Result{Outcome: Success}, time.Second
	}
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.run(time.Minute)
	b.wantRuns("0 d1 off n1", "2 d1 off n1", "4 d1 off n1", "5 d2 off n1")
	b.wantAnswers("[a] off n1 ok=true at=6 by d2")
	if got := b.answers[0].Problems; len(got) != 3 || got[0] != "d1 off: refused" {
		t.Errorf("problems %q", got)
	}
}

// A timeout is no success, uses up the time of the device, and the next device gets its own.
func TestCore_Timeout(t *testing.T) {
	t.Parallel()
	d1 := static("d1", "n1")
	d1.Off.Timeout = 20 * time.Second
	b := newBench(t, nil, d1, static("d2", "n1"))
	b.reply = func(r Run, _ int) (Result, time.Duration) {
		if r.Device == "d1" {
			return Result{Outcome: Timeout, Reason: "killed"}, r.Timeout
		}
		return Result{Reason: "refused"}, 15 * time.Second
	}
	b.start(Order{ID: "a", Target: "n1", Action: Off, Timeout: 40 * time.Second})
	b.run(5 * time.Minute)
	b.wantRuns("0 d1 off n1", "20 d2 off n1", "36 d2 off n1")
	b.wantAnswers("[a] off n1 ok=false at=51")
	if p := b.answers[0].Problems[0]; p != "d1 off: timeout: killed" {
		t.Errorf("problem %q", p)
	}
}

// The runner itself is gone: the core goes on by itself, after the timeout and a grace.
func TestCore_RunnerSilent(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, static("d1", "n1"))
	b.reply = func(Run, int) (Result, time.Duration) { return Result{}, -1 }
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.run(5 * time.Minute)
	b.wantAnswers("[a] off n1 ok=false at=70")
	if b.c.Finished("ra:0.0.0:off:d1", Result{Outcome: Success}, b.now) {
		t.Error("a result of a run that was written off is taken")
	}
}

func TestCore_Topology(t *testing.T) {
	t.Parallel()
	topo := Topology{{Target: "n1", Index: 2, Devices: []string{"pdu1", "pdu2"}}, {Target: "n1", Index: 1, Devices: []string{"ipmi"}}}
	devices := []Device{static("pdu1", "n1"), static("pdu2", "n1"), static("ipmi", "n1")}
	b := newBench(t, topo, devices...)
	b.reply = func(r Run, n int) (Result, time.Duration) {
		if r.Device == "ipmi" {
			return fail(r, n)
		}
		return Result{Outcome: Success}, time.Second
	}
	b.start(Order{ID: "a", Target: "n1", Action: Reboot})
	b.run(time.Minute)
	b.wantRuns("0 ipmi reboot n1", "2 ipmi reboot n1", "3 pdu1 off n1", "4 pdu2 off n1", "5 pdu1 on n1", "6 pdu2 on n1")
	b.wantAnswers("[a] reboot n1 ok=true at=7 by pdu1,pdu2")

	// Both supplies must be off. When switching on fails afterwards, the node was off all the same.
	b = newBench(t, topo[:1], devices...)
	b.reply = func(r Run, n int) (Result, time.Duration) {
		if r.Operation == On || r.Device == "pdu2" && n < 2 {
			return fail(r, n)
		}
		return Result{Outcome: Success}, time.Second
	}
	b.start(Order{ID: "a", Target: "n1", Action: Reboot})
	b.run(time.Minute)
	b.wantRuns("0 pdu1 off n1", "1 pdu2 off n1", "3 pdu2 off n1",
		"4 pdu1 on n1", "6 pdu1 on n1", "7 pdu2 on n1", "9 pdu2 on n1")
	b.wantAnswers("[a] reboot n1 ok=true at=10 by pdu1,pdu2")

	// One supply only is no success.
	b = newBench(t, topo[:1], devices...)
	b.reply = func(r Run, n int) (Result, time.Duration) {
		if r.Device == "pdu2" {
			return fail(r, n)
		}
		return Result{Outcome: Success}, time.Second
	}
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.run(time.Minute)
	b.wantAnswers("[a] off n1 ok=false at=4")
}

func TestCore_AgentWithoutReboot(t *testing.T) {
	t.Parallel()
	d := static("d", "n1")
	d.NoReboot = true
	b := newBench(t, nil, d)
	b.start(Order{ID: "a", Target: "n1", Action: Reboot})
	b.run(time.Minute)
	b.wantRuns("0 d off n1", "1 d on n1")
	b.wantAnswers("[a] reboot n1 ok=true at=2 by d")
}

func TestCore_Delays(t *testing.T) {
	t.Parallel()
	d := static("d", "n1", "n2")
	d.Delay, d.DelayMax = 2*time.Second, 5*time.Second
	d.Delays = []NodeDelay{{"N2", 4 * time.Second}}
	for _, tt := range []struct {
		o    Order
		want string
	}{
		{Order{Target: "n1", Action: Off}, "2 d off n1"},
		{Order{Target: "n1", Action: Off, Random: 3000}, "5 d off n1"},
		{Order{Target: "n1", Action: Off, Random: 3001}, "2 d off n1"},
		{Order{Target: "n2", Action: Off, Random: 500}, "4.5 d off n2"},
		{Order{Target: "n1", Action: Reboot, Delay: 10 * time.Second}, "12 d reboot n1"},
		{Order{Target: "n1", Action: Off, Delay: -1}, "0 d off n1"},
		{Order{Target: "n1", Action: On, Delay: 10 * time.Second}, "0 d on n1"},
	} {
		b := newBench(t, nil, d)
		tt.o.ID = "a"
		b.start(tt.o)
		b.run(time.Minute)
		b.wantRuns(tt.want)
	}
}

func TestCore_JoinsOrders(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, static("d", "n1"))
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.start(Order{ID: "b", Target: "N1", Action: Off})
	b.start(Order{ID: "c", Target: "n1", Action: On})
	b.run(time.Minute)
	b.wantRuns("0 d off n1", "1 d on n1")
	b.wantAnswers("[a b] off n1 ok=true at=1 by d", "[c] on n1 ok=true at=2 by d")
}

// A device serves as many at a time as it says.
func TestCore_Limit(t *testing.T) {
	t.Parallel()
	d := static("d", "n1", "n2", "n3")
	for limit, want := range map[int][]string{
		1:  {"0 d off n1", "1 d off n2", "2 d off n3"},
		2:  {"0 d off n1", "0 d off n2", "1 d off n3"},
		-1: {"0 d off n1", "0 d off n2", "0 d off n3"},
	} {
		d.Limit = limit
		b := newBench(t, nil, d)
		for _, n := range []string{"n1", "n2", "n3"} {
			b.start(Order{ID: n, Target: n, Action: Off})
		}
		b.run(time.Minute)
		b.wantRuns(want...)
	}
}

// An order is cancelled while a device works on it: its success is told as late, nothing more is begun for it, and
// a new order waits for that device and then does all again.
func TestCore_Cancel(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, static("d", "n1"))
	b.reply = func(Run, int) (Result, time.Duration) { return Result{Outcome: Success}, 30 * time.Second }
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.run(10 * time.Second)
	b.c.Cancel("a", b.now)
	b.c.Cancel("a", b.now)
	b.c.Cancel("unknown", b.now)
	b.take()
	b.wantAnswers()
	b.start(Order{ID: "b", Target: "n1", Action: Off})
	b.run(2 * time.Minute)
	b.wantRuns("0 d off n1", "30 d off n1")
	b.wantAnswers("[a] off n1 ok=true at=30 late by d", "[b] off n1 ok=true at=60 by d")

	// A late failure is no news, and is not tried again for somebody who does not wait.
	b = newBench(t, nil, static("d", "n1"))
	b.reply = func(Run, int) (Result, time.Duration) { return Result{Reason: "no"}, 30 * time.Second }
	b.start(Order{ID: "a", Target: "n1", Action: Reboot})
	b.run(10 * time.Second)
	b.c.Cancel("a", b.now)
	b.run(time.Minute)
	b.wantRuns("0 d reboot n1")
	b.wantAnswers()
	if len(b.c.Busy()) != 0 {
		t.Errorf("still busy with %v", b.c.Busy())
	}

	// What waits is dropped at once; of joined orders the other one goes on.
	d := static("d", "n1")
	d.Delay = time.Minute
	b = newBench(t, nil, d)
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.start(Order{ID: "b", Target: "n1", Action: Off})
	b.c.Cancel("a", b.now)
	b.run(2 * time.Minute)
	b.wantAnswers("[b] off n1 ok=true at=61 by d")
	b.start(Order{ID: "c", Target: "n1", Action: Off})
	b.c.Cancel("c", b.now)
	b.run(5 * time.Minute)
	b.wantRuns("60 d off n1")
}

// All devices that unfence are needed to switch a node on; off and reboot go by the topology.
func TestCore_Unfencing(t *testing.T) {
	t.Parallel()
	scsi1, scsi2 := static("scsi1", "n1"), static("scsi2", "n1", "n2")
	scsi1.Unfences, scsi2.Unfences = true, true
	topo := Topology{{Target: "n1", Index: 1, Devices: []string{"ipmi"}}}
	b := newBench(t, topo, static("ipmi", "n1"), scsi1, scsi2)
	b.start(Order{ID: "a", Target: "n1", Action: On})
	b.run(time.Minute)
	b.start(Order{ID: "b", Target: "n1", Action: Reboot})
	b.run(time.Minute)
	b.wantRuns("0 scsi1 on n1", "1 scsi2 on n1", "60 ipmi reboot n1")
}

func TestCore_Questions(t *testing.T) {
	t.Parallel()
	byList := Device{ID: "list", Check: CheckList, Argument: "port", Ports: []Port{{"n1", "vm-1"}}, Limit: 1}
	byStatus := Device{ID: "status", Check: CheckStatus, Limit: 1}
	b := newBench(t, nil, byList, byStatus, static("static", "n9"))
	b.reply = func(r Run, _ int) (Result, time.Duration) {
		if r.Operation == List {
			return Result{Outcome: Success, Ports: []string{"vm-1", "vm-2"}}, time.Second
		}
		if r.Operation == Status && r.Target != "n1" {
			return Result{Reason: "no such plug"}, time.Second
		}
		return Result{Outcome: Success}, time.Second
	}
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.run(time.Minute)
	b.wantRuns("0 list list vm-1", "1 list off vm-1")
	b.start(Order{ID: "b", Target: "n2", Action: Off})
	b.run(time.Minute)
	b.wantAnswers("[a] off n1 ok=true at=2 by list", "[b] off n2 ok=false at=64")
	b.wantRuns("0 list list vm-1", "1 list off vm-1", "60 list list n2", "61 status status n2", "63 status status n2")
}

// A device that is removed while it is needed fails, and nothing is left behind.
func TestCore_DeviceRemoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, static("d1", "n1"), static("d2", "n1"))
	b.reply = fail
	b.start(Order{ID: "a", Target: "n1", Action: Off})
	b.c.Configure([]Device{static("d1", "n1")}, nil, nil)
	b.run(time.Minute)
	b.wantRuns("0 d1 off n1", "2 d1 off n1")
	b.wantAnswers("[a] off n1 ok=false at=3")
}

func TestCore_Bounds(t *testing.T) {
	t.Parallel()
	d := Device{ID: "d", Check: CheckNone, Limit: -1}
	b := newBench(t, nil, d)
	b.reply = func(Run, int) (Result, time.Duration) { return Result{}, -1 }
	for i := range maxJobs + 1 {
		b.start(Order{ID: fmt.Sprint("t", i), Target: fmt.Sprint("n", i), Action: Off})
	}
	for i := range maxJoined {
		b.start(Order{ID: fmt.Sprint("j", i), Target: "n0", Action: Off})
	}
	if len(b.answers) != 2 || len(b.runs) != maxJobs {
		t.Errorf("%d refusals and %d runs, want 2 and %d", len(b.answers), len(b.runs), maxJobs)
	}
}

// Whatever devices and results: every order that is not cancelled is answered exactly once, success is told only
// when all devices of a level confirmed an action that confirms, no two operations run on one target or above
// the limit of a device at a time, and all is over in the end.
func TestCore_Properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var devices []Device
		for i := range rapid.IntRange(0, 4).Draw(rt, "devices") {
			d := Device{ID: fmt.Sprint("d", i), Limit: rapid.SampledFrom([]int{1, 2, -1}).Draw(rt, "limit"),
				Check:    HostCheck(rapid.IntRange(0, 3).Draw(rt, "check")),
				NoReboot: rapid.Bool().Draw(rt, "noreboot"),
				DelayMax: time.Duration(rapid.IntRange(0, 3).Draw(rt, "delay")) * time.Second}
			for n := range 3 {
				if rapid.Bool().Draw(rt, "knows") {
					d.Hosts = append(d.Hosts, fmt.Sprint("n", n))
				}
			}
			devices = append(devices, d)
		}
		var topo Topology
		if len(devices) > 1 && rapid.Bool().Draw(rt, "topology") {
			topo = Topology{{Target: "n0", Index: 1, Devices: []string{"d0", "d1"}}, {Target: "n0", Index: 2, Devices: []string{"d1"}}}
		}
		c := NewCore("p")
		c.Configure(devices, topo, nil)
		now := Instant(0)
		open := map[string]Run{}
		answered, cancelled := map[string]int{}, map[string]bool{}
		confirmed := map[string][]string{} // target -> "device" confirmed off or reboot, ever
		orders := 0
		take := func() {
			o := c.Ready()
			for _, r := range o.Runs {
				for _, other := range open {
					if other.Target == r.Target {
						rt.Fatalf("two runs on %s: %+v and %+v", r.Target, other, r)
					}
				}
				if r.Timeout <= 0 || open[r.ID].ID != "" {
					rt.Fatalf("run %+v", r)
				}
				open[r.ID] = r
				busy := 0
				for _, other := range open {
					if other.Device == r.Device {
						busy++
					}
				}
				for _, d := range devices {
					if d.ID == r.Device && d.Limit > 0 && busy > d.Limit {
						rt.Fatalf("%d runs on %s, limit %d", busy, d.ID, d.Limit)
					}
				}
			}
			for _, a := range o.Answers {
				for _, id := range a.Orders {
					if a.Late != cancelled[id] || a.Late && !a.OK {
						rt.Fatalf("answer %+v, cancelled: %v", a, cancelled[id])
					}
					answered[id]++
				}
				if a.OK && a.Action.Confirms() {
					if len(a.Devices) == 0 {
						rt.Fatalf("success without a device: %+v", a)
					}
					for _, d := range a.Devices {
						if !slices.Contains(confirmed[a.Target], d) {
							rt.Fatalf("%s did not confirm: %+v", d, a)
						}
					}
				}
			}
		}
		finish := func(id string, out Outcome) {
			r := open[id]
			delete(open, id)
			if out == Success && (r.Operation == Off || r.Operation == Reboot) {
				confirmed[r.Target] = append(confirmed[r.Target], r.Device)
			}
			c.Finished(id, Result{Outcome: out, Ports: []string{"n0", "n1"}}, now)
			take()
		}
		first := func() string {
			var ids []string
			for id := range open {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			return rapid.SampledFrom(ids).Draw(rt, "run")
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch k := rapid.IntRange(0, 5).Draw(rt, "kind"); {
			case k == 0:
				c.Start(Order{ID: fmt.Sprint(orders), Target: fmt.Sprint("n", rapid.IntRange(0, 2).Draw(rt, "target")),
					Action: rapid.SampledFrom([]Action{Off, On, Reboot}).Draw(rt, "action"),
					Random: rapid.Uint64().Draw(rt, "random")}, now)
				orders++
				take()
			case k == 1 && orders > 0:
				id := fmt.Sprint(rapid.IntRange(0, orders-1).Draw(rt, "cancel"))
				if answered[id] == 0 {
					cancelled[id] = true
				}
				c.Cancel(id, now)
				take()
			case k <= 3 && len(open) > 0:
				finish(first(), Outcome(rapid.IntRange(0, 2).Draw(rt, "outcome")))
			default:
				// Runs end before their timeout, as the runner sees to.
				if at, ok := c.NextTick(); ok && len(open) == 0 {
					now = max(now, at)
				} else {
					now = now.Add(time.Second)
				}
				c.Tick(now)
				take()
			}
			for id, n := range answered {
				if n > 1 {
					rt.Fatalf("order %s answered %d times", id, n)
				}
			}
		}
		for i := 0; len(open) > 0 || len(c.Busy()) > 0; i++ {
			if i > 2000 {
				rt.Fatalf("no end: busy %v, open %v", c.Busy(), open)
			}
			if len(open) > 0 {
				finish(first(), Failure)
				continue
			}
			at, ok := c.NextTick()
			if !ok {
				rt.Fatalf("busy with %v, and nothing to wait for", c.Busy())
			}
			now = max(now, at)
			c.Tick(now)
			take()
		}
		for i := range orders {
			if id := fmt.Sprint(i); answered[id] != 1 && !cancelled[id] {
				rt.Fatalf("order %d answered %d times, want once", i, answered[fmt.Sprint(i)])
			}
		}
	})
}

// A device that was asked for its plugs is not asked again for a minute, unless it does not know the plug or has become
// another; ids of runs do not depend on that.
func TestCore_RemembersAnswers(t *testing.T) {
	t.Parallel()
	for _, check := range []HostCheck{CheckList, CheckStatus} {
		d := static("d1")
		d.Check, d.Version = check, "1"
		b := newBench(t, nil, d)
		b.reply = func(r Run, _ int) (Result, time.Duration) {
			if r.Operation == Off && r.ID != "r"+b.order+":0.0.0:off:d1" {
				t.Errorf("%v: id %q of order %s", check, r.ID, b.order)
			}
			return Result{Outcome: Success, Ports: []string{"N1"}}, 0
		}
		fence := func(order string, questions int) {
			t.Helper()
			b.order, b.runs = order, nil
			b.start(Order{ID: order, Target: "n1", Action: Off})
			b.run(time.Second)
			if len(b.runs) != questions+1 {
				t.Errorf("%v: order %s: runs %q, want %d questions", check, order, b.runs, questions)
			}
		}
		fence("a", 1)
		fence("b", 0)
		b.run(rememberFor - 3*time.Second)
		fence("c", 0)
		b.run(2 * time.Second)
		fence("d", 1)
		d.Version = "2"
		b.c.Configure([]Device{d}, nil, nil)
		fence("e", 1)
		if check == CheckList {
			b.runs, b.order = nil, "f"
			b.start(Order{ID: "f", Target: "n2", Action: Off})
			b.run(time.Second)
			b.wantRuns("64 d1 list n2")
			fence("g", 1) // what failed is asked again
		}
	}
}
