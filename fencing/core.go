package fencing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/membership"
)

// Instant is a moment on the monotonic clock of the process.
type Instant = membership.Instant

const (
	// retryPause is the time between two attempts on a device: many serve one connection at a time.
	retryPause = time.Second
	// answerGrace is added to the timeout of an operation: its runner ends it at the timeout, and the core
	// stops waiting for that runner only later.
	answerGrace = 10 * time.Second
	// maxJobs bounds the targets on which this node works at a time, and maxJoined the requests for one.
	maxJobs, maxJoined = 256, 256
	// rememberFor is how long a device that was asked and knows a plug is not asked again. Pacemaker refreshes lists as
	// often. That a device does not know a plug is not remembered: it may have been connected since.
	rememberFor = time.Minute
	// maxRemembered bounds the plugs of a device that are remembered: more than any machine room switch has.
	maxRemembered = 4096
	// maxProblems bounds the problems that an answer tells.
	maxProblems = 32
	// maxProblem bounds one of them in bytes.
	maxProblem = 512
)

// Order tells this node to carry out a request.
type Order struct {
	// ID names the order, unique for all times; orders with an ID that is known already are ignored.
	ID     string
	Target string
	Action Action
	// Timeout of one operation of a device that has none of its own; 0 = DefaultTimeout.
	Timeout time.Duration
	// Delay is waited in addition to the delays of the first device, such as the delay by priority. Below 0:
	// no delay at all, not even that of the device. It never applies to On.
	Delay time.Duration
	// Random chooses the random part of the delay.
	Random uint64
}

// Run asks for one operation of a device. The device is named by its id: parameters and passwords are put in
// by who runs it. Argument, when not "", is the parameter that is set to Port.
//
// The ID says which operation of which order it is. The Core of a later process that is given the same order
// asks for the same runs under the same IDs, so that a runner which outlives the process can answer with what it has done or
// is doing, and no power is cut twice.
type Run struct {
	ID        string
	Device    string
	Operation Action
	Target    string
	Port      string
	Argument  string
	Timeout   time.Duration
}

// Outcome is how a run ended. Only Success confirms.
type Outcome uint8

const (
	// Failure: the agent said no, or could not be run.
	Failure Outcome = iota
	// Success: the agent confirmed. For Status: the plug is known, on or off.
	Success
	// Timeout: it was ended because it took too long. What it did is unknown.
	Timeout
)

// Result is how a run ended.
type Result struct {
	Outcome Outcome
	// Reason is a short text for people, needed without success.
	Reason string
	// Ports are the plugs that a List gave.
	Ports []string
}

// Answer is what came of orders. Orders that were joined are answered together.
type Answer struct {
	Orders []string
	Target string
	Action Action
	OK     bool
	// Late: the orders had been cancelled before this came. It is no news but for the history: what it
	// confirms happened at Ended. Only successes are told late.
	Late bool
	// Devices that confirmed, in order.
	Devices []string
	// Problems says what went wrong on the way, also when the end was good.
	Problems       []string
	Started, Ended Instant
}

// Output is what a Core wants done.
type Output struct {
	Runs    []Run
	Answers []Answer
}

// step is one operation of a device within a level.
type step struct {
	device   string
	action   Action
	number   int  // among the questions, or the others, of the level: ids must not depend on what is remembered
	ask      bool // a question whether the device knows the target
	courtesy bool // its failure does not matter: switching on after a confirmed off
}

type job struct {
	id        string // the order that began it
	orders    []string
	target    string
	action    Action
	timeout   time.Duration
	started   Instant
	cancelled bool // nobody waits for it any more, but a run is under way

	levels    [][]string
	level     int
	steps     []step
	step      int
	attempt   int     // of this step, from 0
	stepEnds  Instant // no attempt begins after this
	notBefore Instant
	run       string // "" = none under way
	runDevice string
	runEnds   Instant // an answer is not expected after this
	devices   []string
	problems  []string
}

// answer is what a device said when it was asked.
type answer struct {
	version string             // of the device
	ports   map[string]Instant // that it knows, and since when that is known, in lower case
}

// Core carries out the fencings that are given to this node. Inputs are its methods that take the present
// instant; after each the owner takes [Core.Ready], and calls [Core.Tick] at [Core.NextTick]. A Core is not
// safe for concurrent use.
type Core struct {
	devices   []Device
	topology  Topology
	attribute func(node, name string) (string, bool)

	now  Instant
	jobs []*job            // in the order in which they began
	asks map[string]answer // what devices said last, by id
	name string            // prefix of the ids of runs
	out  Output
}

// NewCore returns a core without devices. The prefix begins the ids of its runs.
func NewCore(prefix string) *Core { return &Core{name: prefix, asks: map[string]answer{}} }

// Configure tells the devices, in order of preference, and the topology. attribute gives attributes of
// nodes, for topologies that use them; nil = none. Work that has begun goes on as it was planned.
func (c *Core) Configure(devices []Device, topology Topology, attribute func(node, name string) (string, bool)) {
	c.devices = slices.Clone(devices)
	if len(c.devices) > MaxDevices {
		c.devices = c.devices[:MaxDevices]
	}
	c.topology, c.attribute = slices.Clone(topology), attribute
	for id, a := range c.asks {
		if d := c.device(id); d == nil || d.Version != a.version {
			delete(c.asks, id)
		}
	}
}

// remembers reports whether the device said not long ago that it knows the port.
func (c *Core) remembers(device, port string) bool {
	at, ok := c.asks[device].ports[strings.ToLower(port)]
	return ok && c.now.Before(at.Add(rememberFor))
}

// remember keeps that a device knows the ports.
func (c *Core) remember(device string, ports ...string) {
	d := c.device(device)
	if d == nil {
		return
	}
	a := c.asks[device]
	if a.ports == nil || len(a.ports) > maxRemembered {
		a = answer{version: d.Version, ports: map[string]Instant{}}
	}
	for _, p := range ports[:min(len(ports), maxRemembered)] {
		a.ports[strings.ToLower(p)] = c.now
	}
	c.asks[device] = a
}

func (c *Core) device(id string) *Device {
	for i := range c.devices {
		if c.devices[i].ID == id {
			return &c.devices[i]
		}
	}
	return nil
}

// Start begins an order, or joins it to one of the same action on the same target. An order with another
// action on a target waits until the first has ended. What can't be done is answered at once.
func (c *Core) Start(o Order, now Instant) {
	c.now = max(c.now, now)
	for _, j := range c.jobs {
		if slices.Contains(j.orders, o.ID) {
			return
		}
	}
	refuse := func(format string, args ...any) {
		c.out.Answers = append(c.out.Answers, Answer{Orders: []string{o.ID}, Target: o.Target, Action: o.Action,
			Problems: []string{fmt.Sprintf(format, args...)}, Started: c.now, Ended: c.now})
	}
	if !o.Action.Valid() {
		refuse("%q is no fencing action; on, off and reboot are", o.Action)
		return
	}
	if o.Target == "" {
		refuse("no target is named")
		return
	}
	for _, j := range c.jobs {
		if !j.cancelled && strings.EqualFold(j.target, o.Target) && j.action == o.Action {
			if len(j.orders) >= maxJoined {
				refuse("%d requests to fence %s wait already", len(j.orders), o.Target)
				return
			}
			j.orders = append(j.orders, o.ID)
			return
		}
	}
	if len(c.jobs) >= maxJobs {
		refuse("%d fencings are under way already", len(c.jobs))
		return
	}
	var attribute func(string) (string, bool)
	if c.attribute != nil {
		attribute = func(name string) (string, bool) { return c.attribute(o.Target, name) }
	}
	levels, notes := Plan(Subject{o.Target, o.Action, attribute}, c.devices, c.topology)
	if len(levels) == 0 {
		if len(notes) == 0 {
			notes = []string{"no fence device is configured"}
		}
		refuse("no device can fence %s: %s", o.Target, strings.Join(notes[:min(len(notes), maxProblems)], "; "))
		return
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	j := &job{id: o.ID, orders: []string{o.ID}, target: o.Target, action: o.Action, timeout: min(timeout, MaxTimeout), started: c.now,
		levels: levels, notBefore: c.now}
	if o.Action != On && o.Delay >= 0 {
		wait := o.Delay
		// Only the first device delays: the delay is there to win or lose a race, not to slow the way out.
		if d := c.device(levels[0][0]); d != nil {
			wait += d.delay(o.Target, o.Random)
		}
		j.notBefore = c.now.Add(min(wait, MaxTimeout))
	}
	c.jobs = append(c.jobs, j)
	c.enter(j)
	c.work()
}

// Cancel tells that nobody waits for an order any more: the target has joined again or is known to be off, or
// the order was given to another node. It gets no answer. When no order is left of those that were joined,
// nothing more is begun for them. What a device does already goes on; its success is told as late, because it
// may have happened before whatever ended the order, and a new order for the target waits until that device
// has answered, lest there are two power cycles.
func (c *Core) Cancel(order string, now Instant) {
	c.now = max(c.now, now)
	at := slices.IndexFunc(c.jobs, func(j *job) bool { return !j.cancelled && slices.Contains(j.orders, order) })
	if at < 0 {
		return
	}
	j := c.jobs[at]
	if len(j.orders) > 1 {
		j.orders = slices.DeleteFunc(j.orders, func(id string) bool { return id == order })
		return
	}
	j.cancelled = true
	if j.run == "" {
		c.drop(j)
	}
	c.work()
}

// enter plans the steps of the job's level.
func (c *Core) enter(j *job) {
	j.steps, j.step, j.attempt, j.stepEnds, j.devices = nil, 0, 0, 0, nil
	level := j.levels[j.level]
	split := j.action == Reboot && len(level) > 1
	for _, id := range level {
		d := c.device(id)
		if d == nil {
			continue // it was removed meanwhile; begin notices
		}
		if k, port := d.Knows(j.target); k == Ask && !c.remembers(id, port) {
			j.steps = append(j.steps, step{device: id, action: d.question(), ask: true, number: len(j.steps)})
		}
		split = split || j.action == Reboot && d.NoReboot
	}
	for i, id := range level {
		a := j.action
		if split {
			a = Off
		}
		j.steps = append(j.steps, step{device: id, action: a, number: i})
	}
	if split {
		for i, id := range level {
			j.steps = append(j.steps, step{device: id, action: On, courtesy: true, number: len(level) + i})
		}
	}
}

func (j *job) problem(text string) {
	if len(j.problems) >= maxProblems {
		return
	}
	if len(text) > maxProblem {
		text = text[:maxProblem]
	}
	j.problems = append(j.problems, strings.ToValidUTF8(text, "?"))
}

// attempts and timeout of a step.
func (c *Core) limits(j *job, s step) (int, time.Duration) {
	attempts, timeout := defaultAttempts, j.timeout
	if d := c.device(s.device); d != nil {
		t := d.tries(s.action)
		if t.Attempts > 0 {
			attempts = t.Attempts
		}
		if t.Timeout > 0 {
			timeout = t.Timeout
		}
	}
	return attempts, timeout
}

// work ends waiting for runners that do not answer, and starts what may start.
func (c *Core) work() {
	for _, j := range slices.Clone(c.jobs) {
		if j.run != "" && !c.now.Before(j.runEnds) {
			// The runner itself does not answer. It may still have done it; this is no success.
			j.run = ""
			c.failed(j, "no answer from the runner of the agent", true)
		}
	}
	for _, j := range slices.Clone(c.jobs) {
		c.begin(j)
	}
}

// begin starts the next run of a job when it may start.
func (c *Core) begin(j *job) {
	for slices.Contains(c.jobs, j) && j.run == "" && !c.now.Before(j.notBefore) {
		// Another action on the same target goes first when it began first.
		for _, other := range c.jobs {
			if other == j {
				break
			}
			if strings.EqualFold(other.target, j.target) {
				return
			}
		}
		s := j.steps[j.step]
		d := c.device(s.device)
		if d == nil {
			c.failed(j, "the device does not exist any more", true)
			continue
		}
		if d.Limit > 0 {
			busy := 0
			for _, other := range c.jobs {
				if other.run != "" && other.runDevice == s.device {
					busy++
				}
			}
			if busy >= d.Limit {
				return
			}
		}
		_, timeout := c.limits(j, s)
		if j.attempt == 0 {
			j.stepEnds = c.now.Add(timeout)
		}
		left := j.stepEnds.Sub(c.now)
		if left <= 0 {
			c.failed(j, fmt.Sprintf("no time is left of %v", timeout), true)
			continue
		}
		_, port := d.Knows(j.target)
		j.run, j.runDevice = fmt.Sprintf("%s%s:%d.%d.%d:%s:%s", c.name, j.id, j.level, s.number, j.attempt, s.action, s.device), s.device
		j.runEnds = c.now.Add(left + answerGrace)
		c.out.Runs = append(c.out.Runs, Run{ID: j.run, Device: s.device, Operation: s.action, Target: j.target,
			Port: port, Argument: d.Argument, Timeout: left})
	}
}

// Finished takes the result of a run. It reports whether the run was one of this core; a result that came
// too late for the step is ignored otherwise.
func (c *Core) Finished(run string, r Result, now Instant) bool {
	c.now = max(c.now, now)
	at := slices.IndexFunc(c.jobs, func(j *job) bool { return j.run == run && run != "" })
	if at < 0 {
		return false
	}
	j := c.jobs[at]
	s := j.steps[j.step]
	j.run = ""
	ok := r.Outcome == Success
	_, port := c.portOf(s.device, j.target)
	if ok && s.action == Status {
		c.remember(s.device, port)
	}
	if ok && s.action == List {
		delete(c.asks, s.device) // the list is complete
		c.remember(s.device, r.Ports...)
		if !slices.ContainsFunc(r.Ports, func(p string) bool { return strings.EqualFold(p, port) }) {
			ok, r.Reason = false, fmt.Sprintf("it does not list %s", port)
			// Asking again would give the same.
			j.attempt = maxAttempts
		}
	}
	if ok {
		c.succeeded(j)
	} else {
		reason := r.Reason
		if reason == "" {
			reason = "it failed without a reason"
		}
		if r.Outcome == Timeout {
			reason = "timeout: " + reason
		}
		c.failed(j, reason, false)
	}
	c.work()
	return true
}

func (c *Core) portOf(device, target string) (Knowledge, string) {
	if d := c.device(device); d != nil {
		return d.Knows(target)
	}
	return No, target
}

func (c *Core) succeeded(j *job) {
	s := j.steps[j.step]
	if !s.ask && !slices.Contains(j.devices, s.device) {
		j.devices = append(j.devices, s.device)
	}
	c.next(j)
}

// next goes to the next step, or ends the job.
func (c *Core) next(j *job) {
	j.step++
	j.attempt, j.notBefore = 0, c.now
	if j.step < len(j.steps) {
		if !j.cancelled {
			return
		}
		// It was cancelled in the middle. Nothing more is begun; with all devices off it was a success.
		if j.steps[j.step].courtesy {
			c.end(j, true)
		} else {
			c.drop(j)
		}
		return
	}
	c.end(j, true)
}

// failed notes that an attempt failed; final means that trying again makes no sense.
func (c *Core) failed(j *job, reason string, final bool) {
	s := j.steps[j.step]
	j.problem(fmt.Sprintf("%s %s: %s", s.device, s.action, reason))
	delete(c.asks, s.device)
	attempts, _ := c.limits(j, s)
	j.attempt++
	if !final && !j.cancelled && j.attempt < attempts && c.now.Add(retryPause).Before(j.stepEnds) {
		j.notBefore = c.now.Add(retryPause)
		return
	}
	switch {
	case s.courtesy:
		c.next(j)
	case j.cancelled:
		c.drop(j)
	case j.level+1 < len(j.levels):
		j.level++
		j.notBefore = c.now
		c.enter(j)
	default:
		c.end(j, false)
	}
}

// end answers the orders of a job and forgets it.
func (c *Core) end(j *job, ok bool) {
	a := Answer{Orders: j.orders, Target: j.target, Action: j.action, OK: ok, Late: j.cancelled,
		Problems: j.problems, Started: j.started, Ended: c.now}
	if ok {
		a.Devices = j.devices
	}
	c.out.Answers = append(c.out.Answers, a)
	c.drop(j)
}

func (c *Core) drop(j *job) {
	c.jobs = slices.DeleteFunc(c.jobs, func(o *job) bool { return o == j })
}

// Tick notes that time has passed.
func (c *Core) Tick(now Instant) {
	c.now = max(c.now, now)
	c.work()
}

// NextTick returns when Tick must be called; false while there is nothing to wait for but results.
func (c *Core) NextTick() (Instant, bool) {
	at, ok := Instant(1<<63-1), false
	least := func(t Instant) { at, ok = min(at, t), true }
	for _, j := range c.jobs {
		if j.run != "" {
			least(j.runEnds)
		} else if j.notBefore.After(c.now) {
			least(j.notBefore)
		}
	}
	if !ok {
		return 0, false
	}
	return max(at, c.now), true
}

// HasReady reports whether Ready has anything to give.
func (c *Core) HasReady() bool { return len(c.out.Runs) > 0 || len(c.out.Answers) > 0 }

// Ready returns what is to be done since it was called last.
func (c *Core) Ready() Output {
	o := c.out
	c.out = Output{}
	return o
}

// Busy returns the targets on which this node works, in the order in which that began.
func (c *Core) Busy() []string {
	var t []string
	for _, j := range c.jobs {
		t = append(t, j.target)
	}
	return t
}
